"""Who asks, by Authorization header: what is taken, what is refused, and how long a key is remembered."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import literal_column, update

from hub.domain.ids import Draw
from hub.domain.keys import ApiKey, NewApiKey
from hub.domain.people import ANONYMOUS, LEARNER_SCOPES, PARTNER_SCOPES, Viewer, ViewerKind
from hub.entry.viewers import KEY_CACHE_US, MAX_CREDENTIAL, Viewers
from hub.security.tokens import new_api_key
from hub.store.database import open_store
from hub.store.keys import api_key
from hub.store.transactions import Store, Tx
from resolvers.errors import GatekeepingError
from tests.entry.toys import USER, ToyHub, asked, client
from tests.world import World


@dataclass(slots=True)
class Keys:
    """A store with one partner's key in it, the hub on it, and every statement that the store has run since."""

    toys: ToyHub
    store: Store
    made: NewApiKey
    stored: ApiKey
    statements: list[str]

    @property
    def bearer(self) -> str:
        return f"Bearer {self.made.text}"

    async def revoke(self) -> None:
        await self.store.write(revoke_all)
        self.statements.clear()


async def put(tx: Tx, key: ApiKey) -> None:
    await tx.keys.add(key)


async def revoke_all(tx: Tx) -> None:
    await tx.run(update(api_key).values(revoked_at_us=literal_column("1")))


def drawn(number: int) -> NewApiKey:
    return new_api_key(Draw(1, f"{number}".encode().ljust(32), "test"))


@pytest.fixture
async def keys(sqlite_url: str) -> AsyncIterator[Keys]:
    statements: list[str] = []
    store = await open_store(sqlite_url, on_statement=statements.append)
    platform = await World(store).platform()
    made = drawn(0)
    stored = ApiKey(made.id, ViewerKind.PLATFORM, platform.id, made.secret_hash, PARTNER_SCOPES, True, 1)
    await store.write(put, stored)
    statements.clear()
    yield Keys(ToyHub(store=store), store, made, stored, statements)
    await store.aclose()


async def refusal(viewers: Viewers, authorization: str) -> tuple[str, str]:
    with pytest.raises(GatekeepingError) as refused:
        await viewers.viewer(authorization)
    return refused.value.code, str(refused.value)


async def test_nobody_in_particular_is_anonymous() -> None:
    assert await Viewers(ToyHub().hub).viewer(None) == ANONYMOUS


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_token_of_a_user_is_that_user_until_it_ends(scheme: str) -> None:
    toys = ToyHub()
    token = toys.token(lifetime_s=60)
    viewer = await Viewers(toys.hub).viewer(f"{scheme} {token}")
    assert viewer == Viewer(
        ViewerKind.USER, USER, scopes=LEARNER_SCOPES, expires_at_us=toys.clock.now_us() + 60_000_000
    )
    toys.clock.pass_us(60_000_000)
    assert await refusal(Viewers(toys.hub), f"{scheme} {token}") == (
        "UNAUTHENTICATED",
        "the token has ended: ask for a new one",
    )


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer x", "Bearer a b", f"Bearer {'x' * (MAX_CREDENTIAL + 1)}", "知识"],
)
async def test_anything_else_is_refused_and_not_repeated(authorization: str) -> None:
    code, message = await refusal(Viewers(ToyHub().hub), authorization)
    assert code == "UNAUTHENTICATED"
    assert message in ("the Authorization header must be: Bearer TOKEN", "this is no token of this hub")


async def test_api_key_is_its_platform_with_its_scopes(keys: Keys) -> None:
    viewer = await Viewers(keys.toys.hub).viewer(keys.bearer)
    assert viewer == Viewer(
        ViewerKind.PLATFORM, platform_id=keys.stored.platform_id, scopes=PARTNER_SCOPES, key_id=keys.stored.id
    )


async def test_unknown_key_and_wrong_secret_are_one_answer(keys: Keys) -> None:
    viewers = Viewers(keys.toys.hub)
    other = drawn(1)
    id_, secret = keys.made.text.rsplit("_", 1)
    wrong = f"{id_}_{other.text.rsplit('_', 1)[1]}"
    assert secret not in wrong
    answers = {await refusal(viewers, f"Bearer {text}") for text in (other.text, wrong)}
    assert answers == {("UNAUTHENTICATED", "this is no API key of this hub")}


async def test_revoked_key_is_refused_within_the_time_that_it_is_remembered(keys: Keys) -> None:
    viewers = Viewers(keys.toys.hub)
    await viewers.viewer(keys.bearer)
    await keys.revoke()
    keys.toys.clock.pass_us(KEY_CACHE_US - 1)
    assert (await viewers.viewer(keys.bearer)).platform_id == keys.stored.platform_id
    assert keys.statements == []
    keys.toys.clock.pass_us(1)
    assert await refusal(viewers, keys.bearer) == ("UNAUTHENTICATED", "this API key was revoked")
    assert KEY_CACHE_US == 5_000_000


async def test_clock_that_jumps_back_does_not_prolong_a_key(keys: Keys) -> None:
    viewers = Viewers(keys.toys.hub)
    await viewers.viewer(keys.bearer)
    await keys.revoke()
    keys.toys.clock.pass_us(-3_600_000_000)
    assert await refusal(viewers, keys.bearer) == ("UNAUTHENTICATED", "this API key was revoked")


