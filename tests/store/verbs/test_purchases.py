"""What is on sale, orders, and how they are paid."""

from dataclasses import replace

from hub.domain.catalogue import ListingState
from hub.domain.events import HUB_STREAM
from hub.domain.money import Money
from hub.domain.orders import ChainStatus, OrderStatus
from hub.domain.payments import AttemptState, Fact, FactKind, Notice, Outcome, Result, Source, Stage
from hub.domain.refusals import PriceChanged
from hub.domain.requests import RequestKey, Seen
from hub.domain.routing import Choice, Done, RoutingRule, Standing, StandingState
from hub.domain.shares import Share
from hub.store.catalogue import Catalogue, Sold
from hub.store.facts import Heard
from hub.store.notices import Notices
from hub.store.orders import Orders
from hub.store.payments import Payments
from hub.store.requests import Requests
from hub.store.routing import Payable, Routing
from hub.store.tasks import OpenEnd
from hub.store.transactions import Store, Tx
from tests.store.verbs.calls import left_out
from tests.world import START_US, World


async def test_catalogue(store: Store, world: World, called: set[str]) -> None:
    platform, other = await world.platform("xue"), await world.platform("kan")
    listing = await world.listing(platform=platform, external_id="x1")

    async def unit(tx: Tx) -> None:
        assert await tx.catalogue.platform("xue") == await tx.catalogue.platform(platform.id) == platform
        assert await tx.catalogue.platforms() == [other, platform]
        assert not await tx.catalogue.add_platform(replace(platform, id="plt_2"))
        merchant = await tx.catalogue.merchant_of(platform.id)
        assert merchant is not None
        assert merchant.id == listing.merchant_id
        course = await tx.catalogue.course(listing.course_id)
        assert course is not None
        await tx.catalogue.update_course(replace(course, title="Bends"))
        changed = await tx.catalogue.course(course.id)
        assert changed == replace(course, title="Bends", version=2)
        assert await tx.catalogue.lock_listing(platform.id, "x1") == (listing, "digest of x1")
        assert not await tx.catalogue.add_listing(replace(listing, id="lst_2"), "another")
        shares = (Share(listing.merchant_id, 9_000), Share(None, 1_000))
        assert await tx.catalogue.on_sale() == [Sold(course.id, Money(9_900, "CNY"), shares)]
        withdrawn = replace(listing, state=ListingState.WITHDRAWN, price=None)
        assert await tx.catalogue.update_listing(withdrawn, "gone") == replace(withdrawn, version=2)
        assert await tx.catalogue.digests(platform.id) == {"x1": ("gone", "WITHDRAWN")}
        assert await tx.catalogue.course_of_listing(platform.id, "x1") == course.id
        assert await tx.catalogue.course_of_listing(other.id, "x1") is None
        assert await tx.catalogue.on_sale() == []

    await store.write(unit)
    course = await world.course()
    first = await world.listing(course=course)
    await world.listing(course=course, platform=await world.platform("bo"))

    async def policies(tx: Tx) -> None:
        assert await tx.catalogue.maker_of(course.id) == first.platform_id
        assert await tx.catalogue.maker_of("crs_none") is None
        assert not await tx.catalogue.is_transferable(course.id)
        for is_transferable in (True, False, True):
            await tx.catalogue.set_transferable(course.id, is_transferable, START_US)
            assert await tx.catalogue.is_transferable(course.id) is is_transferable

    await store.write(policies)
    assert left_out(Catalogue, called) == set()


