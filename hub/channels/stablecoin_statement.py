"""A day of the splitter's own events as lines of ours: purchases and refunds, in the order of the chain."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

from hub.channels.connecting import OnChain
from hub.channels.stablecoin_whereabouts import all_movements
from hub.domain.checkout import money_of
from hub.domain.statements import LineKind, StatementLine
from hub.ports import ChainUnavailable, Movement, StatementRefused

# Blocks carry their producers' clocks: on a chain of our own none comes that is older than this.
LATE_US = 15 * 60 * 1_000_000


async def statement_lines(
    on_chain: OnChain, code: str, currency: str, day: date, now_us: int
) -> AsyncIterator[StatementLine]:
    """Of the blocks that are dated this day by UTC, in this channel's token alone. Raises StatementRefused, also until
    all of them are final."""
    from_us, until_us = _midnight_us(day), _midnight_us(day + timedelta(days=1))
    # A chain of our own makes no blocks while nothing happens, so none tells that a day is over.
    is_over = on_chain.is_embedded and now_us >= until_us + LATE_US
    try:
        place = await on_chain.checkout.place()
        moved = await all_movements(on_chain.checkout, from_us, until_us, is_over=is_over)
    except ChainUnavailable as unavailable:
        raise StatementRefused(f"ask again later: {unavailable}") from unavailable
    for one in moved:
        line = await _line(on_chain, code, currency, place.decimals, one) if one.token == place.token else None
        if line is not None:
            yield line


async def _line(on_chain: OnChain, code: str, currency: str, decimals: int, moved: Movement) -> StatementLine | None:
    """None for an amount without an exact form, which no offer of ours has: the indexer tells staff of such a purchase,
    and it does not keep the day's other lines from them."""
    order_key = f"0x{moved.order_key.hex()}"
    attempt_key, refund_key = await on_chain.names_of(order_key)
    money = money_of(moved.price, currency, decimals)
    if money is None and attempt_key is None:
        return None
    if money is None:
        raise StatementRefused(f"{moved.place} moved {moved.price} units, which have no exact form in {currency}")
    gross = -money.amount_minor if moved.is_refund else money.amount_minor
    return StatementLine(
        channel=code,
        line_id=moved.place,
        kind=LineKind.REFUND if moved.is_refund else LineKind.PAYMENT,
        our_ref=attempt_key,
        channel_ref=order_key,
        refund_ref=refund_key if moved.is_refund else None,
        gross_minor=gross,
        fee_minor=0,
        net_minor=gross,
        currency=currency,
        occurred_at_us=moved.at_us,
        raw=moved.raw,
    )


def _midnight_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
