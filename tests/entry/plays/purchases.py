"""Orders and their payments, paid or not."""

import asyncio

from hub.entry.demo_client import pay_by_card
from hub.entry.failpoints import EXIT_CODE
from tests.entry.hubs import BREAKS, CANCEL, CHECKOUT, CREATE, PAY, order_of, reached, until
from tests.entry.plays.scene import Scene, completed, in_two_steps, sale
from tests.entry.plays.stage import AFTER_A_DAY_S, AFTER_LEASES_S, DEAD, Play, Stage, number_of


async def undecided(stage: Stage, name: str) -> None:
    """The pay page stands open while the hub asks about it; paid in the end."""
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
        if not stage.is_last:
            await stage.hub.ended()
        order = await order_of(learner, asked["order"]["id"])
        if order["status"] != "PAID":
            action = asked["paymentAttempt"]["nextAction"]
            async with asyncio.timeout(60):
                while action is None:  # sent, and its answer lost: the hub learns of the page by asking
                    asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
                    action = asked["paymentAttempt"]["nextAction"]
                    await asyncio.sleep(0.2)
            await pay_by_card(action["url"], "4242 4242 4242 4242")
        await completed(stage, learner, order["id"])


async def given_up(stage: Stage, name: str) -> None:
    """Canceled before it is paid."""
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
        order_id = asked["order"]["id"]

        async def canceled() -> bool:
            answer = await learner.query(CANCEL, {"input": {"orderId": order_id, "idempotencyKey": name}})
            return bool((await order_of(learner, order_id))["status"] == "CANCELED" or not answer)

        await until(canceled, what="canceled")
    [movement] = await stage.sandbox.find(f"{asked['order']['number']}-1")
    assert (movement["status"], movement["amount_received"]) == ("canceled", 0)


async def replaced(stage: Stage, name: str) -> None:
    """Shown on one page, and paid by another attempt that takes its place."""
    sold = stage.listings[name]
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, sold.bought(name, method=None))
        order_id = asked["order"]["id"]
        first = (await order_of(learner, order_id))["paymentIntent"]["attempts"][0]["id"]

        async def is_paid() -> bool:
            await learner.query(PAY, {"input": sold.paid(order_id, f"{name} again") | {"replaces": first}})
            return bool((await order_of(learner, order_id))["status"] == "PAID")

        await until(is_paid, within_s=60, what="paid by the other")
        await completed(stage, learner, order_id)


async def held(stage: Stage, name: str) -> None:
    """Its money is held, and its merchant takes it."""
    async with stage.learner() as learner, stage.partner() as partner:
        asked = await learner.mutate(CHECKOUT, {**stage.listings[name].bought(name), "captureMethod": "MANUAL"})
        attempt_id = asked["paymentAttempt"]["id"]

        async def is_held() -> bool:
            order = await order_of(learner, asked["order"]["id"])
            return order["paymentIntent"]["status"] in ("REQUIRES_CAPTURE", "SUCCEEDED")

        if (await order_of(learner, asked["order"]["id"]))["status"] != "PAID":
            await until(is_held, within_s=60, what="held")
            taken = {"input": {"paymentAttemptId": attempt_id, "idempotencyKey": name}}
            await partner.query(TAKE, taken)  # refused where the money was taken by the hub's own second try
        await completed(stage, learner, asked["order"]["id"])


TAKE = """mutation($input: PaymentCaptureInput!) {
  paymentCapture(input: $input) { paymentAttempt { id state } userErrors { code } } }"""


async def taken_and_died(stage: Stage, name: str) -> None:
    """Before the death that is meant: another one, between the merchant's word and the call that carries it out."""
    await _die_before(stage, name, "instruct: after commit", held)


async def ruled(stage: Stage, name: str) -> None:
    """A merchant makes a rule and takes it back. Its currency is nobody's here: it chooses for no other play."""
    async with stage.partner() as partner:
        choices = [{"channel": "sandbox", "weight": 2}]
        made = await partner.mutate(RULE_PUT, {"name": name, "currency": "ISK", "choices": choices})
        await partner.mutate(RULE_DELETE, {"routingRuleId": made["routingRule"]["id"]})


RULE_PUT = """mutation($input: RoutingRuleUpsertInput!) {
  routingRuleUpsert(input: $input) { routingRule { id } userErrors { code message } } }"""
