"""A scene says which play, on what kind of process, gets to a fail-point; most play a plain sale."""

from collections.abc import Callable
from dataclasses import dataclass

from hub.entry.demo_client import Client
from tests.entry.hubs import CHECKOUT, CREATE, PAY, order_of, reached, until
from tests.entry.plays.stage import Play, Stage


async def sale(stage: Stage, name: str) -> None:
    """Paid at once, granted, told to the platform that honours it, anchored."""
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        await completed(stage, learner, bought["order"]["id"])


async def in_two_steps(stage: Stage, name: str) -> None:
    """`orderCreate`, then `paymentCreate`."""
    sold = stage.listings[name]
    async with stage.learner() as learner:
        made = await learner.mutate(CREATE, {"listingId": sold.listing_id, "idempotencyKey": name})
        await learner.mutate(PAY, sold.paid(made["order"]["id"], name))
        await completed(stage, learner, made["order"]["id"])


async def paid_order(stage: Stage, name: str) -> str:
    """The paid order of a checkout, which is answered again to whoever asks again."""
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        order_id = str(bought["order"]["id"])

        async def is_paid() -> bool:
            return (await order_of(learner, order_id))["status"] != "AWAITING_PAYMENT"

        await until(is_paid, within_s=60, what="paid")
    return order_id


async def waiting(stage: Stage, name: str) -> None:
    """Whatever the hub does by itself is what this play is about."""
    if not stage.is_last:
        await stage.hub.ended()


async def completed(stage: Stage, learner: Client, order_id: str) -> None:
    """Everything that a sale leads to."""
    order = await reached(learner, order_id, status="PAID", chargeStatus="FULL", chainStatus="FINALIZED", within_s=60)
    assert len(order["entitlement"]["grants"]) == 1
    assert order["entitlement"]["id"]

    async def is_told() -> bool:
        sql = f"SELECT count(*) FROM platform_access WHERE entitlement_id = '{order['entitlement']['id']}'"
        return await stage.house.rows(sql) != [(0,)]

    await until(is_told, what="the platform told")


@dataclass(frozen=True)
class Scene:
    """How to get to a point: `before` runs on a hub that lives, `play` on the one that dies."""

    play: Play = sale
    before: Play | None = None
    ahead_s: float = 0
    spoil: Callable[[], None] | None = None
    command: Callable[[Stage, str], list[str]] | None = None  # instead of a server: a command that dies
    may_be_done: bool = False  # given again, the command may say by code 1 that nothing is left to do
    fault: tuple[str, str, str, int | None] | None = None  # peer, operation, fault, value; while it dies
    engines: frozenset[str] = frozenset({"sqlite", "postgres"})
