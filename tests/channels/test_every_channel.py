"""What the port promises, asked of every registered channel against a living peer, each by what it can do.

What a channel says it cannot do is not left out: it is refused, without a call.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from hub.channels import CHANNELS
from hub.domain.money import Money
from hub.domain.payments import SEND_WITHIN_US, Outcome, PaymentAttempt, Result, Stage
from hub.domain.statements import LineKind
from hub.ports import Capabilities, NoticeRefused, RawNotice, StatementRefused
from tests.channels.benches import Bench, attempt_at, bench_of, held_at, refund_of

KEY = "TB-7-1"
NEVER = (Outcome.DONE, Stage.NONE)
CHARGED = (Outcome.DONE, Stage.CHARGED)
VOIDED = (Outcome.DONE, Stage.VOIDED)
REFUNDED = (Outcome.DONE, Stage.REFUNDED)
LOST = (Outcome.UNKNOWN, Stage.NONE)
REFUSED = (Outcome.REJECTED, Stage.NONE)
A_DAY = date(2026, 9, 21)


@pytest.fixture(params=sorted(CHANNELS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_of(request.param, tmp_path) as standing:
        yield standing


def said(result: Result) -> tuple[Outcome, Stage]:
    return result.outcome, result.stage


def those(able: Callable[[Capabilities], bool]) -> pytest.MarkDecorator:
    """The channels that are able to; what the others answer is in `test_what_a_channel_cannot_do_…`."""
    codes = [code for code, channel in sorted(CHANNELS.items()) if able(channel.capabilities)]
    return pytest.mark.parametrize("bench", codes, indirect=True)


closing = those(lambda can: can.can_void)
holding = those(lambda can: can.can_authorize)
taking_parts = those(lambda can: can.can_authorize and can.can_capture_partly)
giving_back = those(lambda can: can.can_refund)
giving_parts_back = those(lambda can: can.can_refund_partly)
accounting = those(lambda can: can.has_statement)


async def charge(bench: Bench, asked: PaymentAttempt) -> PaymentAttempt:
    """The attempt, charged at the peer, with what the channel has told us of it."""
    created = await bench.channel.create(replace(asked, method=bench.pays) if bench.pays else asked)
    if said(created) != CHARGED:
        await bench.buyer_pays(asked.key)
        created = await bench.channel.query(asked)
    assert said(created) == CHARGED, created
    return replace(asked, channel_ref=created.channel_ref, method=bench.pays or asked.method)


async def hold(bench: Bench, asked: PaymentAttempt) -> PaymentAttempt:
    created = await bench.channel.create(replace(asked, method=bench.pays) if bench.pays else asked)
    if created.stage is not Stage.AUTHORIZED:
        await bench.buyer_pays(asked.key)
        created = await bench.channel.query(asked)
    assert (said(created), created.amount) == ((Outcome.DONE, Stage.AUTHORIZED), bench.amount)
    return replace(asked, channel_ref=created.channel_ref)


def test_every_channel_is_registered_under_its_own_code() -> None:
    assert {code: channel.code for code, channel in CHANNELS.items()} == {code: code for code in CHANNELS}


# ---- asking for money --------------------------------------------------------------------------------------------


def test_never_saw_it_is_believed_a_minute_after_the_latest_moment_of_a_call() -> None:
    believed_ms = [channel.capabilities.not_found_after_ms for channel in CHANNELS.values()]
    assert min(after_ms for after_ms in believed_ms if after_ms is not None) >= 60_000 + SEND_WITHIN_US // 1000


async def test_create_gives_the_buyer_something_to_do(bench: Bench) -> None:
    asked = attempt_at(bench)

    result = await bench.channel.create(asked)

    assert said(result) == (Outcome.ACTION, Stage.NONE)
    assert result.next_action is not None
    assert result.next_action.kind == bench.action
    assert result.next_action.url or result.next_action.data
    ends_at_us = result.next_action.expires_at_us
    assert ends_at_us is None or bench.now_us < ends_at_us <= asked.expires_at_us
    assert len(result.raw_digest) == 32


async def test_charge_takes_what_was_asked(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))

    result = await bench.channel.query(charged)

    assert (said(result), result.amount) == (CHARGED, bench.amount)
    assert result.channel_ref is not None
    assert result.movement_ref is not None
    assert len(result.raw_digest) == 32


async def test_declines_are_soft_or_hard(bench: Bench) -> None:
    if bench.declines is None:
        await assert_takes_nothing_that_can_be_declined(bench)
        return
    soft, hard = [
        await bench.channel.create(attempt_at(bench, f"TB-{n}-1", method=method))
        for n, method in enumerate(bench.declines, 7)
    ]

    assert [(said(r), r.decline) for r in (soft, hard)] == [
        ((Outcome.DECLINED, Stage.NONE), "soft"),
        ((Outcome.DECLINED, Stage.NONE), "hard"),
    ]
    assert soft.code is not None
    assert soft.code != hard.code


async def assert_takes_nothing_that_can_be_declined(bench: Bench) -> None:
    """It knows its own ways to pay alone, in which the buyer's no is heard later: no card or account is tried."""
    assert bench.channel.capabilities.methods

    result = await bench.channel.create(attempt_at(bench, method="pm_card_visa"))

    assert said(result) == REFUSED
    assert result.code is not None
    assert await bench.count(KEY) == 0


