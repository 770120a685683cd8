"""THE STORY: M, then R, G, API, G; then B, SC and T.

create_order       M      admits merchant, listing, price, buyer; issues the order number
request_payment    R G    looks the key up, refuses what cannot be, commits the attempt
                   API    the channel is asked, no transaction open
                   G      the result is recorded: facts, postings, right, leaf, events, in one transaction
checkout           both in one call, under one key
record_on_chain    B SC   the leaves (flows/records.py) become a root (flows/anchors.py)
issue_right        T      the right opens on every platform that honours it (flows/access.py)

How an order ends otherwise stands in flows/orders.py.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hub.domain.entitlements import EntitlementState
from hub.domain.events import Audience, Change, OrderCreated, OrderPaid
from hub.domain.ids import Draw, fingerprint
from hub.domain.money import Money
from hub.domain.orders import (
    ATTEMPT_WITHIN_US,
    Order,
    OrderStatus,
    may_be_paid,
    settled,
)
from hub.domain.payments import (
    AttemptState,
    CaptureMethod,
    PaymentAttempt,
    PaymentRequest,
    Result,
    Source,
    captured_by,
    fact_of,
)
from hub.domain.people import Viewer
from hub.domain.refusals import AlreadyEntitled, AttemptIsLive, NotFound, Refusal
from hub.domain.requests import Answer, RequestKey, Seen
from hub.domain.routing import may_go_on, why_no_failover
from hub.flows import access, anchors, records
from hub.flows.attempt_facts import RESOLVE, apply_fact, tell_attempt
from hub.flows.attempts import ask_once, send
from hub.flows.entitlements import audiences_of, grant_purchase
from hub.flows.merchants import admit
from hub.flows.wallets import holder_of
from hub.flows.ways import (
    StillPayable,
    Way,
    close_declined,
    close_former,
    last_of,
    no_channel,
    still_payable,
    way_of,
    way_refusal,
)
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


# ---- M 商户管理 ------------------------------------------------------------------------------------------------------


async def create_order(
    hub: Hub,
    viewer: Viewer,
    *,
    listing_id: str,
    expected: Money | None,
    idempotency_key: str,
    wallet_id: str | None = None,
) -> Answer[Order]:
    """An order at the listing's price of now, frozen. `expected` refuses another price than the buyer saw; `wallet_id`
    is the buyer's wallet for which the right's token is to be."""
    told: dict[str, Any] = {
        "listingId": listing_id,
        "expectedAmount": expected and [expected.amount_minor, expected.currency],
    }
    told |= meant_for(wallet_id)
    request = RequestKey(viewer.principal, "orderCreate", idempotency_key, fingerprint("orderCreate", told))
    return await hub.store.write(admit_order, viewer, listing_id, expected, request, hub.draw(), hub.vault, wallet_id)


def meant_for(wallet_id: str | None) -> dict[str, str]:
    """What a request says of the wallet, in its fingerprint: as before where it names none."""
    return {} if wallet_id is None else {"walletId": wallet_id}


async def admit_order(
    tx: "Tx",
    viewer: Viewer,
    listing_id: str,
    expected: Money | None,
    request: RequestKey,
    draw: Draw,
    vault: Vault,
    wallet_id: str | None = None,
) -> Answer[Order]:
    if seen := await tx.requests.begin(request, draw.id("ord"), draw):
        return Answer(await tx.orders.lock(seen.subject_id), seen.refusal, is_replay=True)
    assert viewer.user_id is not None
    order = await admit(tx, viewer.user_id, listing_id, expected, draw, wallet_id=wallet_id)
    if isinstance(order, Refusal):
        await tx.requests.finish(request, order)
        return Answer(refusal=order)
    await tx.orders.insert(order)
    await _announce(tx, order, await audiences_of(tx, order, vault), draw, vault)
    await tx.requests.finish(request, None)
    return Answer(order)


async def _announce(tx: "Tx", order: Order, audiences: list[Audience], draw: Draw, vault: Vault) -> None:
    """Tell of a new order; one of total 0 is paid, granted and recorded at once."""
    tx.events.append(order, OrderCreated.of(order), audiences, draw, Change("", order.status, "orderCreate"))
    if order.status is OrderStatus.PAID:
        tx.events.append(order, OrderPaid.of(order), audiences, draw)
        grant_id = await grant_purchase(tx, order, audiences, draw)
        holder = await holder_of(tx, order)
        await records.record_end(
            tx, order, None, grant_id=grant_id, had_ended=False, audiences=audiences, draw=draw, vault=vault,
            holder=holder,
        )  # fmt: skip


# ---- R 支付请求, G, API, G -------------------------------------------------------------------------------------------


async def request_payment(hub: Hub, viewer: Viewer, request: PaymentRequest) -> Answer[PaymentAttempt]:
    """One attempt to be paid. The answer's attempt says what we know; a decline is data, not a refusal."""
    told = fingerprint("paymentCreate", request.normalised)
    key = RequestKey(viewer.principal, "paymentCreate", request.idempotency_key, told)
    if request.replaces is not None:
        await close_former(hub, viewer, request.order_id, request.replaces)
    way = await way_of(hub, request, order_id=request.order_id)
    try:
        opened = await hub.store.write(open_attempt, viewer, request, key, way, hub.draw(), hub.vault)
    except StillPayable as found:
        way = await close_declined(hub, way, found.attempts)
        opened = await hub.store.write(open_attempt, viewer, request, key, way, hub.draw(), hub.vault)
    return await _ask_and_record(hub, opened, key, request, way)


