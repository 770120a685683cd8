"""The story once through, as flows tell it: R, G, API, M, G, B, SC, T."""

from dataclasses import replace

from hub.domain.catalogue import ListingDraft
from hub.domain.entitlements import EntitlementState
from hub.domain.money import MAX_PRICE_MINOR, Money
from hub.domain.orders import ChainStatus, ChargeStatus, FulfilmentStatus, Order, OrderStatus
from hub.domain.payments import AttemptState, IntentStatus, NextAction, Outcome, PaymentAttempt
from hub.domain.refusals import StateConflict
from hub.flows import catalogue, entitlements, notices, orders, people, purchase
from hub.ports import AmountRange
from tests.flows.benches import Bench
from tests.flows.scripted import DECLINED, NOT_SENT, UNKNOWN, ScriptedPlatform, charged, delivery, result
from tests.world import DAY_US, operator, partner


async def test_checkout_charged_at_once_pays_grants_and_records(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    answer = await bench.buy(viewer, listing)
    assert isinstance(answer.value, PaymentAttempt)
    assert answer.value.state is AttemptState.CHARGED
    order = await bench.order_now(answer.value.order_id)
    assert (order.status, order.charge_status, order.intent_status) == (
        OrderStatus.PAID, ChargeStatus.FULL, IntentStatus.SUCCEEDED,
    )  # fmt: skip
    assert (order.fulfilment_status, order.chain_status) == (FulfilmentStatus.FULFILLED, ChainStatus.QUEUED)
    assert await bench.balance(f"order:{order.id}:escrow") == 9900
    assert len(await bench.grants(order.user_id, order.course_id)) == 1
    assert bench.channel.calls == [("create", f"{order.number}-1")]
    await bench.record()
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.CONFIRMED
    assert list(bench.chain.roots.values()) == [1]
    assert await bench.rows("SELECT kind FROM task") == []
    assert await bench.events(order.user_id) == [
        "ORDER_CREATED", "PAYMENT_ATTEMPT_CHANGED", "PAYMENT_ATTEMPT_CHANGED", "ORDER_PAID", "ENTITLEMENT_GRANTED",
        "ORDER_RECORDED", "ORDER_RECORDED",
    ]  # fmt: skip


async def test_action_is_shown_and_the_notice_pays(bench: Bench) -> None:
    page = NextAction("redirect", url="https://pay.example/1")
    order, attempt = await bench.waiting(told=result(Outcome.ACTION, next_action=page))
    assert (attempt.state, attempt.next_action, order.intent_status) == (
        AttemptState.ACTION, page, IntentStatus.REQUIRES_ACTION,
    )  # fmt: skip
    ack = await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))
    assert ack.status == 200
    [paid] = await bench.attempts(order.id)
    assert (paid.state, paid.next_action) == (AttemptState.CHARGED, None)
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID
    assert await bench.rows("SELECT kind FROM task") == []


