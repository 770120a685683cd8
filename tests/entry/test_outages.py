"""What happens to a running hub when its neighbours fail: the chain's node dies, the channel cuts its answers, notices
come twice, forged, stale or with another sum. Sales go on, nothing is guessed, nothing is doubled."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from hub.entry.demo_client import Client, pay_by_card
from tests.entry.hubs import (
    BREAKS,
    CANCEL,
    CHECKOUT,
    LINK,
    LIST,
    House,
    Sandbox,
    Serving,
    Sold,
    order_of,
    put_on_sale,
    reached,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

HONOURER = "folio"
CARD = "4242 4242 4242 4242"
BACK_WITHIN_S = 90.0  # a node's own start takes seconds, and two cores are busy with everybody's tests


@dataclass(frozen=True, slots=True)
class Shop:
    """A running hub with its peers' controls."""

    house: House
    hub: Serving
    sandbox: Sandbox
    learner: Client
    seller: Client
    operator: Client
    _numbers: Any

    async def fresh(self) -> Sold:
        """A course that nobody has."""
        return await put_on_sale(self.seller, f"course {next(self._numbers)}")

    async def checkout(self, sold: Sold, **more: Any) -> dict[str, Any]:
        return await self.learner.mutate(CHECKOUT, sold.bought(sold.listing_id, **more))

    async def paid(self) -> dict[str, Any]:
        """A sale without any fault: its order."""
        asked = await self.checkout(await self.fresh())
        assert asked["paymentAttempt"]["state"] == "CHARGED"
        return dict(asked["order"])

    async def at_the_pay_page(self) -> tuple[dict[str, Any], str]:
        """An order whose buyer looks at the pay page: it and the page's address."""
        asked = await self.checkout(await self.fresh(), method=None)
        return dict(asked["order"]), str(asked["paymentAttempt"]["nextAction"]["url"])

    async def assert_charged_once(self, order: dict[str, Any]) -> None:
        """One attempt, one movement at the channel, one right."""
        now = await order_of(self.learner, order["id"])
        assert [attempt["state"] for attempt in now["paymentIntent"]["attempts"]] == ["CHARGED"]
        assert len(now["entitlement"]["grants"]) == 1
        moved = [status for reference, status in self.house.movements() if reference.startswith(order["number"])]
        assert moved == ["succeeded"]

    async def settled_notices(self, order: dict[str, Any], state: str) -> list[dict[str, Any]]:
        """The channel's notices of the order, once all have come to that state."""

        async def look() -> list[dict[str, Any]] | None:
            told = await self.sandbox.notices(f"{order['number']}-1")
            return told if told and all(one["state"] == state for one in told) else None

        return await until(look, what=f"notices {state}")

    async def break_kinds(self, order: dict[str, Any]) -> list[str]:
        breaks = (await self.operator.query(BREAKS, {}))["breaks"]["nodes"]
        return sorted(one["kind"] for one in breaks if (one["order"] or {}).get("id") == order["id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    house = House(tmp_path_factory.mktemp("outages") / "data")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        hub = await house.serve()
        tokens = await asyncio.gather(
            house.token("learner"), house.token("partner", platform="lumen"), house.token("operator")
        )
        learner, seller, operator = [await stack.enter_async_context(Client(hub.origin, token)) for token in tokens]
        yield Shop(house, hub, house.sandbox(), learner, seller, operator, count(1))


@pytest_asyncio.fixture(loop_scope="module")
async def shop(running: Shop) -> AsyncIterator[Shop]:
    yield running
    await running.sandbox.clear()


# ---- the chain's node ------------------------------------------------------------------------------------------------


async def test_sales_go_on_while_the_node_is_dead_and_anchoring_catches_up(shop: Shop) -> None:
    before = await shop.paid()
    await reached(shop.learner, before["id"], chainStatus="FINALIZED", within_s=BACK_WITHIN_S)
    first = shop.house.node_pid
    os.kill(first, signal.SIGKILL)
    meanwhile = [await shop.paid() for _ in range(5)]
    for order in meanwhile:
        assert (await order_of(shop.learner, order["id"]))["entitlement"]["isOpen"]
    for order in [before, *meanwhile]:
        recorded = await reached(shop.learner, order["id"], chainStatus="FINALIZED", within_s=BACK_WITHIN_S)
        assert recorded["proof"]["bundle"]
    assert shop.house.node_pid != first
    leaves = await shop.house.rows("SELECT order_id, count(*) FROM leaf GROUP BY order_id HAVING count(*) <> 1")
    assert leaves == []


# ---- the channel's answers -------------------------------------------------------------------------------------------


async def test_answer_cut_after_the_money_was_taken_is_unknown_until_the_hub_has_asked(shop: Shop) -> None:
    await shop.sandbox.arm("create", "drop_after_commit")
    await shop.sandbox.arm("notice", "never")
    asked = await shop.checkout(await shop.fresh())
    assert asked["paymentAttempt"]["state"] == "UNKNOWN"
    assert asked["order"]["status"] == "AWAITING_PAYMENT"
    await reached(shop.learner, asked["order"]["id"], status="PAID", chargeStatus="FULL")
    await shop.assert_charged_once(asked["order"])


async def test_answer_cut_before_anything_was_done_stays_unknown_and_takes_nothing(shop: Shop) -> None:
    """The channel knows of nothing; before a minute has passed that proves nothing, so the attempt stays as it is."""
    await shop.sandbox.arm("create", "drop_before")
    sold = await shop.fresh()
    asked = await shop.checkout(sold)
    assert asked["paymentAttempt"]["state"] == "UNKNOWN"
    again = await shop.checkout(sold)
    assert (again["replayed"], again["paymentAttempt"]["id"]) == (True, asked["paymentAttempt"]["id"])
    other = await shop.learner.query(CHECKOUT, {"input": sold.bought("another key")})
    assert [one for one, _ in shop.house.movements() if one.startswith(asked["order"]["number"])] == []
    assert other["checkout"]["order"]["id"] != asked["order"]["id"]


async def test_channel_that_is_down_takes_nothing_and_the_next_order_is_paid(shop: Shop) -> None:
    await shop.sandbox.arm("create", "unavailable")
    asked = await shop.checkout(await shop.fresh())
    assert asked["paymentAttempt"]["state"] == "UNKNOWN"
    await shop.assert_charged_once(await shop.paid())


async def test_answer_later_than_its_notice_changes_nothing_more(shop: Shop) -> None:
    await shop.sandbox.arm("create", "latency_ms", value=1_500)
    sold = await shop.fresh()
    paying = asyncio.create_task(shop.checkout(sold))

    async def told_by_notice() -> bool:
        sql = f"SELECT charge_status FROM order_ WHERE listing_id = '{sold.listing_id}'"
        return await shop.house.rows(sql) == [("FULL",)]

    await until(told_by_notice, what="paid by the notice")
    was_answered = paying.done()
    asked = await paying
    assert not was_answered
    assert asked["paymentAttempt"]["state"] == "CHARGED"
    await shop.assert_charged_once(asked["order"])
    assert await shop.house.rows(
        f"SELECT count(*) FROM channel_fact WHERE attempt_id = '{asked['paymentAttempt']['id']}'"
    ) == [(1,)]


# ---- a platform ------------------------------------------------------------------------------------------------------


async def test_sale_goes_on_while_a_platform_is_down_and_its_grant_is_delivered_when_it_is_back(shop: Shop) -> None:
    sold = await shop.fresh()
    await shop.sandbox.publish(HONOURER, "elsewhere")
    token = await shop.house.token("partner", platform=HONOURER)
    async with Client(shop.hub.origin, token) as honourer:
        await honourer.mutate(LIST, {"externalId": "elsewhere", "courseId": sold.course_id})
        await honourer.mutate(LINK, {"externalId": "reader", "userToken": await shop.house.token("learner")})
    await shop.sandbox.introduce(HONOURER, shop.hub.origin, token)
    await shop.sandbox.arm("*", "drop_before", peer=HONOURER)
    asked = await shop.checkout(sold)
    assert (asked["order"]["status"], asked["paymentAttempt"]["state"]) == ("PAID", "CHARGED")

    async def access(state: str) -> bool:
        right = (await order_of(shop.learner, asked["order"]["id"]))["entitlement"]
        assert right["isOpen"]
        return {"state": state, "platform": {"slug": HONOURER}} in right["accesses"]

    await until(lambda: access("UNKNOWN"), what="a lost answer of the platform")
    await reached(shop.learner, asked["order"]["id"], chainStatus="FINALIZED", within_s=BACK_WITHIN_S)
    await shop.sandbox.clear()
    await until(lambda: access("OPEN"), within_s=BACK_WITHIN_S, what="the grant delivered")
    page = await shop.sandbox.page(HONOURER, "elsewhere", "reader")
    assert page.status_code == 200
    await shop.assert_charged_once(asked["order"])


# ---- notices ---------------------------------------------------------------------------------------------------------


async def test_notice_fifty_times_at_once_has_one_effect_and_each_is_acknowledged(shop: Shop) -> None:
    order, page = await shop.at_the_pay_page()
    await shop.sandbox.arm("notice", "duplicate_n", value=50)
    await pay_by_card(page, CARD)
    await reached(shop.learner, order["id"], status="PAID")
    [notice] = await shop.settled_notices(order, "delivered")
    assert notice["tries"] == 1
    await shop.assert_charged_once(order)
    kept = f"SELECT count(*) FROM notice_inbox WHERE attempt_key = '{order['number']}-1'"
    assert await shop.house.rows(kept) == [(1,)]


@pytest.mark.parametrize("fault", ["forged", "stale"])
async def test_notice_that_is_not_provably_the_channels_is_refused_and_the_true_one_taken(
    shop: Shop, fault: str
) -> None:
    order, page = await shop.at_the_pay_page()
    await shop.sandbox.arm("find", "unavailable", times=0)  # nothing but a notice may tell
    await shop.sandbox.arm("notice", fault)
    await pay_by_card(page, CARD)

    async def refused_once() -> bool:
        return [one["tries"] for one in await shop.sandbox.notices(f"{order['number']}-1")] == [1]

    await until(refused_once, every_s=0.01, what="a refused notice")
    assert (await order_of(shop.learner, order["id"]))["status"] == "AWAITING_PAYMENT"
    await reached(shop.learner, order["id"], status="PAID")
    [notice] = await shop.settled_notices(order, "delivered")
    assert notice["tries"] == 2
    await shop.assert_charged_once(order)


async def test_signed_notice_of_another_sum_is_in_conflict_and_grants_nothing(shop: Shop) -> None:
    order, page = await shop.at_the_pay_page()
    await shop.sandbox.arm("notice", "tamper_amount")
    await shop.sandbox.arm("find", "unavailable", times=0)
    await pay_by_card(page, CARD)
    now = await reached(shop.learner, order["id"], chargeStatus="OVERCHARGED")
    assert (now["status"], now["entitlement"]) == ("AWAITING_PAYMENT", None)
    assert now["paymentIntent"]["status"] == "CONFLICTED"
    assert await shop.break_kinds(order) == ["AMOUNT"]
    assert int(now["receivedAmount"]["amountMinor"]) == 4901


async def test_late_money_of_a_canceled_order_is_kept_and_shown_and_grants_nothing(shop: Shop) -> None:
    order, _ = await shop.at_the_pay_page()
    canceled = await shop.learner.mutate(CANCEL, {"orderId": order["id"], "idempotencyKey": order["id"]})
    assert canceled["order"]["status"] == "CANCELED"
    await shop.sandbox.charge(f"{order['number']}-1")
    now = await reached(shop.learner, order["id"], chargeStatus="LATE_PAYMENT")
    assert (now["status"], now["entitlement"]) == ("CANCELED", None)
    assert await shop.break_kinds(order) == ["LATE_PAYMENT"]


async def test_books_are_right_after_all_of_it(shop: Shop) -> None:
    """Last in this file: what the tests above have done is verified."""
    await shop.house.verified()


REHEARSE = """mutation($input: SandboxFaultSetInput!) { sandboxFaultSet(input: $input) {
  armed { faults { operation fault times } } userErrors { code message } } }"""


async def test_operator_rehearses_a_lost_answer_by_a_mutation(shop: Shop) -> None:
    sold = await shop.fresh()

    set_ = await shop.operator.mutate(REHEARSE, {"operation": "CREATE", "fault": "DROP_AFTER_COMMIT"})
    made = await shop.checkout(sold)

    assert set_["armed"] == {"faults": [{"operation": "CREATE", "fault": "DROP_AFTER_COMMIT", "times": 1}]}
    assert made["paymentAttempt"]["state"] == "UNKNOWN"
    order = await reached(shop.learner, made["order"]["id"], status="PAID")
    assert [attempt["state"] for attempt in order["paymentIntent"]["attempts"]] == ["CHARGED"]