async def open_attempt(
    tx: "Tx",
    viewer: Viewer,
    request: PaymentRequest,
    key: RequestKey,
    way: Way,
    draw: Draw,
    vault: Vault,
) -> "Opened":
    if seen := await tx.requests.begin(key, draw.id("pat"), draw):
        attempt = await tx.payments.by_id(seen.subject_id)
        attempt = attempt and last_of(await tx.payments.of_order(attempt.order_id), attempt)
        return Opened(attempt, seen.refusal, is_replay=seen.is_done, is_resumed=seen.is_dead)
    order = await tx.orders.lock(request.order_id)
    if order is None or order.user_id != viewer.user_id:
        return await _refuse(tx, key, NotFound("orderId"))
    made = await tx.payments.of_order(order.id)
    live = [attempt.id for attempt in made if attempt.is_live]
    if refusal := may_be_paid(order, request.expected, live[0] if live else None, draw.now_us):
        return await _refuse(tx, key, refusal)
    # Another order of this buyer may have been paid since this one was admitted: nobody pays twice for one course.
    owned = await tx.entitlements.of(order.user_id, order.course_id)
    if owned is not None and owned.state is EntitlementState.ACTIVE:
        return await _refuse(tx, key, AlreadyEntitled(owned.id))
    reason = why_no_failover(made) if way.plan is not None else None
    standings = await tx.routing.standings()
    if refusal := (way_refusal(request, way, order.total, standings) if reason is None else no_channel(reason)):
        return await _refuse(tx, key, refusal)
    if payable := still_payable(made, way):
        if not way.has_closed:
            raise StillPayable(payable)
        return await _refuse(tx, key, AttemptIsLive(payable[0].id))
    attempt = _attempt(order, request, way, draw)
    if not await tx.payments.insert(attempt):
        return await _refuse(tx, key, AttemptIsLive())
    order = await tx.orders.update(_with(order, attempt, draw))
    _submit(tx, attempt, key, await audiences_of(tx, order, vault), draw)
    return Opened(attempt)


def _attempt(order: Order, request: "PaymentRequest | CheckoutRequest", way: Way, draw: Draw) -> PaymentAttempt:
    """The next attempt of an order, SUBMITTED: committed before any call. Its key is the channel's idempotency key."""
    number, (code, _) = order.attempts + 1, way.channels[0]
    return PaymentAttempt(
        id=draw.id("pat"),
        order_id=order.id,
        number=number,
        channel=code,
        key=f"{order.number}-{number}",
        amount=order.total,
        state=AttemptState.SUBMITTED,
        method=request.method,
        return_url=request.return_url,
        request_key=request.idempotency_key,
        calls=1,
        sent_at_us=draw.now_us,
        expires_at_us=draw.now_us + ATTEMPT_WITHIN_US,
        heard_rank=0,
        heard_at_us=None,
        heard_key="",
        channel_ref=None,
        code=None,
        decline=None,
        next_action=None,
        unknown_since_us=None,
        version=1,
        created_at_us=draw.now_us,
        capture_method=request.capture_method,
        routing=way.explained(code),
    )