async def test_declined_payment_is_data_and_another_may_follow(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    order = await bench.order(viewer, listing)
    bench.channel.then("create", DECLINED)
    declined = await bench.pay(viewer, order)
    assert declined.refusal is None
    assert declined.value is not None
    assert (declined.value.state, declined.value.code, declined.value.decline) == (
        AttemptState.DECLINED, "card_declined", "soft",
    )  # fmt: skip
    paid = await bench.pay(viewer, order, key="pay-2")
    assert paid.value is not None
    assert (paid.value.number, paid.value.state) == (2, AttemptState.CHARGED)
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID
    assert await bench.one("SELECT count(*) FROM leaf") == 2


async def test_unknown_is_asked_about_until_the_channel_says(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=TimeoutError("cut"))
    assert (attempt.state, order.intent_status) == (AttemptState.UNKNOWN, IntentStatus.PROCESSING)
    bench.clock.pass_us(purchase.FIRST_LOOK_US)
    bench.channel.then("query", UNKNOWN)
    assert await bench.work() == 1
    assert await bench.states(order.id) == [AttemptState.UNKNOWN]
    bench.clock.pass_us(5_000_000)
    assert await bench.work() == 1
    assert await bench.states(order.id) == [AttemptState.CHARGED]
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID
    assert bench.channel.count("create") == 1
    assert await bench.rows("SELECT kind FROM task") == []


async def test_price_of_zero_is_granted_and_recorded_without_an_attempt(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing(price_minor=0)
    answer = await bench.buy(viewer, listing)
    order = answer.value
    assert isinstance(order, Order)
    assert (order.status, order.charge_status, order.intent_id) == (OrderStatus.PAID, ChargeStatus.FULL, None)
    assert (bench.channel.calls, await bench.postings(), await bench.attempts(order.id)) == ([], [], [])
    assert len(await bench.grants(order.user_id, order.course_id)) == 1
    await bench.record()
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.CONFIRMED
    again = await bench.buy(viewer, listing)
    assert (again.is_replay, again.value and again.value.id) == (True, order.id)


async def test_canceled_order_voids_what_is_payable_first(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=result(Outcome.ACTION))
    answer = await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    assert answer.value is not None
    assert (answer.value.status, answer.value.intent_status) == (OrderStatus.CANCELED, IntentStatus.CANCELED)
    assert await bench.states(order.id) == [AttemptState.VOIDED]
    assert bench.channel.calls[-1] == ("void", attempt.key)
    again = await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-2")
    assert again.refusal == StateConflict(OrderStatus.CANCELED, "orderCancel")


async def test_overdue_orders_expire_and_their_unsent_requests_are_recorded(bench: Bench) -> None:
    order, _ = await bench.waiting(told=NOT_SENT)
    assert await orders.expire_orders(bench.hub) == 0
    bench.clock.pass_us(DAY_US)
    assert await orders.expire_orders(bench.hub) == 1
    expired = await bench.order_now(order.id)
    assert (expired.status, expired.intent_status, expired.chain_status) == (
        OrderStatus.EXPIRED, IntentStatus.EXPIRED, ChainStatus.QUEUED,
    )  # fmt: skip
    assert await bench.rows("SELECT token_id FROM leaf") == [("0",)]


async def test_revoked_right_ends_at_once_and_on_chain(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    bench.platforms["xue"] = ScriptedPlatform("xue")
    await bench.buy(viewer, listing)
    await bench.record()
    assert bench.platforms["xue"].opened == {listing.external_id}
    assert await bench.rows("SELECT state FROM platform_access") == [("OPEN",)]
    entitlement_id = await bench.one("SELECT id FROM entitlement")
    answer = await entitlements.revoke(
        bench.hub, operator(), entitlement_id=entitlement_id, reason="fraud", idempotency_key="revoke-1"
    )
    assert answer.value is not None
    assert answer.value.state is EntitlementState.ENDED
    assert await bench.rows("SELECT fulfilment_status FROM order_") == [("REVOKED",)]
    await bench.record()
    assert bench.platforms["xue"].opened == set()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0)}
    assert await bench.rows("SELECT kind FROM task") == []


async def test_notice_before_its_order_waits_and_is_applied(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=result(Outcome.PENDING))
    raw = delivery("evt-1", "TB0000000000000-1", charged(attempt))
    assert (await notices.receive(bench.hub, "sandbox", raw)).status == 200
    assert await bench.rows("SELECT state FROM notice_inbox") == [("WAITING",)]
    bench.clock.pass_us(1_000_000)
    task = next(task for task in await bench.claimed() if task.kind == notices.APPLY)
    assert await bench.run(task) is not None
    assert await bench.rows("SELECT state, tries FROM notice_inbox") == [("WAITING", 1)]
    assert (await bench.order_now(order.id)).status is OrderStatus.AWAITING_PAYMENT


async def test_listing_is_put_changed_and_left_alone(bench: Bench) -> None:
    platform = await catalogue.connect_platform(bench.hub, slug="xue", name="Xue", currency="CNY")
    draft = ListingDraft("c-1", "Knots", price=Money(9900, "CNY"))
    first = (await catalogue.upsert_listing(bench.hub, partner(platform), draft)).value
    again = (await catalogue.upsert_listing(bench.hub, partner(platform), draft)).value
    dearer = ListingDraft("c-1", "Knots", price=Money(10900, "CNY"))
    changed = (await catalogue.upsert_listing(bench.hub, partner(platform), dearer)).value
    assert first is not None
    assert again == first
    assert changed is not None
    assert (changed.id, changed.version, changed.price) == (first.id, 2, Money(10900, "CNY"))
    report = await catalogue.import_listings(bench.hub, platform.id, [dearer], withdraw_all_but=frozenset({"c-1"}))
    assert (report.added, report.changed, report.unchanged, report.withdrawn) == (0, 0, 1, 0)
    report = await catalogue.import_listings(bench.hub, platform.id, [], withdraw_all_but=frozenset())
    assert report.withdrawn == 1


async def test_member_is_made_and_linked_by_the_persons_own_token(bench: Bench) -> None:
    platform = await bench.world.platform()
    made = await people.upsert_member(bench.hub, partner(platform), external_id="m-7")
    again = await people.upsert_member(bench.hub, partner(platform), external_id="m-7")
    assert made.value is not None
    assert (again.value, again.is_replay) == (made.value, True)
    user = await people.development_user(bench.hub, "ada")
    assert await people.development_user(bench.hub, "ada") == user
    token = bench.tokens.issue_user_token(user.id, bench.clock.now_us(), 3600)
    linked = await people.link_identity(bench.hub, partner(platform), external_id="m-7", user_token=token)
    assert linked.value is not None
    assert (linked.value.id, linked.value.user_id) == (made.value.id, user.id)


async def test_greatest_price_is_charged_to_the_unit(bench: Bench) -> None:
    bench.channel.capabilities = replace(
        bench.channel.capabilities, currencies={"CNY": AmountRange(1, MAX_PRICE_MINOR)}
    )
    listing = await bench.world.listing(price_minor=MAX_PRICE_MINOR)
    answer = await bench.buy(await bench.world.learner(), listing)
    assert isinstance(answer.value, PaymentAttempt)
    assert await bench.balance(f"order:{answer.value.order_id}:escrow") == MAX_PRICE_MINOR == 2**53
    await bench.assert_books_fold()
