"""What the stablecoin channel puts on sale and takes off, and what its statements tell of a day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from eth_utils.crypto import keccak

from hub.channels.stablecoin import StablecoinChannel
from hub.channels.stablecoin_statement import LATE_US
from hub.domain.checkout import offer_id
from hub.domain.money import Money
from hub.domain.statements import LineKind, StatementLine
from hub.ports import (
    Movement,
    StatementRefused,
)
from tests.channels.benches import NOW_US, Clock
from tests.channels.splitters import (
    DAY,
    KEYS,
    OFFER,
    PAYEE,
    PLACE,
    SALE,
    TERMS,
    TREASURY,
    TREASURY_SPLIT,
    Contracts,
    made,
    shown,
)


async def test_what_is_sold_and_not_open_is_put_on_sale_and_its_split_before_it(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    dear, odd = (replace(SALE, price=Money(minor, "USD")) for minor in (9_900, 4_200))
    foreign = replace(SALE, price=Money(9_900, "CNY"))
    others = replace(odd, shares=((None, 10_000),))
    told = {OFFER}

    splits, offers = await channel.differences(contracts, [SALE, dear, foreign, dear, others], told, [])

    assert {call.purpose for call in splits} == {f"split:{one.hex()}" for one in (TERMS.split_id, TREASURY_SPLIT)}
    named = [offer_named(9_900), offer_named(4_200, TREASURY_SPLIT)]
    assert [call.purpose for call in offers] == [f"offer:{one.hex()}" for one in sorted(named)]

    contracts.splits = {TERMS.split_id, TREASURY_SPLIT}
    contracts.open_ |= {named[0]}  # which the log does not tell yet
    [[only]] = await channel.differences(contracts, [SALE, dear, foreign, dear, others], told, [])
    assert only.purpose == f"offer:{named[1].hex()}"


async def test_what_nothing_sells_is_taken_off_unless_a_shown_order_waits_for_it(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    asked = await shown(channel)
    dear = offer_named(9_900)
    contracts.open_ = {OFFER, dear}
    contracts.splits = {TERMS.split_id}
    closing = [f"close:{one.hex()}" for one in sorted((OFFER, dear))]

    [calls] = await channel.differences(contracts, [], {OFFER, dear}, [])
    assert [call.purpose for call in calls] == closing
    [calls] = await channel.differences(contracts, [], {OFFER, dear}, [asked])
    assert [call.purpose for call in calls] == [f"close:{dear.hex()}"]
    [calls] = await channel.differences(contracts, [SALE], {OFFER, dear}, [asked, replace(asked, channel_ref=None)])
    assert [call.purpose for call in calls] == [f"close:{dear.hex()}"]
    other = replace(asked, key="TB-7-2")  # its order key is another one's
    [calls] = await channel.differences(contracts, [], {OFFER, dear}, [other])
    assert [call.purpose for call in calls] == closing
    contracts.open_ = set()  # closed by now, which the log does not tell yet
    assert await channel.differences(contracts, [], {OFFER, dear}, []) == []


async def test_a_payees_new_address_is_another_offer_and_a_shown_order_keeps_the_old_one(
    contracts: Contracts, clock: Clock
) -> None:
    before = made(contracts, clock, token="test", treasury="0x" + TREASURY.hex())
    old = offer_named(1_250, TREASURY_SPLIT)
    contracts.open_ = {old}
    asked = await shown(before)
    after = made(contracts, clock, token="test", treasury="0x" + PAYEE.hex())

    steps = await after.differences(contracts, [SALE], {old}, [asked])
    assert [call.purpose.partition(":")[0] for [call] in steps] == ["split", "offer"]
    steps = await after.differences(contracts, [SALE], {old}, [])
    assert [call.purpose.partition(":")[0] for [call] in steps] == ["close", "split", "offer"]


def offer_named(price_minor: int, split: bytes = TERMS.split_id) -> bytes:
    return offer_id(replace(TERMS, price=price_minor * 10**4, split_id=split), keccak)


def moving(number: int, key: bytes, price: int = 12_500_000, **fields: object) -> Movement:
    made = Movement(f"0xt:{number}", NOW_US, key, PLACE.token, price, is_refund=False, raw="{}")
    return replace(made, **fields)  # type: ignore[arg-type]  # its own fields by name


async def test_a_statement_is_the_days_purchases_and_refunds_in_our_token(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    contracts.moved = [
        moving(1, KEYS[0]), moving(2, KEYS[1], 990_000), moving(3, KEYS[0], is_refund=True),
        moving(4, KEYS[0], token=bytes([9]) * 20), moving(5, KEYS[0], at_us=NOW_US + 86_400 * 10**6),
    ]  # fmt: skip
    ours, theirs = (f"0x{key.hex()}" for key in KEYS)

    def line(n: int, kind: LineKind, ref: str | None, key: str, refund: str | None, minor: int) -> StatementLine:
        return StatementLine("stablecoin", f"0xt:{n}", kind, ref, key, refund, minor, 0, minor, "USD", NOW_US, "{}")

    assert [one async for one in channel.statement(DAY)] == [
        line(1, LineKind.PAYMENT, "TB-7-1", ours, None, 1_250),
        line(2, LineKind.PAYMENT, None, theirs, None, 99),
        line(3, LineKind.REFUND, "TB-7-1", ours, "TB-7-1-R1", -1_250),
    ]
    assert [one.line_id async for one in channel.statement(DAY + timedelta(days=1))] == ["0xt:5"]
    assert channel.capabilities.has_statement


async def test_a_day_that_is_not_final_has_no_statement_but_by_the_clock_of_a_chain_of_our_own(
    channel: StablecoinChannel, contracts: Contracts, clock: Clock
) -> None:
    contracts.is_day_final = False
    foreign = made(contracts, clock, is_embedded=False, token="0x" + "22" * 20)
    midnight_us = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp() + 86_400) * 10**6
    for now_us, refused in ((midnight_us + LATE_US - 1, (channel, foreign)), (midnight_us + LATE_US, (foreign,))):
        clock.at_us = now_us
        for one in refused:
            with pytest.raises(StatementRefused, match="not final yet"):
                await anext(one.statement(DAY))
    assert [line async for line in channel.statement(DAY)] == []


@pytest.mark.parametrize("fault", ["away", "inexact"])
async def test_a_statement_that_cannot_be_had_whole_is_refused(
    channel: StablecoinChannel, contracts: Contracts, fault: str
) -> None:
    contracts.away = fault == "away"
    contracts.moved = [moving(1, KEYS[1]), moving(2, KEYS[0], 12_500_001)]
    with pytest.raises(StatementRefused):
        [line async for line in channel.statement(DAY)]


async def test_a_strangers_purchase_at_a_price_that_is_no_money_keeps_no_line_of_the_day_back(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    contracts.moved = [moving(1, KEYS[1], 1), moving(2, KEYS[0]), moving(3, KEYS[1], 1, is_refund=True)]
    assert [line.line_id async for line in channel.statement(DAY)] == ["0xt:2"]