def _with(order: Order, attempt: PaymentAttempt, draw: Draw) -> Order:
    return settled(replace(order, attempts=attempt.number), [attempt], draw.now_us)


def _submit(tx: "Tx", attempt: PaymentAttempt, key: RequestKey, audiences: list[Audience], draw: Draw) -> None:
    """Tell of the attempt, and leave the Task that asks about it should this process die over the call."""
    tell_attempt(tx, "", attempt, key.operation, audiences, draw)
    tx.tasks.lease(RESOLVE, attempt.id, {"attempt": attempt.id}, draw)


async def _refuse(tx: "Tx", key: RequestKey, refusal: Refusal) -> "Opened":
    await tx.requests.finish(key, refusal)
    return Opened(refusal=refusal)


@dataclass(frozen=True, slots=True)
class Opened:
    """What the first unit came to: an attempt to send, one from before, or a refusal."""

    attempt: PaymentAttempt | None = None
    refusal: Refusal | None = None
    is_replay: bool = False
    is_resumed: bool = False  # an earlier process died over it: ask first, since it may have been sent
    order: Order | None = None  # of total 0: granted, there is nothing to pay


async def _ask_and_record(
    hub: Hub, opened: Opened, key: RequestKey, request: "PaymentRequest | CheckoutRequest", way: Way
) -> Answer[PaymentAttempt]:
    attempt = opened.attempt
    if attempt is None or opened.is_replay:
        return Answer(attempt, opened.refusal, opened.is_replay)
    channel = hub.channels[attempt.channel]
    if opened.is_resumed:
        attempt = await ask_once(hub, channel, attempt) if attempt.is_live else attempt
        await hub.store.write(finish_request, key)
        return Answer(attempt)
    while True:
        attempt, result = await send(hub, hub.channels[attempt.channel], attempt)
        if result is None:
            await hub.store.write(finish_request, key)
            return Answer(attempt)
        way = replace(way, channels=way.channels[1:])
        draw = hub.draw()
        answer = await hub.store.write(record_result, attempt, result, key, draw, hub.vault, request, way)
        if answer.value is None or answer.value.id == attempt.id:
            return answer
        attempt = answer.value


async def record_result(
    tx: "Tx",
    known: PaymentAttempt,
    result: Result,
    key: RequestKey,
    draw: Draw,
    vault: Vault,
    request: "PaymentRequest | CheckoutRequest",
    way: Way,
) -> Answer[PaymentAttempt]:
    """G 支付结果: everything that follows from the channel's answer, in one transaction. Where nothing was done at all
    and the hub chose the channel, the answer is the next channel's attempt, which is to be sent."""
    fact = fact_of(known, result, Source.ANSWER)
    attempt = await apply_fact(tx, known.id, result, fact, draw, vault)
    if attempt.is_live:
        await tx.tasks.put_back(RESOLVE, attempt.id, {"attempt": attempt.id}, draw.now_us + FIRST_LOOK_US, draw)
    else:
        await tx.tasks.let_go(RESOLVE, attempt.id, draw)
    if following := await _following(tx, attempt, key, draw, vault, request, way):
        return Answer(following)
    await tx.requests.finish(key, None)
    return Answer(attempt)


async def _following(
    tx: "Tx",
    attempt: PaymentAttempt,
    key: RequestKey,
    draw: Draw,
    vault: Vault,
    request: "PaymentRequest | CheckoutRequest",
    way: Way,
) -> PaymentAttempt | None:
    """The next channel's attempt, if no money can move on this one. A token of one provider is none of another's."""
    if way.plan is None or request.method is not None or not may_go_on(attempt):
        return None
    order = await tx.orders.lock(attempt.order_id)
    made = await tx.payments.of_order(attempt.order_id)
    if order is None or why_no_failover(made) or order.status is not OrderStatus.AWAITING_PAYMENT:
        return None
    standings = await tx.routing.standings()
    while way.channels and way_refusal(request, way, order.total, standings):
        way = replace(way, channels=way.channels[1:])
    if not way.channels:
        return None
    following = _attempt(order, request, way, draw)
    if not await tx.payments.insert(following):
        return None
    order = await tx.orders.update(_with(order, following, draw))
    _submit(tx, following, key, await audiences_of(tx, order, vault), draw)
    return following


