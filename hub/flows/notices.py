"""A channel's later word (异步通知): verified, kept once under its event id, applied through the one door.

A notice whose attempt we know is kept and applied in one unit, and acknowledged after that commit. One that we cannot
place, or whose application fails, is kept WAITING and tried again by a Task: never dropped, never marked done. One that
carries no reference of ours and stays without its charge is IGNORED after a day, with the reason, and looked at again.
"""

import logging
from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.ledger import LedgerFault
from hub.domain.payments import UNRESOLVED_AFTER_US, Notice, Source, fact_of, next_query_after_s
from hub.domain.people import Viewer
from hub.domain.reconciliation import BreakKind
from hub.domain.refusals import NotFound, Refusal, StateConflict
from hub.domain.requests import Answer
from hub.flows import audit, disputes, refund_facts
from hub.flows.attempt_facts import apply_fact
from hub.flows.breaks import open_break
from hub.ports import Ack, Hub, NoticeIgnored, NoticeRefused, RawNotice, Vault

if TYPE_CHECKING:
    from hub.store.notices import KnownNotice, WaitingNotice
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)

APPLY = "apply_notice"
# A charge of ours is known by then: its payment has been asked about some thirty times.
FOREIGN_AFTER_US = UNRESOLVED_AFTER_US
TAKE_UP = 100  # at once: more are next time's


async def receive(hub: Hub, channel_code: str, raw: RawNotice) -> Ack:
    """One delivery. Raises KeyError for an unknown channel, NoticeRefused for what is not provably the channel's."""
    channel = hub.channels[channel_code]
    try:
        notice = channel.verify_notice(raw, hub.clock.now_us())
    except NoticeIgnored:
        return channel.ack(accepted=True)
    try:
        is_accepted = await hub.store.write(take, channel_code, notice, hub.draw(), hub.vault)
    except (AssertionError, LedgerFault):
        log.exception("notice %s of %s could not be applied: it waits", notice.event_id, channel_code)
        is_accepted = await hub.store.write(keep_waiting, channel_code, notice, hub.draw())
    if not is_accepted:
        raise NoticeRefused("another content under an event id that we have: see the open Break")
    return channel.ack(accepted=True)


async def take(tx: "Tx", channel: str, notice: Notice, draw: Draw, vault: Vault) -> bool:
    """Keep and apply; False: the event id is known with another content."""
    known = await tx.notices.known(channel, notice)
    if known.id is not None:
        return await _known_before(tx, known, notice, draw)
    if known.attempt_id is None:
        return await keep_waiting(tx, channel, notice, draw)
    if notice.dispute is not None and not await disputes.has_charge(tx, known.attempt_id):
        return await keep_waiting(tx, channel, notice, draw)
    if not await tx.notices.insert(channel, notice, "APPLIED", draw):
        return await _known_before(tx, await tx.notices.known(channel, notice), notice, draw)
    if notice.dispute is not None:
        await disputes.apply_word(tx, known.attempt_id, notice.dispute, Source.NOTICE, notice.result, draw, vault)
    elif notice.refund_key is not None:
        await refund_facts.apply_notice(tx, known.attempt_id, notice.refund_key, notice.result, draw, vault)
    elif not known.says_the_same(notice):
        await apply_notice(tx, known.attempt_id, notice, draw, vault)
    return True


async def _known_before(tx: "Tx", known: "KnownNotice", notice: Notice, draw: Draw) -> bool:
    """Delivered before, or at this very moment: the first delivery applies it, and another content is a conflict."""
    assert known.id is not None
    if known.digest == notice.digest:
        return True
    await tx.notices.move(known.id, "CONFLICTED")
    attempt = await tx.payments.by_id(known.attempt_id) if known.attempt_id else None
    detail = f"event {notice.event_id} was delivered again with another content"
    subject_id, order_id = (attempt.id, attempt.order_id) if attempt else (known.id, None)
    await open_break(tx, BreakKind.STATUS, subject_id, order_id, detail, draw)
    return False


async def keep_waiting(tx: "Tx", channel: str, notice: Notice, draw: Draw) -> bool:
    """For an order that we do not know, yet: kept, and tried again with back-off."""
    if not await tx.notices.insert(channel, notice, "WAITING", draw):
        return await _known_before(tx, await tx.notices.known(channel, notice), notice, draw)
    notice_id = draw.id("ntc", channel, notice.event_id)
    tx.tasks.add(APPLY, notice_id, {"notice": notice_id}, draw.now_us + 1_000_000)
    return True


