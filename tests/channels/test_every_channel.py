"""What the port promises, asked of every registered channel against a living peer."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.channels import CHANNELS
from hub.domain.money import Money
from hub.domain.payments import Outcome, Result, Stage
from hub.ports import NoticeRefused, RawNotice
from tests.channels.benches import BENCHES, NOW_US, Bench, attempt


@pytest.fixture(params=sorted(CHANNELS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with BENCHES[request.param](tmp_path) as standing:
        yield standing


def said(result: Result) -> tuple[Outcome, Stage]:
    return result.outcome, result.stage


def test_every_channel_has_a_bench_and_its_own_code() -> None:
    assert sorted(BENCHES) == sorted(CHANNELS)
    assert {code: channel.code for code, channel in CHANNELS.items()} == {code: code for code in CHANNELS}


async def test_create_without_a_method_gives_the_buyer_something_to_do(bench: Bench) -> None:
    result = await bench.channel.create(attempt())

    assert said(result) == (Outcome.ACTION, Stage.NONE)
    assert result.next_action is not None
    assert result.next_action.kind == "redirect"
    assert result.next_action.url is not None
    assert result.next_action.expires_at_us == NOW_US + 1_800_000_000


async def test_create_with_a_good_method_charges_what_was_asked(bench: Bench) -> None:
    result = await bench.channel.create(attempt(method=bench.pays))

    assert said(result) == (Outcome.DONE, Stage.CHARGED)
    assert result.amount == Money(1250, "USD")
    assert result.channel_ref is not None
    assert result.movement_ref is not None
    assert result.provider_at_us == NOW_US
    assert len(result.raw_digest) == 32


async def test_declines_are_soft_or_hard(bench: Bench) -> None:
    soft = await bench.channel.create(attempt("soft", method=bench.declines_soft))
    hard = await bench.channel.create(attempt("hard", method=bench.declines_hard))

    assert [(said(r), r.decline) for r in (soft, hard)] == [
        ((Outcome.DECLINED, Stage.NONE), "soft"),
        ((Outcome.DECLINED, Stage.NONE), "hard"),
    ]
    assert soft.code is not None
    assert soft.code != hard.code


async def test_what_the_channel_cannot_take_is_rejected_and_leaves_nothing(bench: Bench) -> None:
    result = await bench.channel.create(attempt(amount=Money(1, "USD")))

    assert said(result) == (Outcome.REJECTED, Stage.NONE)
    assert result.code is not None
    assert await bench.count("TB-7-1") == 0
    assert not bench.channel.capabilities.takes(Money(1, "USD"))
    assert bench.channel.capabilities.takes(Money(1250, "USD"))


async def test_sending_the_same_attempt_again_charges_once(bench: Bench) -> None:
    first = await bench.channel.create(attempt(method=bench.pays))
    again = await bench.channel.create(replace(attempt(method=bench.pays), calls=2, sent_at_us=NOW_US + 60_000_000))

    assert (said(again), again.movement_ref) == (said(first), first.movement_ref)
    assert await bench.count("TB-7-1") == 1


async def test_query_says_never_seen_then_what_is(bench: Bench) -> None:
    before = await bench.channel.query(attempt())
    created = await bench.channel.create(attempt(method=bench.pays))
    after = await bench.channel.query(attempt())

    assert said(before) == (Outcome.DONE, Stage.NONE)
    assert said(after) == (Outcome.DONE, Stage.CHARGED)
    assert (after.movement_ref, after.amount) == (created.movement_ref, created.amount)


async def test_void_closes_what_is_unpaid_and_may_be_repeated(bench: Bench) -> None:
    await bench.channel.create(attempt())

    assert said(await bench.channel.void(attempt())) == (Outcome.DONE, Stage.VOIDED)
    assert said(await bench.channel.void(attempt())) == (Outcome.DONE, Stage.VOIDED)
    assert said(await bench.channel.query(attempt())) == (Outcome.DONE, Stage.VOIDED)


async def test_void_after_the_money_says_charged(bench: Bench) -> None:
    created = await bench.channel.create(attempt(method=bench.pays))

    result = await bench.channel.void(attempt())

    assert said(result) == (Outcome.DONE, Stage.CHARGED)
    assert (result.movement_ref, result.amount) == (created.movement_ref, Money(1250, "USD"))


async def test_void_of_what_was_never_seen_says_so(bench: Bench) -> None:
    assert said(await bench.channel.void(attempt())) == (Outcome.DONE, Stage.NONE)


@pytest.mark.parametrize(("when", "found"), [("before", Stage.NONE), ("after", Stage.CHARGED)])
async def test_lost_answer_is_unknown_and_the_query_settles_it(bench: Bench, when: str, found: Stage) -> None:
    await bench.lose(when)

    lost = await bench.channel.create(attempt(method=bench.pays))

    assert said(lost) == (Outcome.UNKNOWN, Stage.NONE)
    assert said(await bench.channel.query(attempt())) == (Outcome.DONE, found)
    assert said(await bench.channel.create(attempt(method=bench.pays))) == (Outcome.DONE, Stage.CHARGED)
    assert await bench.count("TB-7-1") == 1


async def test_nobody_listening_is_provably_not_sent(bench: Bench) -> None:
    results = [
        await bench.unreachable.create(attempt()),
        await bench.unreachable.query(attempt()),
        await bench.unreachable.void(attempt()),
    ]

    assert [said(result) for result in results] == [(Outcome.NOT_SENT, Stage.NONE)] * 3


async def test_notice_tells_what_the_answer_told(bench: Bench) -> None:
    answer = await bench.channel.create(attempt(method=bench.pays))

    notice = bench.channel.verify_notice(await bench.notice(1), NOW_US)

    assert notice.attempt_key == "TB-7-1"
    assert notice.event_id
    assert said(notice.result) == said(answer)
    assert (notice.result.movement_ref, notice.result.amount, notice.result.provider_at_us) == (
        answer.movement_ref,
        answer.amount,
        answer.provider_at_us,
    )


@pytest.mark.parametrize("spoil", ["byte", "space", "header", "no header", "garbage"])
async def test_notice_that_is_not_the_channels_is_refused(bench: Bench, spoil: str) -> None:
    await bench.channel.create(attempt(method=bench.pays))
    raw: RawNotice = await bench.notice(1)
    bench.channel.verify_notice(raw, NOW_US)
    spoilt = {
        "byte": RawNotice(raw.headers, raw.body.replace(b"1250", b"1251")),
        "space": RawNotice(raw.headers, raw.body.replace(b":", b": ")),
        "header": RawNotice({k: v[:-1] + ("0" if v[-1] != "0" else "1") for k, v in raw.headers.items()}, raw.body),
        "no header": RawNotice({}, raw.body),
        "garbage": RawNotice(dict.fromkeys(raw.headers, "t=,v1=,=,,t=x"), raw.body),
    }[spoil]

    with pytest.raises(NoticeRefused):
        bench.channel.verify_notice(spoilt, NOW_US)


@pytest.mark.parametrize(("off_s", "is_taken"), [(-301, False), (-299, True), (299, True), (301, False)])
async def test_dated_notice_is_taken_within_five_minutes_only(bench: Bench, off_s: int, is_taken: bool) -> None:
    if not bench.channel.capabilities.is_dated:
        pytest.skip("this channel dates nothing")
    await bench.channel.create(attempt(method=bench.pays))
    raw = await bench.notice(1)
    now_us = NOW_US - off_s * 1_000_000  # the stamp is NOON: off_s is how far it lies from now

    if is_taken:
        assert bench.channel.verify_notice(raw, now_us).attempt_key == "TB-7-1"
    else:
        with pytest.raises(NoticeRefused):
            bench.channel.verify_notice(raw, now_us)


async def test_acks_differ_by_whether_the_notice_was_kept(bench: Bench) -> None:
    assert 200 <= bench.channel.ack(accepted=True).status < 300
    assert bench.channel.ack(accepted=False) != bench.channel.ack(accepted=True)