async def test_orders(store: Store, world: World, called: set[str]) -> None:
    user = await world.user()
    listing = await world.listing()
    order, attempt = await world.order(listing, user), None

    async def unit(tx: Tx) -> None:
        nonlocal attempt
        admission = await tx.orders.admission(listing.id, user.id)
        assert admission is not None
        assert (admission.listing, admission.owned_entitlement_id) == (listing, None)
        assert await tx.orders.admission(listing.id, "usr_nobody") is None
        assert await tx.orders.lock("ord_none") is await tx.orders.get("ord_none") is None
        assert await tx.orders.get(order.id) == order
        shares = (Share(order.merchant_id, 9_000), Share(None, 1_000))
        assert await tx.orders.sold_by(order.id) == Sold(order.course_id, order.total, shares)
        assert await tx.orders.sold_by("ord_none") is None
        assert await tx.orders.payable(order.deadline_us - 1) == [Sold(order.course_id, order.total, shares)]
        assert await tx.orders.payable(order.deadline_us) == []
        held = await tx.orders.lock(order.id)
        assert held == order
        attempt = world.attempt(order)
        assert await tx.payments.insert(attempt)
        assert await tx.orders.lock_with(attempt.id) == (order, attempt)
        paid = replace(order, status=OrderStatus.PAID, paid_at_us=START_US, received_minor=9900, has_exact=True)
        assert await tx.orders.update(paid) == replace(paid, version=2)
        await tx.orders.lock_all([order.id, "ord_none"])
        queued = await tx.orders.recorded([order.id, "ord_none"], ChainStatus.QUEUED)
        assert queued == [replace(paid, chain_status=ChainStatus.QUEUED, version=3)]
        assert await tx.orders.recorded([order.id], ChainStatus.QUEUED) == []
        told = await tx.orders.audiences(order)
        assert [audience.stream for audience in told] == [HUB_STREAM, user.id, listing.platform_id]
        assert await tx.orders.parties([order.id, "ord_none"]) == {order.id: told}

    late = await world.order(listing)
    await store.write(unit)
    async with store.reading() as rx:
        assert [found.id for found in await rx.orders.page("", 10)] == sorted([order.id, late.id])
        assert await rx.orders.page(max(order.id, late.id), 10) == []
        assert await rx.orders.overdue(late.deadline_us, 10) == [late.id]
        assert await rx.orders.overdue(late.deadline_us - 1, 10) == []
    assert left_out(Orders, called) == set()


async def test_payments(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order)
    fact = Fact("sandbox", "CAPTURED/pi_1", Source.ANSWER, FactKind.CAPTURED, START_US, order.total)

    async def unit(tx: Tx) -> None:
        assert await tx.payments.insert(attempt)
        assert not await tx.payments.insert(world.attempt(order, 2))
        assert await tx.payments.of_order(order.id) == [attempt]
        assert await tx.payments.by_id("pat_none") is None
        assert await tx.payments.references("sandbox", [attempt.id]) == {attempt.id: attempt.channel_ref}
        assert await tx.payments.references("stablecoin", [attempt.id]) == {}
        assert await tx.payments.live_on("sandbox") == [attempt]
        assert await tx.payments.live_on("stablecoin") == []
        assert await tx.payments.open_ends(["resolve_attempt"]) == [OpenEnd(attempt.key, attempt.state, False)]
        tx.tasks.add("resolve_attempt", attempt.id, {}, START_US)
        await tx.flush()
        assert await tx.payments.open_ends(["resolve_attempt"]) == [OpenEnd(attempt.key, attempt.state, True)]
        assert await tx.payments.open_ends(["void_attempt"]) == [OpenEnd(attempt.key, attempt.state, False)]
        charged = replace(attempt, state=AttemptState.CHARGED, heard_rank=6)
        assert await tx.payments.update(charged) == replace(charged, version=2)
        assert await tx.payments.by_id(attempt.id) == replace(charged, version=2)
        assert await tx.payments.live_on("sandbox") == await tx.payments.open_ends(["resolve_attempt"]) == []
        assert await tx.payments.of_purchase("sandbox", "pi_1", START_US) is None
        assert await tx.payments.add_fact(attempt.id, fact) is Heard.NEW
        found = await tx.payments.of_purchase("sandbox", "pi_1", START_US)
        assert found is not None
        assert found.id == attempt.id
        again = replace(fact, source=Source.NOTICE, provider_at_us=START_US)
        assert await tx.payments.add_fact(attempt.id, again) is Heard.SAME
        assert await tx.payments.facts_of([attempt.id]) == [(attempt.id, replace(fact, provider_at_us=START_US), False)]
        assert await tx.payments.add_fact(attempt.id, replace(fact, amount=None)) is Heard.CONTRADICTED
        [(_, stored, is_contradicted)] = await tx.payments.facts_of([attempt.id])
        assert (stored.amount, is_contradicted) == (order.total, True)

    await store.write(unit)
    assert left_out(Payments, called) == set()