async def test_what_lies_below_the_minimum_is_rejected_and_leaves_nothing(bench: Bench) -> None:
    least = bench.channel.capabilities.currencies[bench.amount.currency].minimum_minor
    below = Money(least - 1, bench.amount.currency)

    result = await bench.channel.create(attempt_at(bench, amount=below, method=bench.pays or bench.waits))

    assert said(result) == (Outcome.REJECTED, Stage.NONE)
    assert result.code is not None
    assert await bench.count(KEY) == 0
    assert not bench.channel.capabilities.takes(below)
    assert bench.channel.capabilities.takes(bench.amount)


async def test_sending_the_same_attempt_again_makes_one_payment(bench: Bench) -> None:
    asked = attempt_at(bench, method=bench.pays or bench.waits)

    first = await bench.channel.create(asked)
    again = await bench.channel.create(replace(asked, calls=2, sent_at_us=bench.now_us + 60_000_000))

    assert (said(again), again.movement_ref, again.next_action) == (said(first), first.movement_ref, first.next_action)
    assert await bench.count(KEY) == 1


async def test_query_says_never_seen_then_what_is(bench: Bench) -> None:
    before = await bench.channel.query(attempt_at(bench))
    await charge(bench, attempt_at(bench))
    by_our_reference_alone = await bench.channel.query(attempt_at(bench))

    assert said(before) == NEVER
    assert (said(by_our_reference_alone), by_our_reference_alone.amount) == (CHARGED, bench.amount)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_answer_to_create_is_unknown_and_the_query_settles_it(bench: Bench, when: str) -> None:
    asked = attempt_at(bench, method=bench.pays or bench.waits)
    await bench.lose("create", "before" if when == "before" else "after")

    lost = await bench.channel.create(asked)
    seen = await bench.count(KEY)
    found = await bench.channel.query(asked)
    again = await bench.channel.create(asked)

    assert said(lost) == LOST
    assert seen == (0 if when == "before" else 1)
    assert (said(found) == NEVER) == (when == "before")
    assert said(again) == (CHARGED if bench.pays else (Outcome.ACTION, Stage.NONE))
    assert await bench.count(KEY) == 1


async def test_nobody_listening_is_provably_not_sent(bench: Bench) -> None:
    asked, can = attempt_at(bench, channel_ref="x"), bench.channel.capabilities
    back = refund_of(asked, 1)
    results = [
        await bench.unreachable.create(replace(asked, method=bench.pays or bench.waits)),
        await bench.unreachable.query(asked),
        *([await bench.unreachable.void(asked)] if can.can_void else []),
        *([await bench.unreachable.capture(asked, bench.amount)] if can.can_authorize else []),
        *([await bench.unreachable.refund(asked, back)] if can.can_refund else []),
        *([await bench.unreachable.query_refund(asked, back)] if can.can_refund else []),
    ]

    assert {said(result) for result in results} == {(Outcome.NOT_SENT, Stage.NONE)}
    assert not any(finding.is_good for finding in (await bench.unreachable.check())[:1])


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (502, b"<h1>Bad Gateway</h1>"), (200, b"<h1>ok</h1>"), (200, b""), (200, b"[]"), (200, b'{"id": 1')],
)
async def test_answer_that_makes_no_sense_is_unknown_and_no_query_believes_it(
    bench: Bench, status: int, body: bytes
) -> None:
    channel, can = bench.hearing(status, {"Content-Type": "application/json"}, body), bench.channel.capabilities
    asked = attempt_at(bench, channel_ref="x")
    back = refund_of(asked, 1)

    writes = [
        await channel.create(replace(asked, method=bench.pays or bench.waits)),
        *([await channel.capture(asked, bench.amount)] if can.can_authorize else []),
        *([await channel.refund(asked, back)] if can.can_refund else []),
    ]
    closed = [await channel.void(asked)] if can.can_void else []
    looks = [await channel.query(asked), *([await channel.query_refund(asked, back)] if can.can_refund else [])]

    assert {said(result) for result in writes + looks} == {LOST}
    # A signed yes to closing may be its status alone: WeChat's has no body.
    assert {said(result) for result in closed} <= ({LOST, VOIDED} if status == 200 else {LOST})
    await channel.aclose()