async def apply_notice(tx: "Tx", attempt_id: str, notice: Notice, draw: Draw, vault: Vault) -> None:
    attempt = await tx.payments.by_id(attempt_id)
    assert attempt is not None
    fact = fact_of(attempt, notice.result, Source.NOTICE)
    attempt = await apply_fact(tx, attempt_id, notice.result, fact, draw, vault)
    if attempt.is_settled:
        await tx.tasks.drop("resolve_attempt", attempt_id)


async def apply_waiting(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one kept notice. Returns when to look again (µs), None once it is applied."""
    is_done = await hub.store.write(take_waiting, task.body["notice"], hub.draw(), hub.vault)
    return None if is_done else hub.clock.now_us() + next_query_after_s(task.attempts) * 1_000_000


async def replay(hub: Hub, viewer: Viewer, notice_id: str) -> Answer[str]:
    """An operator has a kept notice applied (again): what it tells goes through the one door, where what is known
    already changes nothing. One whose content was contradicted is nobody's to apply."""
    refusal = await hub.store.write(take_again, viewer, notice_id, hub.draw(), hub.vault)
    return Answer(refusal=refusal) if refusal else Answer(notice_id)


async def take_again(tx: "Tx", viewer: Viewer, notice_id: str, draw: Draw, vault: Vault) -> Refusal | None:
    kept = await tx.notices.kept(notice_id)
    if kept is None:
        return NotFound("noticeId")
    if kept.state == "CONFLICTED":
        return StateConflict(kept.state, "noticeReplay")
    await take_waiting(tx, notice_id, draw, vault, is_again=True)
    await audit.note(tx, viewer, "noticeReplay", notice_id, draw, channel=kept.channel, event=kept.event_id)
    return None


async def _not_placed(tx: "Tx", waiting: "WaitingNotice", draw: Draw) -> bool:
    """It goes on waiting; but what carries no reference of ours, of a charge that has not become ours in a day, is of
    another system on the provider's account. It is kept, and taken up once that charge is known (`take_up`)."""
    is_foreign = not waiting.attempt_key and draw.now_us - waiting.received_at_us >= FOREIGN_AFTER_US
    if not is_foreign:
        await tx.notices.move(waiting.id, "WAITING")
        return False
    await tx.notices.move(
        waiting.id, "IGNORED", "it names no payment of this hub, and a charge that is none of its own"
    )
    return True


async def take_up(hub: Hub) -> int:
    """Apply what was ignored as another's and is about a charge that we know by now. Returns how many."""
    async with hub.store.reading() as rx:
        found = await rx.notices.found_again(TAKE_UP)
    for notice_id in found:
        await hub.store.write(take_waiting, notice_id, hub.draw(), hub.vault, is_again=True)
    return len(found)


async def take_waiting(tx: "Tx", notice_id: str, draw: Draw, vault: Vault, *, is_again: bool = False) -> bool:
    waiting = await tx.notices.waiting(notice_id)
    if waiting is None or (waiting.state != "WAITING" and not is_again):
        return True
    if waiting.attempt_id is None:
        return await _not_placed(tx, waiting, draw)
    if waiting.dispute is not None:
        if not await disputes.has_charge(tx, waiting.attempt_id):
            await tx.notices.move(notice_id, "WAITING")
            return False
        await disputes.apply_word(tx, waiting.attempt_id, waiting.dispute, Source.NOTICE, waiting.result, draw, vault)
        await tx.notices.move(notice_id, "APPLIED")
        return True
    if waiting.refund_key is not None:
        await refund_facts.apply_notice(tx, waiting.attempt_id, waiting.refund_key, waiting.result, draw, vault)
        await tx.notices.move(notice_id, "APPLIED")
        return True
    attempt = await tx.payments.by_id(waiting.attempt_id)
    assert attempt is not None
    fact = fact_of(attempt, waiting.result, Source.NOTICE)
    await apply_fact(tx, waiting.attempt_id, waiting.result, fact, draw, vault)
    await tx.notices.move(notice_id, "APPLIED")
    return True