async def test_notices(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order)
    result = Result(Outcome.DONE, Stage.CHARGED, b"\x01" * 32, START_US, "pi_1", "ch_1", order.total, START_US)
    notice = Notice("evt-1", attempt.key, result, b"\x02" * 32, "charge.succeeded")

    async def unit(tx: Tx) -> None:
        known = await tx.notices.known("sandbox", notice)
        assert (known.id, known.state, known.attempt_id, known.fact_attempt_id) == (None, None, None, None)
        assert await tx.notices.insert("sandbox", notice, "WAITING", world.draw())
        assert not await tx.notices.insert("sandbox", notice, "WAITING", world.draw())
        known = await tx.notices.known("sandbox", notice)
        assert known.id is not None
        assert (known.digest, known.state) == (notice.digest, "WAITING")
        assert await tx.payments.insert(attempt)
        waiting = await tx.notices.waiting(known.id)
        assert waiting is not None
        assert (waiting.state, waiting.attempt_id, waiting.result) == ("WAITING", attempt.id, result)
        await tx.notices.move(known.id, "APPLIED")
        moved = await tx.notices.known("sandbox", notice)
        assert (moved.state, moved.attempt_id) == ("APPLIED", attempt.id)
        kept = await tx.notices.kept(known.id)
        assert kept is not None
        assert (kept.event_id, kept.state, kept.tries, kept.attempt_key) == ("evt-1", "APPLIED", 1, attempt.key)
        assert await tx.notices.listed(order.id, 5) == await tx.notices.listed(None, 5) == [kept]
        assert await tx.notices.listed("ord_other", 5) == []
        await tx.notices.move(known.id, "IGNORED", "another's")
        assert await tx.notices.kept(known.id) == replace(kept, state="IGNORED", reason="another's", tries=2)
        assert await tx.notices.found_again(5) == []

    await store.write(unit)
    assert left_out(Notices, called) == set()


async def test_routing(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    rule = RoutingRule(
        "rul_1", order.merchant_id, order.platform_id, "cheap", 2, "CNY", 1, None, (Choice("sandbox", 3, 60),), 1,
        START_US, START_US,
    )  # fmt: skip
    first = replace(world.attempt(order), state=AttemptState.DECLINED)
    second = replace(world.attempt(order, 2), state=AttemptState.CHARGED)

    async def unit(tx: Tx) -> None:
        payable = Payable(order.merchant_id, order.platform_id, order.user_id, order.total)
        assert await tx.routing.of_order(order.id) == payable
        assert await tx.routing.of_listing(order.listing_id) == replace(payable, user_id=None)
        assert await tx.routing.put(rule) == rule
        changed = replace(rule, priority=1, choices=(Choice("other", 1),))
        stored = await tx.routing.put(replace(changed, id="rul_2", created_at_us=START_US + 9))
        assert stored == replace(changed, version=2)
        assert await tx.routing.by_id("rul_1") == stored
        assert await tx.routing.rules(order.merchant_id) == [stored]
        await tx.routing.remove("rul_1")
        assert await tx.routing.rules(order.merchant_id) == []
        assert await tx.payments.insert(first)
        assert await tx.routing.done("sandbox", START_US) == Done(1, 0)
        assert await tx.payments.insert(second)
        assert await tx.routing.done("sandbox", START_US) == Done(2, 1)
        assert await tx.routing.done("sandbox", START_US + 1) == await tx.routing.done("other", 0) == Done(0, 0)
        assert await tx.routing.open_count("sandbox") == 0
        assert await tx.payments.insert(world.attempt(order, 3))
        assert await tx.routing.open_count("sandbox") == 1
        await tx.routing.stand(Standing("sandbox", StandingState.STOPPED, "a test", START_US))
        drained = Standing("sandbox", StandingState.DRAINING, "", START_US + 1)
        await tx.routing.stand(drained)
        assert await tx.routing.standings() == {"sandbox": drained}
        admission = await tx.orders.admission(order.listing_id, order.user_id, "sandbox")
        assert admission is not None
        assert admission.standing is StandingState.DRAINING

    await store.write(unit)
    assert left_out(Routing, called) == set()


async def test_requests(store: Store, world: World, called: set[str]) -> None:
    key = RequestKey("usr_1", "paymentCreate", "k-1", "fingerprint")
    refusal = PriceChanged(1200, "CNY")

    async def unit(tx: Tx) -> None:
        assert await tx.requests.begin(key, "ord_1", world.draw()) is None
        await tx.requests.finish(key, refusal)
        assert await tx.requests.begin(key, "ord_2", world.draw()) == Seen(
            "ord_1", refusal, is_done=True, is_dead=False
        )

    await store.write(unit)
    assert left_out(Requests, called) == set()