async def test_check_finds_a_good_channel_good(bench: Bench) -> None:
    found = await bench.channel.check()

    assert found
    assert [finding.name for finding in found if not finding.is_good] == []


# ---- closing, holding, taking ------------------------------------------------------------------------------------


@closing
async def test_void_closes_what_is_unpaid_and_may_be_repeated(bench: Bench) -> None:
    created = await bench.channel.create(attempt_at(bench))
    open_ = attempt_at(bench, channel_ref=created.channel_ref)

    assert said(await bench.channel.void(open_)) == VOIDED
    assert said(await bench.channel.void(open_)) == VOIDED
    assert said(await bench.channel.query(open_)) == VOIDED


@closing
async def test_void_after_the_money_says_charged(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))

    result = await bench.channel.void(charged)

    assert (said(result), result.amount) == (CHARGED, bench.amount)


@closing
async def test_void_of_what_was_never_seen_says_so(bench: Bench) -> None:
    assert said(await bench.channel.void(attempt_at(bench))) == NEVER


@closing
@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_answer_to_void_is_unknown_and_asking_again_ends_it(bench: Bench, when: str) -> None:
    created = await bench.channel.create(attempt_at(bench))
    open_ = attempt_at(bench, channel_ref=created.channel_ref)
    await bench.lose("void", "before" if when == "before" else "after")

    assert said(await bench.channel.void(open_)) == LOST
    assert (said(await bench.channel.query(open_)) == VOIDED) == (when == "after")
    assert said(await bench.channel.void(open_)) == VOIDED


@holding
async def test_held_money_is_taken_and_the_taking_may_be_repeated(bench: Bench) -> None:
    held = await hold(bench, held_at(bench))

    taken = await bench.channel.capture(held, bench.amount)
    again = await bench.channel.capture(held, bench.amount)

    assert (said(taken), taken.amount) == (CHARGED, bench.amount)
    assert (said(again), again.amount, again.movement_ref) == (CHARGED, bench.amount, taken.movement_ref)
    assert said(await bench.channel.query(held)) == CHARGED


@taking_parts
async def test_held_money_is_taken_in_part(bench: Bench) -> None:
    held = await hold(bench, held_at(bench))
    part = Money(bench.amount.amount_minor - 50, bench.amount.currency)

    taken = await bench.channel.capture(held, part)
    more = await bench.channel.capture(held, Money(50, part.currency))

    assert (said(taken), taken.amount) == (CHARGED, part)
    assert more.outcome is not Outcome.DONE or more.amount == part
    assert (await bench.channel.query(held)).amount == part


@holding
async def test_no_more_is_taken_than_is_held(bench: Bench) -> None:
    held = await hold(bench, held_at(bench))

    result = await bench.channel.capture(held, Money(bench.amount.amount_minor + 1, bench.amount.currency))

    assert said(result) == (Outcome.REJECTED, Stage.NONE)
    assert (await bench.channel.query(held)).stage is Stage.AUTHORIZED


@holding
async def test_held_money_is_let_go(bench: Bench) -> None:
    held = await hold(bench, held_at(bench))

    assert said(await bench.channel.void(held)) == VOIDED
    assert (await bench.channel.capture(held, bench.amount)).stage is not Stage.CHARGED
    assert said(await bench.channel.query(held)) == VOIDED


@holding
@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_answer_to_capture_is_unknown_and_asking_again_ends_it(bench: Bench, when: str) -> None:
    held = await hold(bench, held_at(bench))
    await bench.lose("capture", "before" if when == "before" else "after")

    assert said(await bench.channel.capture(held, bench.amount)) == LOST
    assert (await bench.channel.query(held)).stage is (Stage.AUTHORIZED if when == "before" else Stage.CHARGED)
    ended = await bench.channel.capture(held, bench.amount)
    assert (said(ended), ended.amount) == (CHARGED, bench.amount)


