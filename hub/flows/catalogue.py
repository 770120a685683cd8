"""What platforms sell: listings come in one by one (`listingUpsert`) or as a file (`hub import`), and never merge.

Courses join in two ways alone: a listing that names a known Course, or a mapping file given to the import.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hub.domain.catalogue import Course, Listing, ListingDraft, ListingState, Platform, checked
from hub.domain.events import HUB_STREAM, Audience, Change, ListingChanged
from hub.domain.ids import Draw
from hub.domain.merchants import Merchant, MerchantState
from hub.domain.people import Viewer
from hub.domain.refusals import InvalidInput, NotFound, Refusal
from hub.domain.requests import Answer
from hub.domain.shares import FULL_BPS, Share, ShareAgreement
from hub.flows import audit, rivals
from hub.flows.rivals import MadeMeanwhile
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx

# The hub's own fee in a platform's first agreement; the rest is owed to the platform.
HUB_FEE_BPS = 500
# Listings written by one unit of an import: short, so that buyers do not wait behind it.
IMPORT_CHUNK = 50


async def upsert_listing(
    hub: Hub, viewer: Viewer, draft: ListingDraft, *, platform_id: str | None = None
) -> Answer[Listing]:
    """A platform's listing by its own id: new, changed, or as it was. `course_id` lists a Course that is known."""
    owner = viewer.acting_for(platform_id)
    if owner is None:
        return Answer(refusal=NotFound("platformId"))
    if refusal := checked(draft):
        return Answer(refusal=refusal)
    put = await rivals.write(hub, put_listing, owner, draft, hub.draw(), by=viewer)
    return Answer(refusal=put) if isinstance(put, Refusal) else Answer(put)


async def put_listing(
    tx: "Tx", platform_id: str, draft: ListingDraft, draw: Draw, *, by: Viewer | None = None
) -> Listing | Refusal:
    merchant = await tx.catalogue.merchant_of(platform_id)
    if merchant is None:
        return NotFound("platformId")
    if draft.course_id is not None and await tx.catalogue.course(draft.course_id) is None:
        return NotFound("courseId")
    held = await tx.catalogue.lock_listing(platform_id, draft.external_id)
    if held is None:
        return await _add(tx, merchant, draft, draw, by)
    listing, known_digest = held
    if draft.course_id is not None and draft.course_id != listing.course_id:
        return InvalidInput("courseId", "this listing is of another course already: withdraw it and list anew")
    if digest(draft) == known_digest and listing.state is ListingState.ACTIVE:
        return listing
    changed = await tx.catalogue.update_listing(
        replace(
            listing,
            title=draft.title or listing.title,
            url=draft.url,
            price=draft.price,
            price_text=draft.price_text,
            is_honoured=listing.is_honoured if draft.is_honoured is None else draft.is_honoured,
            state=ListingState.ACTIVE,
        ),
        digest(draft),
    )
    await _reword(tx, changed, draft)
    _tell(tx, changed, listing.state, draw)
    await _note(tx, by, changed, draw)
    return changed


async def _note(tx: "Tx", by: Viewer | None, listing: Listing, draw: Draw) -> None:
    if by is not None:
        await audit.note_staff(tx, by, "listingUpsert", listing.id, draw, platform_id=listing.platform_id)


async def _add(tx: "Tx", merchant: Merchant, draft: ListingDraft, draw: Draw, by: Viewer | None) -> Listing:
    course_id = draft.course_id or draw.id("crs", merchant.platform_id, draft.external_id)
    course = None
    if draft.course_id is None:
        course = _course(course_id, draft, version=1, created_at_us=draw.now_us)
        await tx.catalogue.add_course(course)
    else:
        course = await tx.catalogue.course(course_id)
    assert course is not None
    listing = Listing(
        id=draw.id("lst", merchant.platform_id, draft.external_id),
        platform_id=merchant.platform_id,
        course_id=course_id,
        merchant_id=merchant.id,
        external_id=draft.external_id,
        title=draft.title or course.title,
        url=draft.url,
        price=draft.price,
        price_text=draft.price_text,
        # Rights bought elsewhere are opened by agreement alone; listing a course that is known is such a word.
        is_honoured=draft.course_id is not None if draft.is_honoured is None else draft.is_honoured,
        state=ListingState.ACTIVE,
        version=1,
        created_at_us=draw.now_us,
    )
    if not await tx.catalogue.add_listing(listing, digest(draft)):
        raise MadeMeanwhile(f"listing {draft.external_id!r} of {merchant.platform_id}")
    _tell(tx, listing, "", draw)
    await _note(tx, by, listing, draw)
    return listing


async def _reword(tx: "Tx", listing: Listing, draft: ListingDraft) -> None:
    """A Course keeps the words of the listing that it came with; another platform's listing does not change them."""
    course = await tx.catalogue.course(listing.course_id)
    if course is None or draft.course_id is not None or course.created_at_us != listing.created_at_us:
        return
    reworded = _course(course.id, draft, version=course.version, created_at_us=course.created_at_us)
    if reworded != course:
        await tx.catalogue.update_course(reworded)


def _course(course_id: str, draft: ListingDraft, *, version: int, created_at_us: int) -> Course:
    return Course(
        id=course_id,
        kind=draft.kind,
        title=draft.title,
        summary=draft.summary,
        institution=draft.institution,
        subject=draft.subject,
        level=draft.level,
        language=draft.language,
        version=version,
        created_at_us=created_at_us,
    )