RULE_DELETE = """mutation($input: RoutingRuleDeleteInput!) {
  routingRuleDelete(input: $input) { deletedId userErrors { code message } } }"""


async def lost(stage: Stage, name: str) -> None:
    """Before any death: the request never arrives at the channel, and nobody knows that."""
    sold = stage.listings[name]
    async with stage.learner() as learner:
        made = await learner.mutate(CREATE, {"listingId": sold.listing_id, "idempotencyKey": name})
        await stage.sandbox.arm("create", "drop_before", reference=f"{made['order']['number']}-1")
        asked = await learner.mutate(PAY, sold.paid(made["order"]["id"], name))
    assert asked["paymentAttempt"]["state"] == "UNKNOWN"


async def silent(stage: Stage, name: str) -> None:
    """Before any death: the money is taken, its answer is lost, and the channel says nothing more."""
    await stage.sandbox.arm("create", "drop_after_commit")
    await stage.sandbox.arm("notice", "never")
    await stage.sandbox.arm("find", "unavailable", times=0)
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
    assert asked["paymentAttempt"]["state"] == "UNKNOWN"


async def ordered(stage: Stage, name: str) -> None:
    """Before any death: an order that nobody pays."""
    async with stage.learner() as learner:
        await learner.mutate(CREATE, {"listingId": stage.listings[name].listing_id, "idempotencyKey": name})


async def expired(stage: Stage, name: str) -> None:
    """Its time runs out."""
    async with stage.operator() as operator:
        number = await number_of(stage, name)
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]
        await reached(operator, order["id"], status="EXPIRED", chainStatus="NOT_RECORDED")


async def unresolved(stage: Stage, name: str) -> None:
    """A day without a word: a person is told; then the channel speaks, and the order is paid."""
    number = await number_of(stage, name)
    async with stage.operator() as operator:
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]

        async def is_shown() -> bool:
            breaks = (await operator.query(BREAKS, {}))["breaks"]["nodes"]
            return ("UNRESOLVED", order["id"]) in [(one["kind"], (one["order"] or {}).get("id")) for one in breaks]

        if not stage.is_last:
            await until(is_shown, what="a Break")
        else:
            await reached(operator, order["id"], status="PAID", chainStatus="FINALIZED")


async def resumed_after_a_death(stage: Stage, name: str) -> None:
    """Before the death that is meant: another one, over the call, so that the client's next try resumes."""
    await _die_before(stage, name, "channel.create: after answer", sale)


async def _die_before(stage: Stage, name: str, point: str, play: Play) -> None:
    await stage.hub.kill()
    stage.hub = await stage.house.serve(failpoint=point, ahead_s=stage.ahead_s)
    try:
        await play(stage, name)
    except DEAD:
        pass
    assert await stage.hub.ended() == EXIT_CODE


PURCHASES: dict[str, Scene] = {
    # purchase
    "admit_order": Scene(in_two_steps),
    "open_attempt": Scene(in_two_steps),
    "open_checkout": Scene(),
    "record_result": Scene(),
    "finish_request": Scene(before=resumed_after_a_death, ahead_s=AFTER_LEASES_S),
    "begin_cancel": Scene(given_up),
    "finish_cancel": Scene(given_up),
    "close_order": Scene(expired, before=ordered, ahead_s=AFTER_A_DAY_S),
    # attempts
    "record_query": Scene(undecided),
    "record_void": Scene(given_up),
    "promise_void": Scene(replaced),
    "send_again": Scene(in_two_steps, before=lost, ahead_s=AFTER_LEASES_S),
    "record_answer": Scene(in_two_steps, before=lost, ahead_s=AFTER_LEASES_S),
    "instruct": Scene(held),
    "hold_on": Scene(held, before=taken_and_died, ahead_s=AFTER_LEASES_S),
    "record_instructed": Scene(held),
    "finish_instructed": Scene(held),
    "keep_rule": Scene(ruled),
    "drop_rule": Scene(ruled),
    "keep_standing": Scene(command=lambda *_: ["channel", "start", "sandbox"]),
    "report_unresolved": Scene(unresolved, before=silent, ahead_s=AFTER_A_DAY_S),
}  # fmt: skip
