"""What plays are given: a folder with everything they need, and who serves from it at the moment."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from websockets.exceptions import WebSocketException

from hub.entry.demo_client import Client, DemoFailed
from tests.entry.hubs import House, Sandbox, Serving, Sold

HONOURER = "folio"
# Beyond every lease (a task's 45 s, a request's 40 s) and the sandbox's own 65 s before "never seen" is believed.
AFTER_LEASES_S = 75.0
# Beyond the longest pause between the first questions about a payment, too: 300 s, where several have died over it.
AFTER_PAUSES_S = 400.0
# Beyond an order's deadline and the time after which an unknown outcome is shown to a person, a day each.
AFTER_A_DAY_S = 25 * 3600.0
DEAD = (httpx.HTTPError, DemoFailed, WebSocketException, ConnectionError)  # what a client sees of a hub that dies


@dataclass
class Stage:
    """A folder with everything that plays need; `hub` is who serves at the moment."""

    house: House
    hub: Serving
    learner_token: str
    partner_token: str
    operator_token: str
    listings: dict[str, Sold] = field(default_factory=dict)
    is_last: bool = False  # the hub lives: plays may wait for their end
    ahead_s: float = (
        0  # how far the clock is ahead: it never goes back while money is under way, or batches wait for it
    )

    @asynccontextmanager
    async def learner(self) -> AsyncIterator[Client]:
        async with Client(self.hub.origin, self.learner_token) as client:
            yield client

    @asynccontextmanager
    async def partner(self) -> AsyncIterator[Client]:
        async with Client(self.hub.origin, self.partner_token) as client:
            yield client

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Client]:
        async with Client(self.hub.origin, self.operator_token) as client:
            yield client

    @property
    def sandbox(self) -> Sandbox:
        return self.house.sandbox()


Play = Callable[[Stage, str], Awaitable[None]]


async def number_of(stage: Stage, name: str) -> str:
    sql = f"SELECT number FROM order_ WHERE listing_id = '{stage.listings[name].listing_id}'"
    [(number,)] = await stage.house.rows(sql)
    return str(number)


def named(point: str) -> str:
    """A point as a name that keys, ids and files may have."""
    return point.replace(": ", "-").replace(" ", "-").replace(".", "-").replace("_", "-")
