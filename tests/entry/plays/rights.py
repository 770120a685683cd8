"""Rights, and the platforms that are told of them."""

from tests.entry.hubs import CHECKOUT, REVOKE, order_of, reached, until
from tests.entry.plays.scene import Scene, sale
from tests.entry.plays.stage import HONOURER, Stage


async def revoked(stage: Stage, name: str) -> None:
    """Staff end a right whose leaf is on chain: its access list and its leaf follow."""
    await sale(stage, name)
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
    await ended(stage, bought["order"]["id"], name)


async def ended(stage: Stage, order_id: str, name: str) -> None:
    """Staff end the right of an order, once it is on chain, and there too."""
    async with stage.operator() as operator:
        order = await reached(operator, order_id, chainStatus="FINALIZED", within_s=60)
        asked = {"entitlementId": order["entitlement"]["id"], "reason": "a mistake", "idempotencyKey": name}
        await operator.mutate(REVOKE, asked)
        await reached(operator, order_id, fulfilmentStatus="REVOKED")

        async def is_closed() -> bool:
            accesses = (await order_of(operator, order_id))["entitlement"]["accesses"]
            left = await stage.house.rows("SELECT count(*) FROM task WHERE kind = 'revoke_leaf'")
            states = {access["platform"]["slug"]: access["state"] for access in accesses}
            return states[HONOURER] == "CLOSED" and left == [(0,)]

        await until(is_closed, within_s=60, what="revoked everywhere")


PLATFORMS: dict[str, Scene] = {
    "tell_platforms": Scene(),
    "keep_access": Scene(),
}  # fmt: skip
RIGHTS: dict[str, Scene] = {
    "revoke_all": Scene(revoked),
}  # fmt: skip