# When an attempt that is still live is asked about for the first time.
FIRST_LOOK_US = 2 * 1_000_000


async def finish_request(tx: "Tx", key: RequestKey) -> None:
    await tx.requests.finish(key, None)


# ---- both in one call ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """What `checkout` asks: `orderCreate` and `paymentCreate` at once."""

    listing_id: str
    channel: str | None  # None: the hub chooses
    expected: Money
    idempotency_key: str
    method: str | None = None
    return_url: str | None = None
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    wallet_id: str | None = None  # the buyer's, for which the right's token is to be

    @property
    def normalised(self) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "listingId": self.listing_id,
            "channel": self.channel,
            "expectedAmount": [self.expected.amount_minor, self.expected.currency],
            "method": self.method,
            "returnUrl": self.return_url,
        }
        return asked | captured_by(self.capture_method) | meant_for(self.wallet_id)


async def checkout(hub: Hub, viewer: Viewer, request: CheckoutRequest) -> Answer[PaymentAttempt | Order]:
    """An order and its first attempt under one key. A total of 0 answers with the granted order."""
    key = RequestKey(viewer.principal, "checkout", request.idempotency_key, fingerprint("checkout", request.normalised))
    way = await way_of(hub, request, listing_id=request.listing_id)
    opened = await hub.store.write(open_checkout, viewer, request, key, way, hub.draw(), hub.vault)
    if opened.order is not None:
        return Answer(opened.order, None, opened.is_replay)
    answer = await _ask_and_record(hub, opened, key, request, way)
    return Answer(answer.value, answer.refusal, answer.is_replay)


async def open_checkout(
    tx: "Tx",
    viewer: Viewer,
    request: CheckoutRequest,
    key: RequestKey,
    way: Way,
    draw: Draw,
    vault: Vault,
) -> Opened:
    if seen := await tx.requests.begin(key, draw.id("ord"), draw):
        return await _seen_checkout(tx, seen)
    assert viewer.user_id is not None
    first = way.channels[0][0] if way.channels else ""
    order = await admit(
        tx, viewer.user_id, request.listing_id, request.expected, draw, channel=first, wallet_id=request.wallet_id
    )
    if isinstance(order, Refusal):
        return await _refuse(tx, key, order)
    if order.status is OrderStatus.PAID:
        await tx.orders.insert(order)
        await _announce(tx, order, await audiences_of(tx, order, vault), draw, vault)
        await tx.requests.finish(key, None)
        return Opened(order=order)
    if refusal := way_refusal(request, way, order.total, {}):  # whether it is stopped was asked with the admission
        return await _refuse(tx, key, refusal)
    attempt = _attempt(order, request, way, draw)
    order = _with(order, attempt, draw)
    await tx.orders.insert(order)
    await tx.payments.insert(attempt)
    audiences = await audiences_of(tx, order, vault)
    await _announce(tx, order, audiences, draw, vault)
    _submit(tx, attempt, key, audiences, draw)
    return Opened(attempt)


async def _seen_checkout(tx: "Tx", seen: Seen) -> Opened:
    """The subject of a checkout is its order; what it answered is the order's first attempt, if it has one."""
    order = None if seen.refusal else await tx.orders.lock(seen.subject_id)
    made = await tx.payments.of_order(seen.subject_id) if order else []
    return Opened(
        attempt=last_of(made, made[0]) if made else None,
        refusal=seen.refusal,
        is_replay=seen.is_done,
        is_resumed=seen.is_dead,
        order=None if made else order,
    )


# ---- B 区块链, SC 智能合约, T Token 化 -------------------------------------------------------------------------------


async def record_on_chain(hub: Hub) -> int | None:
    """B and SC: leaves whose time has come become one batch; its Task anchors the root. When to look again (µs)."""
    return await anchors.gather(hub)


async def issue_right(hub: Hub) -> int:
    """T: tell every platform that honours a new right to open it. Returns how many Tasks that made."""
    return await access.gather(hub)
