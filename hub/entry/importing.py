"""`hub import`: a platform's catalogue file becomes listings, with a progress bar and a report that hides nothing."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hub.domain.catalogue import ListingDraft
from hub.domain.catalogue_files import (
    DEFAULT_CURRENCY,
    ENCODING,
    ENCODING_ERRORS,
    MAX_FILE_BYTES,
    CatalogueSummary,
    Format,
    MappedListing,
    NotThisFormat,
    read,
    read_mapping,
    summarise,
)
from hub.domain.money import CURRENCIES
from hub.entry.commands import opened
from hub.entry.complaints import Complaint
from hub.entry.settings import Settings
from hub.flows.catalogue import ImportReport, connect_platform, import_listings
from hub.store.transactions import Rx

BAR = 30  # characters
SHOWN = 20  # refused rows printed one by one; the rest are counted


async def import_file(
    settings: Settings,
    path: Path,
    *,
    slug: str,
    format_name: str,
    currency: str | None,
    mapping: Path | None,
) -> int:
    """Load the file; 0 unless nothing at all could be taken from it."""
    format_ = Format(format_name)
    summary = _read(path, format_, currency)
    mapped = _mapped(mapping, slug)
    print(f"hub: {path.name}: {summary.rows_read} rows, {len(summary.rows)} listings")
    async with opened(settings) as (hub, _):
        async with hub.store.reading() as rx:
            courses = await _courses(rx, mapped)
        platform = await connect_platform(
            hub, slug=slug, name=slug.capitalize(), currency=currency or DEFAULT_CURRENCY.get(format_, "USD")
        )
        drafts = [_placed(row.draft, courses) for row in summary.rows]
        bar = _Bar(len(drafts))
        report = await import_listings(
            hub,
            platform.id,
            drafts,
            withdraw_all_but=summary.present_ids if summary.is_complete else None,
            progress=bar.move,
        )
        bar.end()
    _print(summary, report)
    return 0 if summary.rows else 1


def _read(path: Path, format_: Format, currency: str | None) -> CatalogueSummary:
    if currency is not None and currency not in CURRENCIES:
        raise Complaint(f"unknown currency {currency!r}: use an ISO 4217 code such as CNY or USD")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Complaint(f"{path.name} is larger than {MAX_FILE_BYTES // 2**20} MiB: split it")
    with path.open(newline="", encoding=ENCODING, errors=ENCODING_ERRORS) as lines:
        try:
            return summarise(read(lines, format_, currency=currency or DEFAULT_CURRENCY.get(format_)))
        except NotThisFormat as error:
            raise Complaint(f"{path.name} is no {format_.value} catalogue: {error}") from None


def _mapped(path: Path | None, slug: str) -> dict[str, MappedListing]:
    """External id → whose course it is, for this platform's rows of the mapping file. A bad row stops the import:
    a listing under the wrong course cannot be moved."""
    if path is None:
        return {}
    mapped: dict[str, MappedListing] = {}
    with path.open(newline="", encoding=ENCODING, errors=ENCODING_ERRORS) as lines:
        try:
            for row in read_mapping(lines):
                if not isinstance(row, MappedListing):
                    raise Complaint(f"{path.name}, line {row.line}: {row.reason}")
                if row.platform == slug:
                    mapped[row.external_id] = row
        except NotThisFormat as error:
            raise Complaint(f"{path.name} is no mapping: {error}") from None
    return mapped


async def _courses(rx: Rx, mapped: dict[str, MappedListing]) -> dict[str, str]:
    """External id → course id, looked up where the mapping names another platform's listing."""
    courses: dict[str, str] = {}
    for external_id, row in mapped.items():
        if row.course_id:
            if await rx.catalogue.course(row.course_id) is None:
                raise Complaint(f"mapping, line {row.line}: there is no course {row.course_id!r}")
            courses[external_id] = row.course_id
            continue
        other = await rx.catalogue.platform(row.other_platform)
        listed = await rx.catalogue.course_of_listing(other.id, row.other_external_id) if other else None
        if listed is None:
            raise Complaint(
                f"mapping, line {row.line}: {row.other_platform} has no listing {row.other_external_id!r} yet: "
                "import that platform first"
            )
        courses[external_id] = listed
    return courses


def _placed(draft: ListingDraft, courses: dict[str, str]) -> ListingDraft:
    course_id = courses.get(draft.external_id)
    return draft if course_id is None else replace(draft, course_id=course_id)


class _Bar:
    """A line that fills, on a terminal alone."""

    def __init__(self, total: int) -> None:
        self._total = max(total, 1)
        self._done = 0
        self._is_shown = sys.stderr.isatty()

    def move(self, rows: int) -> None:
        self._done += rows
        if self._is_shown:
            filled = self._done * BAR // self._total
            bar = "█" * filled + "·" * (BAR - filled)
            print(f"\rimporting {bar} {self._done}/{self._total}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._is_shown:
            print(file=sys.stderr)


def _print(summary: CatalogueSummary, report: ImportReport) -> None:
    unknown = sum(row.price is None for row in summary.rows)
    free = sum(row.is_free for row in summary.rows)
    print(
        f"hub: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.withdrawn} withdrawn; {free} free, {unknown} with unknown price (these cannot be bought)"
    )
    for kind, repeated in (("duplicate", summary.duplicates), ("conflict, the later row was taken", summary.conflicts)):
        for row in repeated:
            print(f"  line {row.line}: {row.external_id}: {kind} (line {row.earlier_line})")
    refused = [(f"line {row.line}", row.column or "row", row.reason) for row in summary.rejected]
    refused += [(external_id, "listing", reason) for external_id, reason in report.refused]
    _print_refused(refused)


def _print_refused(refused: Iterable[tuple[str, str, str]]) -> None:
    rows = list(refused)
    for where, column, reason in rows[:SHOWN]:
        print(f"  refused: {where}, {column}: {reason}")
    if len(rows) > SHOWN:
        print(f"  … and {len(rows) - SHOWN} more")
