"""After an upgrade another splitter sells; what was shown or bought at the former one is asked of that one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hub.channels.stablecoin import StablecoinChannel
from hub.domain.payments import Outcome, PaymentAttempt, Stage
from hub.ports import Movement
from tests.channels.benches import NOW_US, Clock, refund_of
from tests.channels.splitters import (
    BOUGHT,
    DAY,
    KEYS,
    NOT_BOUGHT,
    PAID,
    PLACE,
    RECEIPT,
    TERMS,
    TREASURY,
    Contracts,
    made,
    offer_to_treasury,
    said,
    shown,
)

NEXT = replace(PLACE, splitter=bytes([5]) * 20)


@pytest.fixture
def former() -> Contracts:
    return Contracts(open_={offer_to_treasury()})


@pytest.fixture
def present(former: Contracts) -> Contracts:
    return Contracts(place_=NEXT, open_={offer_to_treasury()}, former=[former])


@pytest.fixture
def channel(present: Contracts) -> StablecoinChannel:
    return made(present, Clock(), is_embedded=False, token="0x" + PLACE.token.hex(), treasury="0x" + TREASURY.hex())


@pytest.fixture
async def asked(former: Contracts) -> PaymentAttempt:
    """Shown before the upgrade."""
    before = made(former, Clock(), token="0x" + PLACE.token.hex(), treasury="0x" + TREASURY.hex())
    return await shown(before)


@pytest.mark.parametrize("call", ["query", "void"])
async def test_what_was_paid_at_a_former_splitter_is_charged_also_past_its_deadline(
    channel: StablecoinChannel, present: Contracts, former: Contracts, asked: PaymentAttempt, call: str
) -> None:
    late = replace(NOT_BOUGHT, confirmed_at=asked.expires_at_us // 10**6 + 1)
    present.standing_ = late
    former.standing_, former.paid_ = BOUGHT, PAID
    result = await (channel.query if call == "query" else channel.void)(asked)
    assert said(result) == (Outcome.DONE, Stage.CHARGED, None)
    assert (result.amount, result.channel_ref) == (asked.amount, asked.channel_ref)

    former.standing_ = late
    assert said(await channel.query(asked)) == (Outcome.DONE, Stage.VOIDED, None)


async def test_nothing_ends_while_the_former_splitters_blocks_are_not_past_its_deadline(
    channel: StablecoinChannel, present: Contracts, former: Contracts, asked: PaymentAttempt
) -> None:
    """The two are asked one after the other, and the second node may lag."""
    deadline = asked.expires_at_us // 10**6
    present.standing_ = replace(NOT_BOUGHT, confirmed_at=deadline + 1)
    former.standing_ = replace(NOT_BOUGHT, confirmed_at=deadline)
    result = await channel.query(asked)
    assert (result.outcome, result.channel_ref) == (Outcome.ACTION, asked.channel_ref)


async def test_what_was_bought_at_a_former_splitter_is_given_back_there(
    channel: StablecoinChannel, present: Contracts, former: Contracts, asked: PaymentAttempt
) -> None:
    former.standing_, former.paid_, former.receipt = BOUGHT, PAID, RECEIPT
    former.after = replace(BOUGHT, is_refunded=True, is_refund_confirmed=True)
    whole = refund_of(asked, 1250)
    assert said(await channel.refund(asked, whole)) == (Outcome.DONE, Stage.REFUNDED, None)
    assert said(await channel.query_refund(asked, whole)) == (Outcome.DONE, Stage.REFUNDED, None)
    assert ([call.purpose for call in former.carried], present.carried) == (
        [f"refund:{(asked.channel_ref or '')[2:]}"], []
    )  # fmt: skip


async def test_a_statement_tells_of_all_splitters_by_their_blocks_dates(
    channel: StablecoinChannel, present: Contracts, former: Contracts
) -> None:
    def moved(place: str, at_us: int) -> Movement:
        return Movement(place, at_us, KEYS[0], PLACE.token, TERMS.price, is_refund=False, raw="{}")

    present.moved = [moved("0xnew:1", NOW_US + 1)]
    former.moved = [moved("0xold:1", NOW_US), moved("0xold:2", NOW_US + 2)]
    assert [line.line_id async for line in channel.statement(DAY)] == ["0xold:1", "0xnew:1", "0xold:2"]
    assert [line async for line in channel.statement(DAY + timedelta(days=1))] == []
