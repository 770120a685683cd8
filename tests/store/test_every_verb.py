"""Each verb of each repository runs on both engines and says what its docstring promises, once."""

from dataclasses import replace
from functools import wraps
from typing import Any

import pytest
from sqlalchemy import delete, select

from hub.domain.audit import AuditEntry
from hub.domain.catalogue import ListingState
from hub.domain.chain_log import BEFORE_FIRST, Block, ChainEvent, Cursor
from hub.domain.disputes import AnswerKind, AnswerState, DisputeAnswer, DisputeState, DisputeWord
from hub.domain.disputes import fact_of as dispute_fact_of
from hub.domain.entitlements import (
    AccessState,
    EntitlementState,
    GrantState,
    PlatformAccessState,
    revoked,
    suspended,
)
from hub.domain.events import HUB_STREAM, Logged, OrderCreated
from hub.domain.issuers import IssuerState, KeySource, TrustedIssuer
from hub.domain.keys import ApiKey
from hub.domain.ledger import ReferenceTaken, Reservation, ReservationEnded, ReservationState, mirrored
from hub.domain.money import Money
from hub.domain.orders import ChainStatus, OrderStatus
from hub.domain.payments import AttemptState, Fact, FactKind, Notice, Outcome, Result, Source, Stage
from hub.domain.people import UserState, ViewerKind, Wallet, WalletChallenge, member_issuer
from hub.domain.reconciliation import Break, BreakKind, BreakState
from hub.domain.records import (
    AnchorBatch,
    BatchState,
    ChainTransaction,
    KnownContract,
    RecordedLeaf,
    SealedSalt,
    TransactionState,
)
from hub.domain.refunds import LateMoney, Refundable, RefundFact, RefundFactKind, RefundState
from hub.domain.refusals import PriceChanged
from hub.domain.requests import RequestKey, Seen
from hub.domain.routing import Choice, Done, RoutingRule, Standing, StandingState
from hub.domain.shares import Share
from hub.domain.webhooks import DeliveryState, EndpointState, Sent, SentOutcome, WebhookEndpoint
from hub.ports import SignedTransaction
from hub.store.anchors import Anchors, EndedRequest
from hub.store.anchors import leaf as leaf_table
from hub.store.archive import Aged, Archive, Reader
from hub.store.audit import Audit, audit_entry
from hub.store.catalogue import Catalogue, Sold
from hub.store.chain_log import ChainLog, moved
from hub.store.disputes import Disputes
from hub.store.entitlements import Entitlements, platform_access
from hub.store.events import Events, Head, Part
from hub.store.facts import Heard
from hub.store.issuers import Issuers
from hub.store.keys import ApiKeys
from hub.store.ledger import Balance, Ledger
from hub.store.orders import Orders
from hub.store.payments import Notices, Payments
from hub.store.people import People
from hub.store.reconciliation import Breaks
from hub.store.refunds import Refunds
from hub.store.requests import Requests
from hub.store.routing import Payable, Routing
from hub.store.salts import Salts
from hub.store.tasks import LeasedTask, Tasks
from hub.store.transactions import Store, Tx
from hub.store.wallets import Wallets
from hub.store.webhooks import Webhooks, webhook_attempt
from tests.world import START_US, World


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The verbs that a test has called, by repository."""
    names: set[str] = set()
    for repository in REPOSITORIES:
        for verb in verbs(repository):
            monkeypatch.setattr(repository, verb, recorded(getattr(repository, verb), names, repository, verb))
    return names


def recorded(method: Any, names: set[str], repository: type, verb: str) -> Any:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        names.add(f"{repository.__name__}.{verb}")
        return method(*args, **kwargs)

    return call


def verbs(repository: type) -> list[str]:
    return [name for name, value in vars(repository).items() if callable(value) and not name.startswith("_")]


def left_out(repository: type, called: set[str]) -> set[str]:
    return {f"{repository.__name__}.{verb}" for verb in verbs(repository)} - called


async def test_people(store: Store, world: World, called: set[str]) -> None:
    platform, user, other = await world.platform(), await world.user(), await world.user(state=UserState.PROVISIONAL)
    member = await world.member(platform, user, "m-7")

    async def unit(tx: Tx) -> None:
        assert await tx.people.user(other.id) == other
        assert await tx.people.user("usr_nobody") is None
        assert await tx.people.identified("https://id.example", user.id) == user
        assert await tx.people.pairwise_of(user.id, platform.id) == member.pairwise_id
        await tx.people.name_pairwise([(user.id, platform.id, "another"), (other.id, platform.id, "its own")])
        assert await tx.people.pairwise_of(user.id, platform.id) == member.pairwise_id
        assert await tx.people.pairwise_of(other.id, platform.id) == "its own"
        held = await tx.people.lock_member(platform.id, "m-7")
        assert held is not None
        assert (held.id, held.user_id, held.version) == (member.id, user.id, 1)
        assert not await tx.people.add_member(replace(member, id="mem_2"))
        await tx.people.link_member(member.id, other.id)
        await tx.people.move_identity("https://id.example", user.id, other.id)
        assert await tx.people.identified("https://id.example", user.id) == other
        held = await tx.people.lock_member(platform.id, "m-7")
        assert held is not None
        assert (held.user_id, held.version) == (other.id, 2)
        assert not await tx.people.has_rights(user.id)
        assert await tx.people.activate(other.id)
        assert not await tx.people.activate(other.id)
        stored = await tx.people.identity(member_issuer(platform.id), "m-7")
        assert stored is not None
        assert (stored.user_id, stored.ended_at_us) == (user.id, None)
        assert await tx.people.end_other_identities(user.id, "https://id.example", user.id, START_US) == 1
        assert not await tx.people.end_identity(member_issuer(platform.id), "m-7", START_US)
        assert await tx.people.identity(member_issuer(platform.id), "m-7") == replace(stored, ended_at_us=START_US)
        assert await tx.people.end_identity("https://id.example", user.id, START_US)

    await store.write(unit)
    order = await world.order()
    async with store.reading() as rx:
        assert await rx.people.has_rights(order.user_id)
    assert left_out(People, called) == set()


async def test_wallets(store: Store, world: World, called: set[str]) -> None:
    user, other = await world.user(), await world.user()
    asked = WalletChallenge("n1", user.id, "0xA", START_US + 10, None, START_US)
    new = Wallet("wal_1", user.id, "0xA", "n1", START_US)

    async def unit(tx: Tx) -> None:
        await tx.wallets.ask(asked)
        assert await tx.wallets.challenge("n1") == asked
        assert await tx.wallets.challenge("n2") is None
        assert not await tx.wallets.spend("n1", START_US + 10)
        assert await tx.wallets.spend("n1", START_US + 9)
        assert not await tx.wallets.spend("n1", START_US + 9)
        assert await tx.wallets.challenge("n1") == replace(asked, used_at_us=START_US + 9)
        assert await tx.wallets.add(new)
        assert not await tx.wallets.add(replace(new, id="wal_2", nonce="n2", user_id=other.id)), "it is somebody's"
        assert not await tx.wallets.add(replace(new, id="wal_2", address="0xB")), "the nonce has proven"
        assert await tx.wallets.add(replace(new, id="wal_2", nonce="n2", address="0xB", linked_at_us=START_US + 1))
        assert await tx.wallets.linked("0xA") == new
        assert [one.id for one in await tx.wallets.of_user(user.id)] == ["wal_1", "wal_2"]
        await tx.wallets.unlink("wal_1", START_US + 5)
        assert await tx.wallets.linked("0xA") is None
        assert await tx.wallets.lock("wal_1") == replace(new, unlinked_at_us=START_US + 5)
        assert [one.id for one in await tx.wallets.of_user(user.id)] == ["wal_2"]
        assert await tx.wallets.add(replace(new, id="wal_3", nonce="n3", user_id=other.id))
        await tx.wallets.forget(START_US + 10)
        assert await tx.wallets.challenge("n1") is not None
        await tx.wallets.forget(START_US + 11)
        assert await tx.wallets.challenge("n1") is None
        assert await tx.wallets.erase(user.id) == 2
        assert await tx.wallets.of_user(user.id) == []
        assert await tx.wallets.linked("0xA") == replace(new, id="wal_3", nonce="n3", user_id=other.id)

    await store.write(unit)
    assert left_out(Wallets, called) == set()


async def test_keys(store: Store, world: World, called: set[str]) -> None:
    platform, minute_us = await world.platform(), 60_000_000
    key = ApiKey("key_1", ViewerKind.PLATFORM, platform.id, "hash", frozenset({"orders:read"}), True, START_US,
                 name="shop", created_by="command")  # fmt: skip

    async def unit(tx: Tx) -> None:
        assert await tx.keys.add(key)
        assert not await tx.keys.add(replace(key, id="key_2"))
        turned = replace(key, id="key_2", slot=1, created_at_us=START_US + 1, expires_at_us=START_US + 5)
        assert await tx.keys.add(turned)
        nameless = replace(key, id="key_3", kind=ViewerKind.OPERATOR, platform_id=None, name="")
        assert await tx.keys.add(nameless)
        assert await tx.keys.by_id("key_3") == replace(nameless, name="key_3")
        assert await tx.keys.unrevoked(platform.id) == [key, turned]
        assert [held.id for held in await tx.keys.all_unrevoked(2)] == ["key_2", "key_3"]
        await tx.keys.revoke("key_1", START_US + 2)
        assert await tx.keys.unrevoked(platform.id) == [turned]
        assert await tx.keys.lock("key_1") == replace(key, revoked_at_us=START_US + 2)
        await tx.keys.end_at("key_2", START_US + 3)
        assert await tx.keys.by_id("key_2") == replace(turned, expires_at_us=START_US + 3)
        assert await tx.keys.note_use("key_3", START_US)
        assert not await tx.keys.note_use("key_3", START_US + minute_us - 1)
        assert await tx.keys.note_use("key_3", START_US + minute_us)
        used = await tx.keys.by_id("key_3")
        assert used is not None
        assert used.last_used_at_us == START_US + minute_us

    await store.write(unit)
    assert left_out(ApiKeys, called) == set()


async def test_issuers(store: Store, world: World, called: set[str]) -> None:
    platform = await world.platform()
    issuer = TrustedIssuer(
        "iss_1", platform.id, "https://xue.example", "https://hub.example", ("ES256", "RS256"), "sub",
        KeySource(url="https://xue.example/jwks"), KeySource(jwks="{}"), frozenset({"orders:read"}),
        IssuerState.ACTIVE, 1, START_US,
    )  # fmt: skip

    async def unit(tx: Tx) -> None:
        assert await tx.issuers.add(issuer)
        assert not await tx.issuers.add(replace(issuer, id="iss_2"))
        assert await tx.issuers.by_id("iss_1") == await tx.issuers.lock("https://xue.example") == issuer
        assert await tx.issuers.lock("https://xue.example/") is None
        paused = replace(issuer, state=IssuerState.PAUSED, keys=KeySource(jwks="{}"), algorithms=("EdDSA",))
        assert await tx.issuers.update(paused) == replace(paused, version=2) == await tx.issuers.by_id("iss_1")
        assert await tx.issuers.spend("digest", "iss_1", START_US)
        assert not await tx.issuers.spend("digest", "iss_1", START_US + 9)
        assert await tx.issuers.forget(START_US) == 0
        assert await tx.issuers.forget(START_US + 1) == 1
        assert await tx.issuers.spend("digest", "iss_1", START_US)

    await store.write(unit)
    assert left_out(Issuers, called) == set()


async def test_audit(store: Store, called: set[str]) -> None:
    entry = AuditEntry("aud_1", ViewerKind.OPERATOR, "key_1", None, "apiKeyRevoke", "key_2", "{}", START_US)

    async def unit(tx: Tx) -> None:
        await tx.audit.add(entry)
        assert await tx.many(select(audit_entry), AuditEntry) == [entry]

    await store.write(unit)
    assert left_out(Audit, called) == set()


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
        assert await tx.catalogue.sold([listing.id, "lst_2"]) == [Sold(course.id, Money(9_900, "CNY"), shares)]
        withdrawn = replace(listing, state=ListingState.WITHDRAWN, price=None)
        assert await tx.catalogue.update_listing(withdrawn, "gone") == replace(withdrawn, version=2)
        assert await tx.catalogue.digests(platform.id) == {"x1": ("gone", "WITHDRAWN")}
        assert await tx.catalogue.course_of_listing(platform.id, "x1") == course.id
        assert await tx.catalogue.course_of_listing(other.id, "x1") is None
        assert await tx.catalogue.sold([listing.id]) == []

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
        charged = replace(attempt, state=AttemptState.CHARGED, heard_rank=6)
        assert await tx.payments.update(charged) == replace(charged, version=2)
        assert await tx.payments.by_id(attempt.id) == replace(charged, version=2)
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


async def test_ledger(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()

    async def unit(tx: Tx) -> None:
        entry = world.entry(order)
        await tx.ledger.post(entry)
        assert await tx.ledger.entries_of(order.id) == [entry.id]
        expected = [
            Balance("channel:sandbox:clearing/CNY", 9900, 0),
            Balance(f"order:{order.id}:escrow/CNY", 0, 9900),
        ]
        assert await tx.ledger.balances() == expected
        assert await tx.ledger.folded() == expected
        assert await tx.ledger.references_of(order.id) == [entry.reference]
        assert await tx.ledger.postings_of(order.id) == list(entry.postings)
        assert await tx.ledger.postings_under(entry.reference) == entry.postings
        promised = Reservation(
            "rsv_1", "refund/1", "refund", order.id, mirrored(entry.postings), ReservationState.PENDING, START_US, None
        )
        await tx.ledger.reserve(promised)
        with pytest.raises(ReferenceTaken):
            await tx.ledger.reserve(replace(promised, id="rsv_2"))
        assert await tx.ledger.reserved_of(order.id) == list(promised.postings)
        ended = await tx.ledger.end("refund/1", ReservationState.POSTED, START_US + 1)
        assert ended == replace(promised, state=ReservationState.POSTED, ended_at_us=START_US + 1)
        for reference in ("refund/1", "refund/2"):
            with pytest.raises(ReservationEnded, match=reference):
                await tx.ledger.end(reference, ReservationState.VOIDED, START_US)
        assert await tx.ledger.reserved_of(order.id) == []
        assert await tx.ledger.reservation("refund/1") == ended
        assert await tx.ledger.reservation("refund/2") is None
        assert await tx.ledger.reservations("", 9) == [ended]

    await store.write(unit)
    assert left_out(Ledger, called) == set()


async def test_disputes(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order, state=AttemptState.CHARGED)
    first = world.dispute(attempt)
    word = DisputeWord("dp_1", DisputeState.NEEDS_RESPONSE, order.total, "fraudulent", START_US + 9, order.total)
    fact = dispute_fact_of("sandbox", word, Source.NOTICE, START_US, START_US + 1)

    async def unit(tx: Tx) -> None:
        assert await tx.payments.insert(attempt)
        assert await tx.disputes.insert(first)
        assert not await tx.disputes.insert(replace(first, id="dsp_2"))
        assert await tx.disputes.by_id(first.id) == await tx.disputes.by_ref("sandbox", "dp_1") == first
        assert await tx.disputes.by_ref("other", "dp_1") is None
        assert await tx.disputes.open_of(order.id) is None
        answer = DisputeAnswer(AnswerKind.EVIDENCE, AnswerState.SUBMITTED, "a receipt")
        opened = replace(first, state=DisputeState.UNDER_REVIEW, fee=order.total, answer=answer, answers=1)
        assert await tx.disputes.update(opened) == replace(opened, version=2) == await tx.disputes.by_id(first.id)
        assert await tx.disputes.of_order(order.id) == [await tx.disputes.open_of(order.id)]
        assert await tx.disputes.of_orders([order.id]) == await tx.disputes.of_order(order.id)
        assert await tx.disputes.add_fact(first.id, fact)
        assert not await tx.disputes.add_fact(first.id, fact)
        assert await tx.disputes.facts_of([first.id]) == [(first.id, fact)]

    await store.write(unit)
    assert left_out(Disputes, called) == set()


async def test_refunds(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order, state=AttemptState.CHARGED)
    took = Fact("sandbox", "CAPTURED/1", Source.ANSWER, FactKind.CAPTURED, START_US, order.total)
    first = world.refund(attempt, 900)
    told = RefundFact("sandbox", "SUCCEEDED/1", Source.QUERY, RefundFactKind.SUCCEEDED, START_US, first.amount)

    async def unit(tx: Tx) -> None:
        assert await tx.payments.insert(attempt)
        assert await tx.refunds.charges(order.id) == []
        await tx.payments.add_fact(attempt.id, took)
        charge = Refundable(attempt.id, attempt.key, "sandbox", order.total, 0, 0, 0)
        assert await tx.refunds.charges(order.id) == [charge]
        assert await tx.refunds.charges_of([order.id, "ord_other"]) == [(order.id, charge)]
        await tx.refunds.insert(first)
        assert await tx.refunds.charges(order.id) == [replace(charge, reserved_minor=900, refunds=1)]
        assert await tx.refunds.by_id(first.id) == first
        assert await tx.refunds.by_key("sandbox", first.key) == first
        assert await tx.refunds.by_key("other", first.key) is None
        assert await tx.refunds.with_attempt(first.id) == (first, attempt)
        foreign = ("sandbox", "re_1", attempt.id, order.total, START_US)
        assert [await tx.refunds.add_foreign(*foreign) for _ in range(2)] == [True, False]
        assert await tx.refunds.of_order(order.id) == await tx.refunds.page("", 9) == [first]
        later = replace(told, provider_at_us=START_US + 5)
        heard = [await tx.refunds.add_fact(first.id, fact) for fact in (told, told, later)]
        assert heard == [Heard.NEW, Heard.SAME, Heard.SAME]
        other = replace(told, amount=replace(first.amount, amount_minor=901))
        assert await tx.refunds.add_fact(first.id, other) is Heard.CONTRADICTED
        assert await tx.refunds.facts_of([first.id]) == [(first.id, later)]
        done = await tx.refunds.update(replace(first, state=RefundState.SUCCEEDED))
        assert (done.version, done.state) == (2, "SUCCEEDED")
        assert await tx.refunds.charges(order.id) == [replace(charge, refunded_minor=900, refunds=1)]
        assert await tx.refunds.seller_of(order.merchant_id) == order.platform_id
        assert await tx.refunds.seller_of("mer_none") is None
        assert await tx.refunds.late_money(order.merchant_id) is LateMoney.REFUND
        for wish in (LateMoney.REOPEN, LateMoney.REFUND, LateMoney.REOPEN):
            await tx.refunds.set_late_money(order.merchant_id, wish, START_US)
            assert await tx.refunds.late_money(order.merchant_id) is wish

    await store.write(unit)
    assert left_out(Refunds, called) == set()


async def test_entitlements(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    right = world.right(order.user_id, order.course_id)
    grant = world.grant(right, order.id)
    opened = AccessState(right.id, order.platform_id, PlatformAccessState.OPEN)

    async def unit(tx: Tx) -> None:
        assert await tx.entitlements.of(order.user_id, order.course_id) is None
        assert await tx.entitlements.touch(right) == right
        assert await tx.entitlements.touch(replace(right, id="ent_2")) == replace(right, version=2)
        assert await tx.entitlements.add_grant(grant)
        assert not await tx.entitlements.add_grant(replace(grant, id="grt_2"))
        assert await tx.entitlements.grants(right.id) == [grant]
        assert await tx.entitlements.grants_per_order() == {order.id: 1}
        assert await tx.entitlements.get("ent_none") is None
        assert await tx.entitlements.get(right.id) == replace(right, version=2)
        [target] = await tx.entitlements.targets(right.id)
        assert (target.platform_id, target.platform_slug, target.member_external_id) == (order.platform_id, "xue", None)
        held = await tx.entitlements.lock(right.id)
        assert held == await tx.entitlements.of(order.user_id, order.course_id) == replace(right, version=2)
        gone = await tx.entitlements.update_grant(revoked(suspended(grant, "dsp_1"), "refund"))
        assert await tx.entitlements.grants(right.id) == [gone]
        assert (gone.state, gone.version) == (GrantState.REVOKED, 2)
        ended = await tx.entitlements.update(replace(held, state=EntitlementState.ENDED))
        assert await tx.entitlements.lock(right.id) == ended
        await tx.entitlements.set_access(opened, "by the platform", START_US)
        await tx.entitlements.set_access(replace(opened, state="CLOSED"), "by the platform", START_US)
        assert await tx.many(select(platform_access.c.state), str) == ["CLOSED"]

    await store.write(unit)
    sold = await world.order()

    async def given(tx: Tx) -> None:
        assert await tx.entitlements.given_by(sold.id) == []
        right = await tx.entitlements.touch(world.right(sold.user_id, sold.course_id))
        assert await tx.entitlements.add_grant(world.grant(right, sold.id))
        assert await tx.entitlements.given_by(sold.id) == [right.id]

    await store.write(given)
    assert left_out(Entitlements, called) == set()


async def test_breaks(store: Store, called: set[str]) -> None:
    late = Break("brk_1", BreakKind.LATE_PAYMENT, "pat_1", None, BreakState.OPEN, "9900 CNY too late", START_US)

    async def unit(tx: Tx) -> None:
        assert await tx.breaks.open(late)
        assert not await tx.breaks.open(replace(late, id="brk_2"))
        assert await tx.breaks.listed() == [late]

    await store.write(unit)
    assert left_out(Breaks, called) == set()


async def test_anchors(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order)
    first = RecordedLeaf(
        "lef_1", order.id, attempt.id, 1, b"k" * 32, "0x" + "00" * 20, "77", 0, "{}", "{}", b"c" * 32, b"s", False,
        None, None, START_US,
    )  # fmt: skip
    second = replace(first, id="lef_2", generation=2)
    batch = AnchorBatch(
        "anb_1", 1, 9, 1, b"r" * 32, b"d" * 32, 0, "", BatchState.QUEUED, None, None, None, None, 1, START_US, None
    )
    signed = ChainTransaction("anchor:0x72", 1337, "0xgate", 0, "0xraw", "0xhash", TransactionState.SIGNED, START_US)
    contract = KnownContract(1337, "0xhub", "EntitlementHub", "0xcode", 5, START_US)

    async def unit(tx: Tx) -> None:
        assert await tx.payments.insert(attempt)
        await tx.anchors.add_leaf(first)
        assert await tx.anchors.leaf_of_grant("grt_1") is None
        given = replace(first, id="lef_0", generation=2, grant_id="grt_1", owner_id=order.user_id)
        await tx.anchors.add_leaf(given)
        assert await tx.anchors.leaf_of_grant("grt_1") == given
        await tx.anchors.give_up(given.id)
        assert await tx.anchors.leaf_of_grant("grt_1") is None
        assert await tx.anchors.rights_of(order.id) == [first, replace(given, is_superseded=True)]
        await tx.run(delete(leaf_table).where(leaf_table.c.id == "lef_0"))
        assert await tx.anchors.right_of_grant(order.id) == first
        await tx.anchors.add_leaf(second)
        assert await tx.anchors.supersede(attempt.id, second.id) == [replace(first, is_superseded=True)]
        assert await tx.anchors.right_of_grant(order.id) == second
        assert await tx.anchors.leaves([second.id, "lef_none"]) == [second]
        stored = [replace(first, is_superseded=True), second]
        assert [leaf async for leaf in tx.anchors.all_leaves(page=1)] == stored
        assert [ended async for ended in tx.anchors.ended_requests(page=1)] == []
        await tx.payments.update(replace(attempt, state=AttemptState.CHARGED))
        ended = [ended async for ended in tx.anchors.ended_requests(page=1)]
        assert ended == [EndedRequest(attempt.id, attempt.key, 1)]
        assert await tx.anchors.add_batch(batch, [second.id])
        assert not await tx.anchors.add_batch(replace(batch, id="anb_2"), [first.id])
        assert await tx.anchors.leaves_of_batch(batch.id) == [replace(second, batch_id=batch.id, index=0)]
        assert await tx.anchors.shown_by(batch.id) == [order.id]
        assert await tx.anchors.sold([second.id, "lef_none"]) == [order.total]
        assert await tx.anchors.waiting_for_revocation(batch.id, 0) == []
        tx.tasks.add("revoke_leaf", second.id, {}, START_US)
        assert await tx.anchors.waits_for(second.holder)
        assert not await tx.anchors.waits_for("0x" + "11" * 20)
        assert await tx.anchors.batch("anb_none") is None
        held = await tx.anchors.lock_batch(batch.id)
        assert held == batch
        sent = await tx.anchors.update_batch(replace(held, state=BatchState.SUBMITTED, chain_id=1337))
        assert await tx.anchors.batch(batch.id) == sent
        assert await tx.anchors.batches() == [sent]
        assert await tx.anchors.next_nonce(1337, "0xgate") == 0
        assert await tx.anchors.add_transaction(signed)
        assert not await tx.anchors.add_transaction(signed)
        assert await tx.anchors.next_nonce(1337, "0xgate") == 1
        assert await tx.anchors.unsettled(1337, "0xgate") == [signed]
        dearer = SignedTransaction("0xdear", "0xraw2", 0, "0xgate")
        assert await tx.anchors.replace_transaction(signed, dearer, START_US + 1)
        assert not await tx.anchors.replace_transaction(signed, dearer, START_US + 1)
        assert await tx.anchors.replaced_hashes(signed, signed.purpose) == ["0xhash"]
        signed_again = replace(signed, hash="0xdear", raw="0xraw2", signed_at_us=START_US + 1)
        assert await tx.anchors.unsettled(1337, "0xgate") == [signed_again]
        assert await tx.anchors.transactions_from(1337, "0xgate", 0, 0) == [signed_again]
        assert await tx.anchors.transactions_from(1337, "0xgate", 1, 9) == []
        await tx.anchors.move_transaction(signed.purpose, TransactionState.CONFIRMED)
        assert await tx.anchors.unsettled(1337, "0xgate") == []
        assert await tx.anchors.transaction(signed.purpose) == replace(signed_again, state=TransactionState.CONFIRMED)
        assert await tx.anchors.add_contract(contract)
        assert not await tx.anchors.add_contract(contract)
        assert await tx.anchors.contracts(1337) == [contract]

    async def look(tx: Tx) -> None:
        assert await tx.anchors.waiting_for_revocation(batch.id, 0) == [0]
        assert await tx.anchors.waiting_for_revocation(batch.id, 1) == []

    await store.write(unit)
    await store.write(look)
    assert left_out(Anchors, called) == set()


async def test_salts(store: Store, world: World, called: set[str]) -> None:
    order, other = await world.order(), await world.order()
    first = RecordedLeaf(
        "lef_1", order.id, None, 1, b"k" * 32, "0x" + "00" * 20, "77", 0, "{}", "{}", b"c" * 32, b"old", False,
        None, None, START_US,
    )  # fmt: skip
    theirs = replace(first, id="lef_2", order_id=other.id)
    given = replace(first, id="lef_3", owner_id=other.user_id)

    async def unit(tx: Tx) -> None:
        for leaf in (first, theirs, given):
            await tx.anchors.add_leaf(leaf)
        assert await tx.salts.key_of(order.user_id, b"first", START_US) == b"first"
        assert await tx.salts.key_of(order.user_id, b"second", START_US) == b"first"
        assert await tx.salts.key_of(other.user_id, b"its own", START_US) == b"its own"
        await tx.salts.keep("lef_1", order.user_id, b"s1")
        await tx.salts.keep("lef_3", other.user_id, b"s3")
        assert await tx.salts.of_leaves(["lef_1", "lef_2", "lef_3"]) == {
            "lef_1": SealedSalt("lef_1", order.user_id, b"first", b"s1"),
            "lef_3": SealedSalt("lef_3", other.user_id, b"its own", b"s3"),
        }
        assert await tx.salts.erase(order.user_id) == 3, "the key, a salt and a leaf's words"
        assert await tx.salts.erase(order.user_id) == 0
        assert list(await tx.salts.of_leaves(["lef_1", "lef_3"])) == ["lef_3"]
        said = {leaf.id: (leaf.request, leaf.result, leaf.sealed_salt) async for leaf in tx.anchors.all_leaves(9)}
        assert said == {"lef_1": ("", "", b""), "lef_2": ("{}", "{}", b"old"), "lef_3": ("{}", "{}", b"old")}

    await store.write(unit)
    assert left_out(Salts, called) == set()


async def test_chain_log(store: Store, world: World, called: set[str]) -> None:
    blocks = [Block(7, number, f"0xb{number}", f"0xb{number - 1}", START_US) for number in (1, 2, 3)]
    [first, second] = [
        ChainEvent(7, number, f"0xb{number}", 0, f"0xt{number}", "0xhub", "Anchored", f"0xr{number}", {"count": "1"})
        for number in (1, 3)
    ]
    cursor = Cursor(7, 0, BEFORE_FIRST, 3, 0, 0, BEFORE_FIRST, None, None, 1, START_US)
    batch = AnchorBatch(
        "anb_1", 1, 9, 1, b"r" * 32, b"d" * 32, 0, "", BatchState.QUEUED, None, None, None, None, 1, START_US, None
    )
    signed = ChainTransaction("anchor:0x72", 7, "0xgate", 0, "0xraw", "0xhash", TransactionState.SIGNED, START_US)

    async def unit(tx: Tx) -> None:
        log = tx.chain_log
        assert await log.begin(cursor)
        assert not await log.begin(cursor)
        assert await log.move(cursor, ahead := moved(cursor, number=3, hash="0xb3"))
        assert not await log.move(cursor, ahead)
        assert await log.cursor(7) == ahead
        assert await log.cursor(8) is None
        assert await log.cursors() == [ahead]
        for _ in range(2):
            await log.add_blocks(blocks)
        assert await log.add_event(first)
        assert not await log.add_event(first)
        assert await log.add_event(second)
        assert await log.blocks(7, 1) == blocks[1:]
        assert await log.block_at(7, 2) == blocks[1]
        assert await log.events(7, 0, 3) == [first, second]
        assert await log.events(7, 1, 2) == []
        assert await log.about("0xr3", "Anchored") == [second]
        assert await log.told(7, ["Anchored", "Paused"]) == [first, second]
        assert await log.told(7, ["Paused"]) == []
        await log.drop_empty(7, 2)
        assert await log.blocks(7, 0) == [blocks[0], blocks[2]]
        await log.drop_after(7, 2)
        assert await log.blocks(7, 0) == [blocks[0]]
        assert await log.events(7, 0, 3) == [first]
        await log.watch(7, "0xhub", None)
        await log.watch(7, "0xold", 2)
        await log.watch(7, "0xold", 9)
        await log.step_back(7, 4)
        assert await log.watched(7) == {"0xhub": None, "0xold": 5}
        assert await tx.anchors.add_batch(batch, [])
        assert await log.batch_of(batch.root) == batch.id
        assert await log.batch_of(b"x" * 32) is None
        assert await tx.anchors.add_transaction(signed)
        assert await log.is_ours("0xhash")
        assert not await log.is_ours("0xother")
        await log.settle(signed.purpose, TransactionState.CONFIRMED)
        assert await tx.anchors.unsettled(7, "0xgate") == []

    await store.write(unit)
    assert left_out(ChainLog, called) == set()


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


async def test_events(store: Store, world: World, called: set[str]) -> None:
    listing = await world.listing()
    order = await world.order(listing)

    async def unit(tx: Tx) -> None:
        told = OrderCreated(order.id, order.number, listing.id, "", "", 9900, "CNY", "AWAITING_PAYMENT", "NONE", "NONE")
        audiences = await tx.orders.audiences(order)
        tx.events.append(order, told, audiences, world.draw())
        assert await tx.events.position_of("batcher") == 0
        await tx.events.move("batcher", 0, 3)
        assert await tx.events.position_of("batcher") == 3
        await tx.events.move("batcher", 0, 2, "plt_1")
        assert await tx.events.position_of("batcher", "plt_1") == 2
        await tx.events.drop_consumer("batcher", "plt_1")
        assert [await tx.events.position_of("batcher", stream) for stream in ("plt_1", HUB_STREAM)] == [0, 3]

    await store.write(unit)
    await store.stamp()
    async with store.reading() as rx:
        assert (await rx.events.unstamped(), await rx.events.count_stamped()) == (0, 3)
        assert await rx.events.head() == Head(3, 1)
        assert sorted(await rx.events.streams_since(0)) == sorted([HUB_STREAM, order.user_id, order.platform_id])
        [logged] = await rx.events.read(HUB_STREAM, 0, 10)
        assert (logged.kind, logged.subject, logged.subject_version) == ("ORDER_CREATED", order.id, 1)
        assert await rx.events.read(HUB_STREAM, 0, 10, ["ORDER_PAID"]) == []
        assert await rx.events.follow(HUB_STREAM, 0, 10) == Part([logged], 1)
        assert await rx.events.follow(HUB_STREAM, 3, 10) == Part([], 1)
    assert left_out(Events, called) == set()


async def test_archive(store: Store, world: World, called: set[str]) -> None:
    listing = await world.listing()
    order = await world.order(listing)

    async def tell(tx: Tx) -> None:
        told = OrderCreated(order.id, order.number, listing.id, "", "", 9900, "CNY", "AWAITING_PAYMENT", "NONE", "NONE")
        tx.events.append(order, told, await tx.orders.audiences(order), world.draw())
        await tx.events.move("batcher", 0, 1)

    async def unit(tx: Tx) -> None:
        assert await tx.archive.oldest(2, 10) == [Aged(2, START_US), Aged(3, START_US)]
        [reader] = await tx.archive.readers()
        assert reader == Reader("batcher", HUB_STREAM, 1, None, None) or reader.next_at_us == START_US
        assert await tx.archive.newest() == 0
        assert not await tx.archive.take(2, 2)
        assert await tx.archive.take(1, 2)
        assert await tx.archive.newest() == 2
        assert [logged.position for logged in await tx.archive.read(1, 10)] == [2]
        gone = (await tx.archive.read(0, 1))[0].stream
        assert await tx.archive.has_taken(gone, 0)
        assert not await tx.archive.has_taken(gone, 2)
        assert await tx.events.head() == Head(3, 3)

    await store.write(tell)
    await store.stamp()
    await store.write(unit)
    assert left_out(Archive, called) == set()


async def test_tasks(store: Store, world: World, called: set[str]) -> None:
    draw = world.draw()

    async def put(tx: Tx) -> None:
        tx.tasks.add("anchor", "1-9", {"first": 1}, START_US)
        tx.tasks.lease("resolve", "pat_1", {}, draw)
        tx.tasks.lease("resolve", "pat_2", {}, draw)
        tx.tasks.add("webhook", "whe_1:ord_1", {}, START_US + 9, pool="whe_1")

    async def work(tx: Tx) -> None:
        assert await tx.tasks.due(START_US)
        [task] = await tx.tasks.claim(draw, 10)
        assert task == LeasedTask(1, "anchor", "1-9", {"first": 1}, 1, "worker-1")
        assert await tx.tasks.renew(task, draw)
        assert await tx.tasks.retry(task, START_US, "no answer", {"first": 2})
        [task] = await tx.tasks.claim(draw, 10)
        assert (task.body, task.attempts) == ({"first": 2}, 2)
        assert await tx.tasks.die(task, "no answer", START_US)
        assert [(row.is_dead, row.kind, row.last_error) for row in await tx.tasks.listed()] == [
            (0, "resolve", None), (0, "resolve", None), (0, "webhook", None), (1, "anchor", "no answer"),
        ]  # fmt: skip
        assert await tx.tasks.put_back("resolve", "pat_1", {"again": 1}, START_US, world.draw())
        [task] = await tx.tasks.claim(draw, 10)
        assert task.body == {"again": 1}
        assert await tx.tasks.finish(task)
        assert await tx.tasks.reclaim_all() == 1
        assert await tx.tasks.drop("resolve", "pat_2")
        assert await tx.tasks.revive(1, START_US)
        assert not await tx.tasks.due(START_US, is_pooled=True)
        await tx.tasks.hurry("whe_1", START_US)
        assert await tx.tasks.due(START_US, is_pooled=True)
        [task] = await tx.tasks.claim(draw, 9, is_pooled=True)
        assert await tx.tasks.finish(task)
        tx.tasks.add("resolve", "pat_9", {}, START_US + 60_000_000)
        await tx.tasks.flush(tx)
        await tx.tasks.hasten("resolve", "pat_8", START_US)
        assert "pat_9" not in [task.key for task in await tx.tasks.claim(draw, 9)]
        await tx.tasks.hasten("resolve", "pat_9", START_US)
        [task] = await tx.tasks.claim(draw, 9)
        assert task.key == "pat_9"
        await tx.tasks.again("resolve", "pat_9", {}, START_US)
        assert not await tx.tasks.finish(task), "it was taken from its worker"
        [task] = await tx.tasks.claim(draw, 9)
        assert (task.key, task.attempts) == ("pat_9", 3)
        assert await tx.tasks.finish(task)
        await tx.tasks.again("resolve", "pat_10", {}, START_US)
        await tx.tasks.flush(tx)
        [task] = await tx.tasks.claim(draw, 9)
        assert task.key == "pat_10"
        assert await tx.tasks.finish(task)

    async def drop(tx: Tx) -> None:
        assert not await tx.tasks.drop_dead(1)

    for unit in (put, work, drop):
        await store.write(unit)
    assert left_out(Tasks, called) == set()


async def test_webhooks(store: Store, world: World, called: set[str]) -> None:
    platform = await world.platform()
    endpoint = WebhookEndpoint(
        "whe_1", platform.id, "https://shop.example/hook", "subscription { events { id } }", ("ORDER_PAID",),
        frozenset({"events:read"}), EndpointState.ACTIVE, None, b"sealed", None, None, None, None, 1, START_US,
    )  # fmt: skip
    first, second = [
        Logged(f"evt_{n}", platform.id, n, "ORDER_PAID", "ord_1", n, START_US, {"number": n}) for n in (1, 2)
    ]
    sent = Sent(SentOutcome.REFUSED, 12, 500, "no")

    async def unit(tx: Tx) -> None:
        assert await tx.webhooks.count_endpoints("plt_none") is None
        assert await tx.webhooks.count_endpoints(platform.id) == 0
        await tx.webhooks.add_endpoint(endpoint, 0)
        assert await tx.webhooks.count_endpoints(platform.id) == 1
        assert await tx.webhooks.lock_endpoint("whe_1") == await tx.webhooks.endpoint("whe_1") == endpoint
        assert await tx.webhooks.behind(1) == []
        await tx.webhooks.add_deliveries(endpoint, [first, second], world.draw())
        await tx.webhooks.add_deliveries(endpoint, [first], world.draw())
        assert await tx.webhooks.next_pending("whe_1", "ord_2") is None
        held = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert held is not None
        assert (held.event, held.payload, held.state) == (first, None, DeliveryState.PENDING)
        assert await tx.webhooks.keep_payload(held.id, "one") == "one"
        assert await tx.webhooks.keep_payload(held.id, "another") == "one"
        assert await tx.webhooks.keep_payload("whd_none", "one") == ""
        over = replace(held, state=DeliveryState.DELIVERED, attempts=1, delivered_at_us=START_US)
        await tx.webhooks.update_delivery(over)
        await tx.webhooks.add_attempt(over, sent, START_US)
        assert await tx.many(select(webhook_attempt.c.number), int) == [1]
        assert await tx.webhooks.pending_subjects("whe_1") == ["ord_1"]
        assert await tx.webhooks.waiting() == [("whe_1", 1, START_US)]
        assert (len(await tx.webhooks.strays(9)), await tx.webhooks.count_deliveries()) == (2, 2)
        later = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert later is not None
        await tx.webhooks.update_delivery(replace(later, failures=3, first_at_us=START_US, next_at_us=START_US + 9))
        await tx.webhooks.begin_anew("whe_1", START_US + 1)
        later = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert later is not None
        assert (later.event, later.failures, later.first_at_us, later.next_at_us) == (second, 0, None, START_US + 1)
        await tx.webhooks.reopen("whe_1", 0, START_US + 2)
        again = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert again is not None
        assert (again.id, again.payload, again.delivered_at_us) == (held.id, "one", None)
        assert await tx.webhooks.prune(START_US + 1, 9) == 0
        await tx.webhooks.cancel_pending("whe_1")
        assert await tx.webhooks.pending_subjects("whe_1") == []
        assert await tx.webhooks.prune(START_US, 9) == 0
        assert [await tx.webhooks.has_old(before_us) for before_us in (START_US, START_US + 1)] == [False, True]
        assert [await tx.webhooks.prune(START_US + 1, 1) for _ in range(3)] == [1, 1, 0]
        assert await tx.many(select(webhook_attempt.c.number), int) == []
        await tx.webhooks.update_endpoint(replace(endpoint, state=EndpointState.DELETED, kinds=None))
        assert await tx.webhooks.lock_endpoint("whe_1") is None
        assert await tx.webhooks.count_endpoints(platform.id) == 0

    await store.write(unit)
    assert left_out(Webhooks, called) == set()


async def test_who_is_behind(store: Store, world: World) -> None:
    """An endpoint with events of its own stream before it, and one that others' events have left behind."""
    listing = await world.listing()
    order, quiet = await world.order(listing), await world.platform("quiet")
    endpoints = [
        WebhookEndpoint(
            f"whe_{platform_id}", platform_id, "", "", None, frozenset(), EndpointState.ACTIVE, None, b"s", None, None,
            None, None, 1, START_US,
        )
        for platform_id in (listing.platform_id, quiet.id)
    ]  # fmt: skip

    async def unit(tx: Tx) -> None:
        for endpoint in endpoints:
            await tx.webhooks.add_endpoint(endpoint, 0)
        told = OrderCreated(order.id, order.number, listing.id, "", "", 9900, "CNY", "AWAITING_PAYMENT", "NONE", "NONE")
        tx.events.append(order, told, await tx.orders.audiences(order), world.draw())

    await store.write(unit)
    await store.stamp()
    async with store.reading() as rx:
        assert await rx.webhooks.behind(4) == [(endpoints[0], 0, True)]
        assert sorted(await rx.webhooks.behind(3), key=repr) == sorted(
            [(endpoints[0], 0, True), (endpoints[1], 0, False)], key=repr
        )


REPOSITORIES = (
    People, Catalogue, Orders, Payments, Notices, Ledger, Disputes, Entitlements, Breaks, Anchors, Requests, Events,
    Tasks, ApiKeys, Issuers, Audit, Webhooks, Archive, Routing, Refunds, ChainLog, Wallets, Salts,
)  # fmt: skip