async def test_what_a_channel_cannot_do_is_refused_without_a_call(bench: Bench) -> None:
    """Asked where nobody listens: a call would say so."""
    can, channel, asked = bench.channel.capabilities, bench.unreachable, attempt_at(bench, channel_ref="x")
    part = Money(bench.amount.amount_minor - 50, bench.amount.currency)
    answers: list[Result] = []
    if not can.can_authorize:
        answers += [await channel.create(held_at(bench)), await channel.capture(asked, bench.amount)]
    if not (can.can_authorize and can.can_capture_partly):
        answers.append(await channel.capture(asked, part))
    if not can.can_void:
        answers.append(await channel.void(asked))
    if not can.can_refund:
        answers.append(await channel.refund(asked, refund_of(asked, 1)))
    if not can.has_statement:
        with pytest.raises(StatementRefused):
            await anext(channel.statement(A_DAY))

    assert [said(answer) for answer in answers] == [REFUSED] * len(answers)
    assert all(answer.code for answer in answers)


# ---- giving back -------------------------------------------------------------------------------------------------


@giving_parts_back
async def test_refunds_give_back_part_and_then_the_rest(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))
    part, rest = refund_of(charged, 30), refund_of(charged, bench.amount.amount_minor - 30, 2)

    results = [await bench.channel.refund(charged, one) for one in (part, rest)]
    found = [await bench.channel.query_refund(charged, one) for one in (part, rest)]

    assert {said(result) for result in results} <= {REFUNDED, (Outcome.PENDING, Stage.NONE)}
    assert [(said(result), result.amount) for result in found] == [(REFUNDED, part.amount), (REFUNDED, rest.amount)]
    assert found[0].movement_ref != found[1].movement_ref
    assert await bench.given_back(KEY) == bench.amount.amount_minor


@giving_back
async def test_refund_sent_twice_is_one(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))
    whole = refund_of(charged, bench.amount.amount_minor)

    first, again = await bench.channel.refund(charged, whole), await bench.channel.refund(charged, whole)

    assert (said(again), again.movement_ref) == (said(first), first.movement_ref)
    assert await bench.given_back(KEY) == bench.amount.amount_minor


@giving_back
async def test_no_more_is_given_back_than_was_taken(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))

    over = await bench.channel.refund(charged, refund_of(charged, bench.amount.amount_minor + 1))

    assert said(over) == (Outcome.REJECTED, Stage.NONE)
    assert over.code is not None
    assert await bench.given_back(KEY) == 0


@giving_back
async def test_refund_of_nothing_is_rejected(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))

    assert said(await bench.channel.refund(charged, refund_of(charged, 0))) == (Outcome.REJECTED, Stage.NONE)
    assert await bench.given_back(KEY) == 0


@giving_back
async def test_query_of_a_refund_never_seen_says_so(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))

    assert said(await bench.channel.query_refund(charged, refund_of(charged, 1))) == NEVER


@giving_back
@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_answer_to_refund_is_unknown_and_gives_back_once(bench: Bench, when: str) -> None:
    charged = await charge(bench, attempt_at(bench))
    back = refund_of(charged, bench.amount.amount_minor)
    await bench.lose("refund", "before" if when == "before" else "after")

    lost = await bench.channel.refund(charged, back)
    found = await bench.channel.query_refund(charged, back)
    await bench.channel.refund(charged, back)

    assert said(lost) == LOST
    assert said(found) == (NEVER if when == "before" else REFUNDED)
    assert said(await bench.channel.query_refund(charged, back)) == REFUNDED
    assert await bench.given_back(KEY) == bench.amount.amount_minor


# ---- notices -----------------------------------------------------------------------------------------------------


async def test_notice_tells_what_the_query_tells(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))
    asked = await bench.channel.query(charged)

    notice = bench.channel.verify_notice(await bench.notice(1), bench.now_us)

    assert (notice.attempt_key, notice.refund_key, notice.dispute) == (KEY, None, None)
    assert notice.event_id
    assert (said(notice.result), notice.result.amount) == (CHARGED, bench.amount)
    assert notice.result.movement_ref == asked.movement_ref


async def test_notice_of_a_refund_names_it(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))
    back = refund_of(charged, 30)
    await bench.channel.refund(charged, back)

    notice = bench.channel.verify_notice(await bench.notice(2), bench.now_us)

    assert (notice.attempt_key, notice.refund_key) == (KEY, back.key)
    found = await bench.channel.query_refund(charged, back)
    assert (said(found), found.amount) == (REFUNDED, back.amount)
    if bench.tells_refunds_whole:
        assert (said(notice.result), notice.result.amount) == (REFUNDED, back.amount)
        assert notice.result.movement_ref == found.movement_ref
    else:  # nothing is taken from a sum of several: the query says how much went back
        assert (said(notice.result), notice.result.amount) == ((Outcome.PENDING, Stage.NONE), None)