async def test_unknown_keys_are_never_remembered_and_known_ones_up_to_a_bound(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.entry.viewers.MAX_KEYS", 3)
    viewers = Viewers(keys.toys.hub)
    await refusal(viewers, f"Bearer {drawn(1).text}")
    assert viewers._keys.known == {}
    for number in range(2, 6):
        made = drawn(number)
        await keys.store.write(put, replace(keys.stored, id=made.id, secret_hash=made.secret_hash))
        await viewers.viewer(f"Bearer {made.text}")
    assert list(viewers._keys.known) == [drawn(number).id for number in (3, 4, 5)]


async def test_key_made_in_development_is_refused_in_production(keys: Keys) -> None:
    keys.toys.is_production = True
    code, message = await refusal(Viewers(keys.toys.hub), keys.bearer)
    assert (code, message) == ("UNAUTHENTICATED", "this API key was made in development mode")


async def test_refused_credential_is_401_and_nothing_runs() -> None:
    toys = ToyHub()
    async with client(toys) as hub:
        answer = await asked(hub, "mutation { buy(number: 1) }", authorization="Bearer nonsense")
    assert (answer.status_code, answer.headers["www-authenticate"], toys.bought) == (401, "Bearer", [])
    assert answer.json() == {
        "errors": [
            {
                "message": "this is no token of this hub",
                "extensions": {"code": "UNAUTHENTICATED", "requestId": answer.headers["x-request-id"]},
            }
        ]
    }


async def test_database_that_does_not_answer_is_503_and_no_refusal(keys: Keys) -> None:
    class Silent:
        def reading(self) -> object:
            from hub.store.transactions import Unavailable

            raise Unavailable("dsn with a password")

    keys.toys.store = Silent()  # type: ignore[assignment]  # as much of a store as is asked
    async with client(keys.toys) as hub:
        answer = await asked(hub, "{ viewer }", authorization=keys.bearer)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
    assert "password" not in answer.text


# ---- whether a credential still counts, and when it was last used ---------------------------------------------------


async def test_a_running_stream_learns_of_the_end_of_its_key_within_seconds(keys: Keys) -> None:
    viewers = Viewers(keys.toys.hub)
    viewer = await viewers.viewer(keys.bearer)
    assert viewer.key_id == keys.stored.id
    await keys.revoke()
    assert await viewers.still(viewer)
    keys.toys.clock.pass_us(KEY_CACHE_US)
    assert not await viewers.still(viewer)


async def test_however_many_streams_ask_a_key_is_read_once_in_five_seconds(keys: Keys) -> None:
    viewers = Viewers(keys.toys.hub)
    viewer = await viewers.viewer(keys.bearer)
    await viewers.settled()
    keys.toys.clock.pass_us(KEY_CACHE_US)
    keys.statements.clear()
    assert await asyncio.gather(*(viewers.still(viewer) for _ in range(200))) == [True] * 200
    assert len(keys.statements) == 1


async def test_a_key_at_its_end_is_nobody_and_ends_its_streams(keys: Keys) -> None:
    made = drawn(7)
    ends_at_us = keys.toys.clock.now_us() + 60_000_000
    await keys.store.write(
        put, replace(keys.stored, id=made.id, secret_hash=made.secret_hash, expires_at_us=ends_at_us)
    )
    viewers = Viewers(keys.toys.hub)
    viewer = await viewers.viewer(f"Bearer {made.text}")
    assert viewer.expires_at_us == ends_at_us
    keys.toys.clock.pass_us(60_000_000 - 1)
    assert await viewers.still(viewer)
    keys.toys.clock.pass_us(1)
    assert not await viewers.still(viewer)
    assert await refusal(viewers, f"Bearer {made.text}") == ("UNAUTHENTICATED", "this API key has ended")


async def test_a_token_counts_until_its_end_and_a_stranger_for_ever() -> None:
    toys = ToyHub()
    viewers = Viewers(toys.hub)
    viewer = await viewers.viewer(f"Bearer {toys.token(lifetime_s=60)}")
    assert await viewers.still(viewer)
    assert await viewers.still(ANONYMOUS)
    toys.clock.pass_us(60_000_000)
    assert not await viewers.still(viewer)


async def test_a_database_that_is_away_ends_no_stream(keys: Keys) -> None:
    class Silent:
        def reading(self) -> object:
            from hub.store.transactions import Unavailable

            raise Unavailable("gone")

    viewers = Viewers(keys.toys.hub)
    viewer = await viewers.viewer(keys.bearer)
    await viewers.settled()
    keys.toys.clock.pass_us(KEY_CACHE_US)
    keys.toys.store = Silent()  # type: ignore[assignment]  # as much of a store as is asked
    assert await viewers.still(viewer)


async def test_the_last_use_is_written_once_a_minute_by_however_many_requests_and_processes(keys: Keys) -> None:
    viewers, other = Viewers(keys.toys.hub), Viewers(keys.toys.hub)
    start_us = keys.toys.clock.now_us()
    used = []
    for pass_us in (0, 59_999_999, 1):
        keys.toys.clock.pass_us(pass_us)
        for process in (viewers, viewers, other):
            await process.viewer(keys.bearer)
            await process.settled()
        async with keys.store.reading() as rx:
            key = await rx.keys.by_id(keys.stored.id)
        assert key is not None
        assert key.last_used_at_us is not None
        used.append(key.last_used_at_us - start_us)
    assert used == [0, 0, 60_000_000]
    writes = [statement for statement in keys.statements if statement.startswith("UPDATE api_key")]
    assert len(writes) == 3  # the third by a process that had read the key a moment before: it changes no row


async def test_a_use_that_cannot_be_noted_refuses_nobody(keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def __init__(self, store: Store) -> None:
            self.reading = store.reading

        async def write(self, *_: object) -> None:
            from hub.store.transactions import DatabaseFull

            raise DatabaseFull("no room")

    keys.toys.store = Full(keys.store)  # type: ignore[assignment]  # as much of a store as is asked
    viewers = Viewers(keys.toys.hub)
    assert (await viewers.viewer(keys.bearer)).key_id == keys.stored.id
    await viewers.settled()
    assert "could not be noted" in caplog.text
