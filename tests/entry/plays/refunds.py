"""Money that goes back."""

from tests.entry.hubs import BREAKS, CANCEL, CHECKOUT, order_of, reached, until
from tests.entry.plays.scene import Scene, paid_order
from tests.entry.plays.stage import AFTER_A_DAY_S, Stage, number_of


async def given_back(stage: Stage, name: str) -> None:
    """The seller gives a whole price back: once, and the right ends."""
    order_id = await paid_order(stage, name)
    async with stage.partner() as seller:
        await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
        await reached(seller, order_id, status="REFUNDED", fulfilmentStatus="REVOKED", within_s=60)


async def given_back_in_silence(stage: Stage, name: str) -> None:
    """Likewise, but the answer is lost and no notice comes: the hub asks."""
    await paid_order(stage, name)
    if not stage.is_last:
        await stage.sandbox.arm("refund", "drop_after_commit")
        await stage.sandbox.arm("notice", "never")
    await given_back(stage, name)


async def called_off(stage: Stage, name: str) -> None:
    """A refund that the channel did not take is called off; one that has gone meanwhile stays gone."""
    order_id = await paid_order(stage, name)
    async with stage.partner() as seller:
        asked = await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
        answer = await seller.query(
            REFUND_CANCEL, {"input": {"refundId": asked["refund"]["id"], "idempotencyKey": name}}
        )
        told = answer["refundCancel"]
        assert told["refund"]["state"] == "CANCELED" or told["userErrors"]


async def refund_lost(stage: Stage, name: str) -> None:
    """Before any death: the money goes back, the answer is lost, and the channel says nothing more."""
    order_id = await paid_order(stage, name)
    await stage.sandbox.arm("refund", "drop_after_commit")
    await stage.sandbox.arm("notice", "never", times=0)
    await stage.sandbox.arm("find_refund", "unavailable", times=0)
    async with stage.partner() as seller:
        asked = await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
    assert asked["refund"]["state"] == "UNKNOWN"


async def refund_unresolved(stage: Stage, name: str) -> None:
    """A day without a word: a person is told; then the channel speaks."""
    number = await number_of(stage, name)  # the buyer's token has ended by then
    async with stage.operator() as operator:
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]
        order_id = order["id"]

        async def is_shown() -> bool:
            breaks = (await operator.query(BREAKS, {}))["breaks"]["nodes"]
            return ("UNRESOLVED", order_id) in [(one["kind"], (one["order"] or {}).get("id")) for one in breaks]

        if not stage.is_last:
            await until(is_shown, what="a Break")
        else:
            await reached(operator, order_id, status="REFUNDED", within_s=90)


async def refund_unsent(stage: Stage, name: str) -> None:
    """Before any death: the channel takes no refund."""
    order_id = await paid_order(stage, name)
    await stage.sandbox.arm("refund", "rate_limit", times=0, reference=f"{await number_of(stage, name)}-1")
    async with stage.partner() as seller:
        asked = await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
    assert asked["refund"]["state"] == "REQUESTED"


async def refund_expired(stage: Stage, name: str) -> None:
    """It took none for a day: the refund is called off, and the seller has the money."""
    number = await number_of(stage, name)
    async with stage.operator() as operator:
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]

        async def is_called_off() -> bool:
            refunds = (await operator.query(REFUNDS_OF, {"id": order["id"]}))["order"]["refunds"]
            return [one["state"] for one in refunds] == ["CANCELED"]

        await until(is_called_off, within_s=60, what="called off")


async def paid_late(stage: Stage, name: str) -> None:
    """Given up, and then paid all the same: the money goes back by itself."""
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
        order_id, reference = asked["order"]["id"], f"{asked['order']['number']}-1"

        async def is_given_up() -> bool:
            answer = await learner.query(CANCEL, {"input": {"orderId": order_id, "idempotencyKey": name}})
            return bool((await order_of(learner, order_id))["status"] == "CANCELED" or not answer)

        await until(is_given_up, what="given up")
        [movement] = await stage.sandbox.find(reference)
        if movement["status"] == "canceled":
            await stage.sandbox.charge(reference)

        async def is_back() -> bool:
            order = (await learner.query(REFUNDS_OF, {"id": order_id}))["order"]
            return [(one["state"], one["isAutomatic"]) for one in order["refunds"]] == [("SUCCEEDED", True)]

        await until(is_back, within_s=60, what="the money back")


async def policed(stage: Stage, name: str) -> None:
    """A merchant says what becomes of late money."""
    async with stage.partner() as seller:
        merchant = (await seller.query("{ viewer { platform { merchant { id } } } }", {}))["viewer"]["platform"]
        told = await seller.mutate(POLICY, {"merchantId": merchant["merchant"]["id"], "lateMoney": "REFUND"})
    assert told["lateMoney"] == "REFUND"


REFUND = """mutation($input: RefundCreateInput!) { refundCreate(input: $input) {
  refund { id state } userErrors { code message } } }"""
REFUND_CANCEL = """mutation($input: RefundCancelInput!) { refundCancel(input: $input) {
  refund { state } userErrors { code } } }"""
REFUNDS_OF = "query($id: ID!) { order(id: $id) { refunds { state isAutomatic } } }"
POLICY = """mutation($input: MerchantPolicySetInput!) { merchantPolicySet(input: $input) {
  lateMoney userErrors { code message } } }"""


REFUNDS: dict[str, Scene] = {
    "open_refund": Scene(given_back),
    "submit_refund": Scene(given_back),
    "record_refund": Scene(given_back),
    "finish_refund_request": Scene(given_back),
    "record_refund_query": Scene(given_back_in_silence),
    "report_refund_unresolved": Scene(refund_unresolved, before=refund_lost, ahead_s=AFTER_A_DAY_S),
    "expire_refund": Scene(refund_expired, before=refund_unsent, ahead_s=AFTER_A_DAY_S),
    "cancel_refund": Scene(called_off, fault=("payments", "refund", "rate_limit", 30)),
    "open_return": Scene(paid_late),
    "keep_policy": Scene(policed),
    "channel.refund": Scene(given_back),
    "channel.query_refund": Scene(given_back_in_silence),
}  # fmt: skip
