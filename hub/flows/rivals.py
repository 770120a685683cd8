"""Two processes put the same new row at the same moment: the loser's unit is rolled back and run once more.

The second run finds the winner's row and goes on from it, so no caller hears of the race. SQLite has one writer and
never comes here.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx

P = ParamSpec("P")
T = TypeVar("T")


class MadeMeanwhile(Exception):
    """Raised by a unit whose new row is there already, though it had looked. A fault if it happens twice."""


async def write(hub: Hub, unit: "Callable[Concatenate[Tx, P], Awaitable[T]]", *args: P.args, **kwargs: P.kwargs) -> T:
    """`hub.store.write`, once more after MadeMeanwhile."""
    try:
        return await hub.store.write(unit, *args, **kwargs)
    except MadeMeanwhile:
        return await hub.store.write(unit, *args, **kwargs)