@pytest.mark.parametrize("spoil", ["byte", "end", "header", "no header", "garbage", "stranger"])
async def test_notice_that_is_not_the_channels_is_refused(bench: Bench, spoil: str) -> None:
    await charge(bench, attempt_at(bench))
    raw = await bench.notice(1)
    bench.channel.verify_notice(raw, bench.now_us)
    middle = len(raw.body) // 2
    spoilt = {
        "byte": RawNotice(raw.headers, raw.body[:middle] + bytes([raw.body[middle] ^ 1]) + raw.body[middle + 1 :]),
        "end": RawNotice(raw.headers, raw.body[:-3]),
        "header": RawNotice({k: v[:-5] + "AAAA" + v[-1] for k, v in raw.headers.items()}, raw.body),
        "no header": RawNotice({}, raw.body),
        "garbage": RawNotice(dict.fromkeys(raw.headers, "t=,v1=,=,,t=x"), raw.body),
        "stranger": bench.resigned(raw, at_us=bench.now_us, by="stranger"),
    }[spoil]
    if spoil in ("header", "no header", "garbage") and bench.signs_in_body:
        assert bench.channel.verify_notice(spoilt, bench.now_us) == bench.channel.verify_notice(raw, bench.now_us)
        return

    with pytest.raises(NoticeRefused):
        bench.channel.verify_notice(spoilt, bench.now_us)


async def test_05_15_notice_is_refused_at_every_other_channels_endpoint(bench: Bench, tmp_path: Path) -> None:
    await charge(bench, attempt_at(bench))
    raw = await bench.notice(1)

    for code in sorted(CHANNELS.keys() - {bench.channel.code}):
        async with bench_of(code, tmp_path / code) as other:
            with pytest.raises(NoticeRefused):
                other.channel.verify_notice(raw, bench.now_us)


@pytest.mark.parametrize("by", ["current", "next"])
async def test_either_of_two_secrets_verifies_while_one_replaces_the_other(bench: Bench, by: str) -> None:
    await charge(bench, attempt_at(bench))

    anew = bench.resigned(await bench.notice(1), at_us=bench.now_us, by="next" if by == "next" else "current")

    assert bench.channel.verify_notice(anew, bench.now_us).attempt_key == KEY


@pytest.mark.parametrize(("off_s", "is_taken"), [(-301, False), (-299, True), (299, True), (301, False)])
async def test_dated_notice_is_taken_within_five_minutes_only(bench: Bench, off_s: int, is_taken: bool) -> None:
    await charge(bench, attempt_at(bench))
    dated = bench.resigned(await bench.notice(1), at_us=bench.now_us + off_s * 1_000_000, by="current")

    if is_taken or not bench.channel.capabilities.is_dated:
        assert bench.channel.verify_notice(dated, bench.now_us).attempt_key == KEY
    else:
        with pytest.raises(NoticeRefused):
            bench.channel.verify_notice(dated, bench.now_us)


async def test_acks_differ_by_whether_the_notice_was_kept(bench: Bench) -> None:
    assert 200 <= bench.channel.ack(accepted=True).status < 300
    assert bench.channel.ack(accepted=False) != bench.channel.ack(accepted=True)


# ---- statements --------------------------------------------------------------------------------------------------


@accounting
async def test_statement_of_a_day_lists_what_moved_and_is_the_same_twice(bench: Bench) -> None:
    charged = await charge(bench, attempt_at(bench))
    back = refund_of(charged, 30)
    if bench.channel.capabilities.can_refund_partly:
        await bench.channel.refund(charged, back)
    day = await bench.close_day()

    first = [line async for line in bench.channel.statement(day)]
    again = [line async for line in bench.channel.statement(day)]

    assert first == again
    assert {(line.channel, line.currency) for line in first} == {(bench.channel.code, bench.amount.currency)}
    assert all(line.net_minor == line.gross_minor + line.fee_minor and line.fee_minor <= 0 for line in first)
    [paid] = [line for line in first if line.kind is LineKind.PAYMENT]
    assert (paid.our_ref, paid.gross_minor) == (KEY, bench.amount.amount_minor)
    returned = [(line.our_ref, line.refund_ref, line.gross_minor) for line in first if line.kind is LineKind.REFUND]
    assert returned == ([(KEY, back.key, -30)] if bench.channel.capabilities.can_refund_partly else [])


@accounting
async def test_statement_of_a_day_that_cannot_be_had_is_refused(bench: Bench) -> None:
    with pytest.raises(StatementRefused):
        async for _ in bench.unreachable.statement(datetime.fromtimestamp(bench.now_us / 1_000_000, UTC).date()):
            pass