def digest(draft: ListingDraft) -> str:
    """Equal words, equal digest: the same listing again changes nothing."""
    return hashlib.sha256(repr(replace(draft, course_id=None)).encode()).hexdigest()


def _tell(tx: "Tx", listing: Listing, before: str, draw: Draw) -> None:
    event = ListingChanged(listing.id, listing.platform_id, listing.course_id, listing.external_id, listing.state)
    told = tuple(
        Audience(stream, "", listing.external_id, listing.id, sees_order=False)
        for stream in (HUB_STREAM, listing.platform_id)
    )
    tx.events.append(listing, event, told, draw, Change(before, listing.state, "listingUpsert"))


# ---- platforms -------------------------------------------------------------------------------------------------------


async def connect_platform(hub: Hub, *, slug: str, name: str, currency: str) -> Platform:
    """The platform of that slug; a new one comes with its merchant and the first agreement: the hub's fee, and the rest
    owed to the platform."""
    return await rivals.write(hub, put_platform, slug, name, currency, hub.draw())


async def put_platform(tx: "Tx", slug: str, name: str, currency: str, draw: Draw) -> Platform:
    known = await tx.catalogue.platform(slug)
    if known is not None:
        return known
    platform = Platform(draw.id("plt"), slug, name, currency, draw.now_us)
    if not await tx.catalogue.add_platform(platform):
        raise MadeMeanwhile(f"platform {slug!r}")
    merchant_id = draw.id("mer")
    shares = (Share(platform.id, FULL_BPS - HUB_FEE_BPS), Share(None, HUB_FEE_BPS))
    agreement = ShareAgreement(draw.id("sha"), merchant_id, 1, shares)
    await tx.catalogue.add_merchant(
        Merchant(merchant_id, platform.id, name, MerchantState.ACTIVE, agreement.id, draw.now_us), agreement
    )
    await audit.note(tx, audit.COMMAND, "platformConnect", platform.id, draw, platform_id=platform.id, slug=slug)
    return platform


# ---- imports ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ImportReport:
    """What an import did. Rows refused while reading are the reader's own report."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)  # (external id, reason)


async def import_listings(
    hub: Hub,
    platform_id: str,
    drafts: Iterable[ListingDraft],
    *,
    withdraw_all_but: frozenset[str] | None = None,
    progress: Callable[[int], None] = lambda _rows: None,
) -> ImportReport:
    """Put many listings by short units, beside a running server. The same again changes nothing. `withdraw_all_but`:
    the file was complete, so every listing that it does not name is withdrawn, never deleted."""
    report = ImportReport()
    async with hub.store.reading() as rx:
        known = await rx.catalogue.digests(platform_id)
    chunk: list[ListingDraft] = []
    for draft in drafts:
        before = known.get(draft.external_id)
        if before == (digest(draft), ListingState.ACTIVE):
            report.unchanged += 1
            progress(1)
            continue
        if refusal := checked(draft):
            report.refused.append((draft.external_id, refusal.message))
            progress(1)
            continue
        chunk.append(draft)
        if len(chunk) == IMPORT_CHUNK:
            await _put_chunk(hub, platform_id, chunk, known, report)
            progress(len(chunk))
            chunk = []
    if chunk:
        await _put_chunk(hub, platform_id, chunk, known, report)
        progress(len(chunk))
    if withdraw_all_but is not None:
        gone = [
            external_id
            for external_id, (_, state) in known.items()
            if state == ListingState.ACTIVE and external_id not in withdraw_all_but
        ]
        for start in range(0, len(gone), IMPORT_CHUNK):
            part = gone[start : start + IMPORT_CHUNK]
            report.withdrawn += await hub.store.write(withdraw, platform_id, part, hub.draw())
    return report


async def _put_chunk(
    hub: Hub,
    platform_id: str,
    chunk: Sequence[ListingDraft],
    known: Mapping[str, tuple[str, str]],
    report: ImportReport,
) -> None:
    outcomes = await rivals.write(hub, put_listings, platform_id, chunk, hub.draw())
    for draft, outcome in zip(chunk, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            report.refused.append((draft.external_id, outcome.message))
        elif draft.external_id in known:
            report.changed += 1
        else:
            report.added += 1


async def put_listings(
    tx: "Tx", platform_id: str, drafts: Sequence[ListingDraft], draw: Draw
) -> list[Listing | Refusal]:
    put = [await put_listing(tx, platform_id, draft, draw) for draft in drafts]
    count = sum(not isinstance(listing, Refusal) for listing in put)
    await audit.note(tx, audit.COMMAND, "import", platform_id, draw, platform_id=platform_id, listings=count)
    return put


async def withdraw(tx: "Tx", platform_id: str, external_ids: Sequence[str], draw: Draw) -> int:
    """No longer on sale; rights that were bought stay."""
    count = 0
    for external_id in external_ids:
        held = await tx.catalogue.lock_listing(platform_id, external_id)
        if held is None or held[0].state is ListingState.WITHDRAWN:
            continue
        listing, known_digest = held
        withdrawn = await tx.catalogue.update_listing(replace(listing, state=ListingState.WITHDRAWN), known_digest)
        _tell(tx, withdrawn, listing.state, draw)
        count += 1
    await audit.note(tx, audit.COMMAND, "importWithdraw", platform_id, draw, platform_id=platform_id, listings=count)
    return count
