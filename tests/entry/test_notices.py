"""A channel's notice over HTTP: the raw bytes reach the channel, and it hears its own word once they are kept."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import httpx
import pytest

from hub.domain.payments import Notice, Outcome, Result, Stage
from hub.entry.app import create_app
from hub.entry.notices import MAX_NOTICE
from hub.ports import Ack, Channel, NoticeRefused, RawNotice
from hub.store.database import open_store
from hub.store.transactions import DatabaseFull, Store
from tests.entry.toys import SCHEMA, ToyHub, client_of, settings_of
from tests.world import START_US

SIGNED = {"X-Signature": "ours", "Content-Type": "application/json"}


@dataclass(slots=True)
class ToyChannel:
    """Takes what is signed `ours`; a notice's event is named by its bytes, for an order that nobody knows."""

    seen: list[RawNotice] = field(default_factory=list)

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        self.seen.append(raw)
        if raw.headers.get("x-signature") != "ours":
            raise NoticeRefused("the signature is wrong: secret 7f3a")
        digest = hashlib.sha256(raw.body).digest()
        result = Result(Outcome.PENDING, Stage.NONE, digest, now_us)
        return Notice(event_id=digest.hex(), attempt_key="TB-0-0", result=result, digest=digest, kind="pending")

    def ack(self, accepted: bool) -> Ack:
        return Ack(200, b"success") if accepted else Ack(503, b"again")


@dataclass(slots=True)
class Desk:
    """A hub with the toy channel, and what it counts."""

    store: Store
    channel: ToyChannel = field(default_factory=ToyChannel)

    async def post(self, body: bytes, code: str = "toy", **headers: str) -> tuple[httpx.Response, str]:
        """The answer to a notice, and its outcome as counted ("" for none)."""
        toys = ToyHub(store=self.store, channels={"toy": cast("Channel", self.channel)})
        app = create_app(toys.hub, settings_of(), schema=SCHEMA)
        async with client_of(app) as hub:
            answer = await hub.post(f"/channels/{code}/notices", content=body, headers=headers)
        metrics = app.state.metrics
        outcomes = [
            o for o in ("taken", "refused", "again") if metrics.value("hub_notices_total", channel="toy", outcome=o)
        ]
        return answer, "".join(outcomes)

    async def kept(self) -> list[str]:
        """Kinds of the tasks that kept notices wait with."""
        async with self.store.reading() as rx:
            return [row.kind for row in await rx.tasks.listed()]


@pytest.fixture
async def desk(sqlite_url: str) -> AsyncIterator[Desk]:
    store = await open_store(sqlite_url)
    yield Desk(store)
    await store.aclose()


async def test_notice_is_kept_and_then_acknowledged_in_the_channels_word(desk: Desk) -> None:
    answer, outcome = await desk.post(b'{"a" : 1}\n\xff', **SIGNED)
    assert (answer.status_code, answer.content, outcome) == (200, b"success", "taken")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert desk.channel.seen[0].body == b'{"a" : 1}\n\xff'
    assert desk.channel.seen[0].headers["content-type"] == "application/json"
    assert await desk.kept() == ["apply_notice"]


async def test_notice_that_comes_twice_is_kept_once(desk: Desk) -> None:
    first, _ = await desk.post(b"1", **SIGNED)
    again, _ = await desk.post(b"1", **SIGNED)
    assert (first.status_code, again.status_code) == (200, 200)
    assert await desk.kept() == ["apply_notice"]


async def test_notice_without_the_channels_signature_is_400_and_says_nothing(desk: Desk) -> None:
    answer, outcome = await desk.post(b"1", **{"X-Signature": "theirs"})
    assert (answer.status_code, answer.text, outcome) == (400, "this notice is not taken", "refused")
    assert await desk.kept() == []


async def test_unknown_channel_is_404(desk: Desk) -> None:
    answer, outcome = await desk.post(b"1", code="nobody", **SIGNED)
    assert (answer.status_code, outcome, desk.channel.seen) == (404, "", [])


async def test_notice_beyond_256_kib_is_413_and_reaches_no_channel(desk: Desk) -> None:
    fits, _ = await desk.post(b"x" * MAX_NOTICE, **SIGNED)
    answer, outcome = await desk.post(b"x" * (MAX_NOTICE + 1), **SIGNED)
    assert (fits.status_code, answer.status_code, outcome) == (200, 413, "")
    assert [len(raw.body) for raw in desk.channel.seen] == [256 * 1024]


async def test_database_that_is_full_asks_for_the_notice_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise DatabaseFull("no room")

    monkeypatch.setattr("hub.store.sqlite.SqliteStore.write", full)
    answer, outcome = await desk.post(b"1", **SIGNED)
    assert (answer.status_code, answer.content, outcome) == (503, b"again", "again")
    monkeypatch.undo()
    assert await desk.kept() == []


async def test_notice_is_dated_by_the_hubs_clock(desk: Desk) -> None:
    await desk.post(b"1", **SIGNED)
    async with desk.store.reading() as rx:
        waiting = await rx.tasks.listed()
    assert waiting[0].run_at_us == START_US + 1_000_000
