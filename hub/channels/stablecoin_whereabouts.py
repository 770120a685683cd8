"""Where an order key was bought. Another splitter takes the present one's place at an upgrade, and a key commits to the
one that it was shown for: that one sells, refunds and tells of it as before.
"""

from collections.abc import Sequence
from dataclasses import replace

from hub.ports import Checkout, Movement, PurchaseStanding


async def whereabouts(checkout: Checkout, order_key: bytes) -> tuple[Checkout, PurchaseStanding]:
    """The splitter that has sold it, and what became of it; the present one, and not bought, where none has. Raises
    ChainUnavailable."""
    not_bought: list[PurchaseStanding] = []
    for one in (checkout, *checkout.former):
        standing = await one.standing(order_key)
        if standing.bought_at is not None:
            return one, standing
        not_bought.append(standing)
    # Asked one after the other, of nodes that may lag: too late is what was too late for each.
    return checkout, replace(not_bought[0], confirmed_at=min(one.confirmed_at for one in not_bought))


async def all_movements(checkout: Checkout, from_us: int, until_us: int, *, is_over: bool) -> Sequence[Movement]:
    """Of all splitters, by their blocks' dates. See `Checkout.movements`."""
    told = [
        movement
        for one in (checkout, *checkout.former)
        for movement in await one.movements(from_us, until_us, is_over=is_over)
    ]
    return sorted(told, key=lambda movement: movement.at_us)
