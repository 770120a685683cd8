"""Sign-in by a partner's signed word: who it is about, that it counts once, and what it opens and ends."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.exchange import ExchangeError, ExchangeRequest, NotExchanged
from hub.domain.issuers import ACCESS_TOKEN_S, EXCHANGE_SCOPES, LINK_SCOPE, IssuerState, KeySource, TrustedIssuer
from hub.domain.people import LEARNER_SCOPES, Identity, User, UserState, Viewer, ViewerKind
from hub.domain.refusals import IdentityTaken, InvalidInput, ProvisionalUser
from hub.entry.viewers import KEY_CACHE_US, Viewers
from hub.flows import people, purchase
from hub.flows.exchange import Exchanged, exchange
from hub.ports import TokenRefused
from hub.store.transactions import Tx
from resolvers.errors import GatekeepingError
from tests.flows.benches import Bench
from tests.partners import ENDPOINT, HUB, Partner
from tests.security.test_exchange import parted
from tests.world import SECOND_US, partner

HERE = frozenset({HUB, ENDPOINT})
# What says nothing about the database is asked on the embedded one alone.
EMBEDDED = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


async def trusted(bench: Bench, slug: str = "xue", **changes: Any) -> Partner:
    """A platform whose issuer the hub knows."""
    platform = await bench.world.platform(slug)
    signer = Partner(platform.id, id=bench.world.draw().id("iss"), issuer=f"https://{slug}.example")
    row = signer.trusted(**changes)

    async def put(tx: Tx) -> None:
        assert await tx.issuers.add(row)

    await bench.store.write(put)
    return signer


async def changed(bench: Bench, signer: Partner, **changes: Any) -> None:
    async def put(tx: Tx) -> None:
        held = await tx.issuers.lock(signer.issuer)
        assert held is not None
        await tx.issuers.update(replace(held, **changes))

    await bench.store.write(put)


async def tried(
    bench: Bench, client: Partner, subject_token: str | None = None, *, assertion: str | None = None,
    scopes: frozenset[str] | None = None, client_id: str | None = None,
) -> Exchanged | NotExchanged:  # fmt: skip
    client.now_us = bench.clock.now_us()
    asked = ExchangeRequest(assertion or client.assertion(), subject_token or client.subject_token(), scopes, client_id)
    return await exchange(bench.hub, asked, HERE)


async def signed_in(bench: Bench, client: Partner, subject: str = "m-1", **more: Any) -> Viewer:
    """Who the token of an exchange is."""
    client.now_us = bench.clock.now_us()
    told = await tried(bench, client, client.subject_token(subject), **more)
    assert isinstance(told, Exchanged), told
    return bench.tokens.verify_user_token(told.access_token, bench.clock.now_us())


async def refused(bench: Bench, client: Partner, subject_token: str | None = None, **more: Any) -> ExchangeError:
    before = await bench.rows("SELECT * FROM user_")
    told = await tried(bench, client, subject_token, **more)
    assert isinstance(told, NotExchanged), told
    assert await bench.rows("SELECT * FROM user_") == before, "whoever is refused makes nobody"
    for secret in (subject_token, more.get("assertion")):
        assert not secret or secret not in told.description
    return told.error


# ---- who it is -------------------------------------------------------------------------------------------------------


async def test_a_word_about_a_new_member_makes_an_active_user(bench: Bench) -> None:
    client = await trusted(bench)
    told = await tried(bench, client)
    assert isinstance(told, Exchanged)
    assert (told.is_first, told.lifetime_s, told.scopes) == (True, ACCESS_TOKEN_S, EXCHANGE_SCOPES)
    viewer = bench.tokens.verify_user_token(told.access_token, bench.clock.now_us())
    assert await bench.rows("SELECT id, state FROM user_") == [(viewer.user_id, "ACTIVE")]
    ends_at_us = bench.clock.now_us() + ACCESS_TOKEN_S * SECOND_US
    assert viewer == Viewer(
        ViewerKind.USER, viewer.user_id, scopes=EXCHANGE_SCOPES, expires_at_us=ends_at_us, issuer_id=client.id
    )
    again = await tried(bench, client)
    assert isinstance(again, Exchanged)
    assert again.is_first is False
    assert bench.tokens.verify_user_token(again.access_token, bench.clock.now_us()).user_id == viewer.user_id
    assert await bench.one("SELECT count(*) FROM member") == 1


async def test_the_owner_of_a_provisional_user_signs_in_and_may_buy(bench: Bench) -> None:
    """What the platform granted before is theirs, and they can spend from now on."""
    client, listing = await trusted(bench), await bench.world.listing()
    platform = await bench.world.platform()
    member = (await people.upsert_member(bench.hub, partner(platform), external_id="m-1")).value
    assert member is not None
    provisional = Viewer(ViewerKind.USER, member.user_id, scopes=LEARNER_SCOPES)
    asked: dict[str, Any] = {"listing_id": listing.id, "expected": None, "idempotency_key": "k-1"}
    before = await purchase.create_order(bench.hub, provisional, **asked)
    assert before.refusal == ProvisionalUser()
    viewer = await signed_in(bench, client)
    assert viewer.user_id == member.user_id
    bought = await purchase.create_order(bench.hub, viewer, **asked | {"idempotency_key": "k-2"})
    assert bought.value is not None


@EMBEDDED
async def test_the_token_shows_the_partner_its_own_name_of_the_user_alone(bench: Bench) -> None:
    client = await trusted(bench)
    told = await tried(bench, client)
    assert isinstance(told, Exchanged)
    user_id = await bench.one("SELECT id FROM user_")
    name = await bench.one("SELECT pairwise_id FROM pairwise")
    header, claims, _ = parted(told.access_token)
    assert (header["typ"], claims["sub"]) == ("at+jwt", name)
    assert (claims["act"], claims["client_id"]) == ({"sub": client.platform_id}, client.id)
    assert claims["exp"] - claims["iat"] == 600
    assert user_id not in str(claims)
    assert user_id.removeprefix("usr_") not in str(claims)
    assert told.access_token not in repr(told)


@EMBEDDED
async def test_a_linked_member_is_the_user_that_it_is_linked_to(bench: Bench) -> None:
    client, platform = await trusted(bench), await bench.world.platform()
    user = await bench.world.user()
    await bench.world.member(platform, user, "m-7")
    assert (await signed_in(bench, client, "m-7")).user_id == user.id
    other = await signed_in(bench, client, "m-8")
    assert other.user_id != user.id


@EMBEDDED
async def test_equal_names_at_two_platforms_are_two_people(bench: Bench) -> None:
    """Whatever the name is: an e-mail address joins nobody."""
    one, other = await trusted(bench), await trusted(bench, "kan")
    users = {(await signed_in(bench, client, "ada@example.org")).user_id for client in (one, other)}
    assert len(users) == 2


@EMBEDDED
async def test_scopes_are_the_least_of_all(bench: Bench) -> None:
    client = await trusted(bench, scopes=frozenset({"orders:read", "entitlements:read"}))
    assert (await signed_in(bench, client)).scopes == {"orders:read", "entitlements:read"}
    asked = frozenset({"orders:read", "orders:write"})
    assert (await signed_in(bench, client, scopes=asked)).scopes == {"orders:read"}
    for scopes in ({"orders:write"}, {"operations:write"}, set()):
        assert await refused(bench, client, scopes=frozenset(scopes)) is ExchangeError.INVALID_SCOPE
    client.now_us = bench.clock.now_us()
    narrow = await tried(bench, client, client.subject_token(scope="entitlements:read openid"))
    assert isinstance(narrow, Exchanged)
    assert narrow.scopes == {"entitlements:read"}


# ---- what is refused -------------------------------------------------------------------------------------------------


async def test_each_word_counts_once(bench: Bench) -> None:
    client = await trusted(bench)
    client.now_us = bench.clock.now_us()
    token, assertion, nameless = client.subject_token(), client.assertion(), client.subject_token(jti=None)
    assert isinstance(await tried(bench, client, token, assertion=assertion), Exchanged)
    assert await refused(bench, client, token) is ExchangeError.INVALID_REQUEST
    assert await refused(bench, client, assertion=assertion) is ExchangeError.INVALID_CLIENT
    same_jti = client.sign({"iss": client.issuer, "aud": HUB, "sub": "m-2", "iat": client.now_us // SECOND_US,
                            "exp": client.now_us // SECOND_US + 60, "jti": "twice"})  # fmt: skip
    again = client.subject_token("m-3", jti="twice")
    assert isinstance(await tried(bench, client, same_jti), Exchanged)
    assert await refused(bench, client, again) is ExchangeError.INVALID_REQUEST
    assert isinstance(await tried(bench, client, nameless), Exchanged)
    assert await refused(bench, client, nameless) is ExchangeError.INVALID_REQUEST


async def test_of_one_word_many_times_at_once_one_is_exchanged(bench: Bench) -> None:
    client, rival = await trusted(bench), bench.rival()
    client.now_us = bench.clock.now_us()
    token = client.subject_token()
    answers = await asyncio.gather(*[
        tried(rival if i % 2 else bench, client, token) for i in range(8)
    ])  # fmt: skip
    assert [isinstance(answer, Exchanged) for answer in answers].count(True) == 1
    assert await bench.one("SELECT count(*) FROM user_") == 1


async def test_of_one_members_many_words_at_once_all_are_the_same_user(bench: Bench) -> None:
    client, rival = await trusted(bench), bench.rival()
    answers = await asyncio.gather(*[tried(rival if i % 2 else bench, client) for i in range(8)])
    assert all(isinstance(answer, Exchanged) for answer in answers)
    assert [getattr(answer, "is_first", None) for answer in answers].count(True) == 1
    assert await bench.one("SELECT count(*) FROM user_") == 1


@EMBEDDED
async def test_a_partners_token_presented_by_another_client_is_refused(bench: Bench) -> None:
    one, other = await trusted(bench), await trusted(bench, "kan")
    one.now_us = bench.clock.now_us()
    token = one.subject_token()
    assert await refused(bench, other, token) is ExchangeError.INVALID_REQUEST
    forged = Partner(other.platform_id, id=one.id, issuer=one.issuer, key=other.key)  # the other's key, in one's name
    forged.now_us = bench.clock.now_us()
    assert await refused(bench, forged, token) is ExchangeError.INVALID_CLIENT
    assert await refused(bench, other, other.sign({"iss": one.issuer, "aud": HUB, "sub": "m-1"})) is (
        ExchangeError.INVALID_REQUEST
    )
    assert isinstance(await tried(bench, one, token), Exchanged)  # and it was not spent by that


@EMBEDDED
async def test_who_does_not_prove_to_be_a_client_learns_nothing(bench: Bench) -> None:
    client = await trusted(bench)
    stranger = Partner(client.platform_id, id="iss_00000000000000000000000009")
    unknown = await tried(bench, stranger)
    wrong_key = await tried(bench, Partner(client.platform_id, id=client.id, issuer=client.issuer))
    assert unknown == wrong_key
    for assertion in ("", "x", "a.b.c", "\ud800", client.subject_token()):
        assert await refused(bench, client, assertion=assertion or "nothing") is ExchangeError.INVALID_CLIENT
    assert await refused(bench, client, client_id="iss_else") is ExchangeError.INVALID_CLIENT
    assert isinstance(await tried(bench, client, client_id=client.id), Exchanged)


@EMBEDDED
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://else.example"}, {"aud": "https://else.example"}, {"exp": 1}, {"sub": ""}, {"iat": None},
        {"may_act": {"sub": "iss_else"}},
    ],
)  # fmt: skip
async def test_a_word_with_a_wrong_claim_makes_nobody(bench: Bench, claims: dict[str, Any]) -> None:
    client = await trusted(bench)
    client.now_us = bench.clock.now_us()
    assert await refused(bench, client, client.subject_token(**claims)) is ExchangeError.INVALID_REQUEST


async def test_a_token_is_for_ten_minutes_and_old_words_are_forgotten(bench: Bench) -> None:
    client = await trusted(bench)
    told = await tried(bench, client)
    assert isinstance(told, Exchanged)
    assert await bench.one("SELECT count(*) FROM exchanged_token") == 2
    bench.clock.pass_us(ACCESS_TOKEN_S * SECOND_US)
    with pytest.raises(TokenRefused):
        bench.tokens.verify_user_token(told.access_token, bench.clock.now_us())
    assert isinstance(await tried(bench, client), Exchanged)
    assert await bench.one("SELECT count(*) FROM exchanged_token") == 2


@EMBEDDED
async def test_a_paused_issuer_exchanges_nothing_and_its_tokens_end_within_seconds(bench: Bench) -> None:
    client = await trusted(bench)
    told = await tried(bench, client)
    assert isinstance(told, Exchanged)
    viewers = Viewers(bench.hub)
    viewer = await viewers.viewer(f"Bearer {told.access_token}")
    assert await viewers.still(viewer)
    await changed(bench, client, state=IssuerState.PAUSED)
    assert await refused(bench, client) is ExchangeError.INVALID_CLIENT
    bench.clock.pass_us(KEY_CACHE_US)
    assert not await viewers.still(viewer)
    with pytest.raises(GatekeepingError, match="not trusted any more"):
        await viewers.viewer(f"Bearer {told.access_token}")


@EMBEDDED
async def test_keys_that_cannot_be_had_are_no_verdict(bench: Bench) -> None:
    client = await trusted(bench, keys=KeySource(url="https://xue.example/jwks"))
    assert await refused(bench, client) is ExchangeError.UNAVAILABLE


# ---- the life of an account ------------------------------------------------------------------------------------------


async def test_a_subject_that_the_platform_has_removed_is_nobody_ever_again(bench: Bench) -> None:
    client, platform = await trusted(bench), await bench.world.platform()
    viewer = await signed_in(bench, client)
    removed = await people.remove_member(bench.hub, partner(platform), external_id="m-1")
    again = await people.remove_member(bench.hub, partner(platform), external_id="m-1")
    assert (removed.is_replay, again.is_replay) == (False, True)
    assert await refused(bench, client) is ExchangeError.INVALID_REQUEST
    for answer in (
        await people.upsert_member(bench.hub, partner(platform), external_id="m-1"),
        await people.link_identity(
            bench.hub, partner(platform), external_id="m-1",
            user_token=bench.tokens.issue_user_token((await bench.world.user()).id, bench.clock.now_us(), 60),
        ),
    ):  # fmt: skip
        assert isinstance(answer.refusal, InvalidInput)
    assert await bench.rows("SELECT user_id FROM member") == [(viewer.user_id,)]


async def test_the_first_sign_in_ends_every_other_account_of_a_provisional_user(bench: Bench) -> None:
    """No flow ties a second account to a provisional User; if one is there all the same, it opens nothing later."""
    client, other = await trusted(bench), await trusted(bench, "kan")
    platform, trojan = await bench.world.platform(), await bench.world.platform("kan")
    member = (await people.upsert_member(bench.hub, partner(platform), external_id="m-1")).value
    assert member is not None
    planted = Identity("idn_2", member.user_id, f"platform:{trojan.id}", "evil", bench.clock.now_us())

    async def plant(tx: Tx) -> None:
        assert await tx.people.add_identity(planted)

    await bench.store.write(plant)
    await signed_in(bench, client)
    assert await refused(bench, other, other.subject_token("evil")) is ExchangeError.INVALID_REQUEST
    ended = await bench.rows("SELECT id FROM identity WHERE ended_at_us IS NOT NULL")
    assert ended == [("idn_2",)]


@EMBEDDED
async def test_nobody_ties_an_account_to_a_provisional_user(bench: Bench) -> None:
    platform, other = await bench.world.platform(), await bench.world.platform("kan")
    provisional: User = await bench.world.user(state=UserState.PROVISIONAL)
    token = bench.tokens.issue_user_token(provisional.id, bench.clock.now_us(), 60)
    for owner in (platform, other):
        answer = await people.link_identity(bench.hub, partner(owner), external_id="m-9", user_token=token)
        assert answer.refusal == ProvisionalUser()


@EMBEDDED
async def test_a_token_got_through_one_platform_links_to_another_only_if_it_may(bench: Bench) -> None:
    reading = frozenset({"orders:read"})
    client, other = await trusted(bench), await bench.world.platform("kan")
    answers = []
    for scopes in (reading, reading | {LINK_SCOPE}):
        told = await tried(bench, client, scopes=scopes)
        assert isinstance(told, Exchanged)
        answers.append(
            await people.link_identity(bench.hub, partner(other), external_id="k-1", user_token=told.access_token)
        )
    assert isinstance(answers[0].refusal, InvalidInput)
    assert LINK_SCOPE in answers[0].refusal.message
    assert answers[1].value is not None
    assert answers[1].value.user_id == (await signed_in(bench, client)).user_id
    taken = await people.link_identity(
        bench.hub, partner(other), external_id="k-1",
        user_token=bench.tokens.issue_user_token((await bench.world.user()).id, bench.clock.now_us(), 60),
    )  # fmt: skip
    assert taken.refusal == IdentityTaken()


@EMBEDDED
async def test_a_token_links_nothing_once_its_issuer_is_paused(bench: Bench) -> None:
    client, other = await trusted(bench), await bench.world.platform("kan")
    told = await tried(bench, client)
    assert isinstance(told, Exchanged)
    await changed(bench, client, state=IssuerState.PAUSED)
    answer = await people.link_identity(
        bench.hub, partner(other), external_id="k-1", user_token=told.access_token
    )  # fmt: skip
    assert isinstance(answer.refusal, InvalidInput)
    assert answer.refusal.field == "userToken"
    assert await bench.one("SELECT count(*) FROM member WHERE external_id = 'k-1'") == 0


@EMBEDDED
async def test_an_issuer_that_is_changed_meanwhile_is_asked_again(bench: Bench) -> None:
    client = await trusted(bench)
    hub = bench.hub

    class Slow:
        """Keys that take so long that the issuer is another one afterwards."""

        def __getattr__(self, name: str) -> Any:
            return getattr(hub.partners, name)

        async def signed(self, *args: Any) -> Any:
            await changed(bench, client, audience="https://else.example")
            return await hub.partners.signed(*args)

    client.now_us = bench.clock.now_us()
    asked = ExchangeRequest(client.assertion(), client.subject_token(), None)
    told = await exchange(replace(hub, partners=Slow()), asked, HERE)
    assert isinstance(told, NotExchanged)
    assert told.error is ExchangeError.UNAVAILABLE
    assert await bench.one("SELECT count(*) FROM user_") == 0
    assert isinstance(client.trusted(), TrustedIssuer)
