"""Real catalogue files are dirty; this file turns their lines into rows that the hub may sell from, or says why not.

What is sold (id, title, address, price) must be readable or the row is refused; what only describes (level, language,
numbers of learners, dates) is kept as text in `extras` when it cannot be read, and its field is None. Nothing is
guessed: an unknown price is None, never 0.

Open a file for `read` with `newline=""` (cells hold line breaks), `encoding=ENCODING` and `errors=ENCODING_ERRORS` (a
byte that is not UTF-8 then costs its row, not the file), and refuse it unread above MAX_FILE_BYTES.
"""

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar
from urllib.parse import urlsplit

from hub.domain.catalogue import MAX_EXTERNAL_ID, MAX_TITLE, MAX_URL, ListingDraft, checked
from hub.domain.money import CURRENCIES, MAX_PRICE_MINOR, Money

T = TypeVar("T")

ENCODING = "utf-8-sig"  # exports made by spreadsheets begin with a byte order mark
ENCODING_ERRORS = "surrogateescape"

# The largest real file has 2 MB, 3,678 rows and 11,594 characters in a row: room for ten times that, and still no
# file that fills the memory of a small machine (an import holds the file's rows at once).
MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_ROWS = 50_000
MAX_ROW_CHARS = 120_000  # below the 131,072 characters at which the csv module gives a cell up


class Format(Enum):
    """Whose export the file is."""

    UDEMY = "udemy"
    EDX = "edx"
    COURSERA = "coursera"


DEFAULT_CURRENCY = {Format.UDEMY: "USD"}  # its prices name no currency; the other two formats hold no course price


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One course as the file lists it. Texts are NFC, "" when absent; `line` (1 is the header) is not compared."""

    line: int = field(compare=False)
    external_id: str
    title: str
    url: str = ""
    institution: str = ""
    summary: str = ""
    description: str = ""
    level: str = ""
    language: str = ""  # BCP 47
    subtitles: tuple[str, ...] = ()  # BCP 47
    subject: str = ""
    price: Money | None = None  # None is unknown and cannot be bought; an amount of 0 is known to be free
    price_text: str = ""
    certificate: Money | None = None  # what a certificate beside the course costs; says nothing of the course
    learners: int | None = None
    published_at_us: int | None = None
    extras: tuple[tuple[str, str], ...] = ()  # (column, text) of what has no field of its own

    @property
    def is_free(self) -> bool:
        """True when the price is known to be 0."""
        return self.price is not None and self.price.amount_minor == 0

    @property
    def draft(self) -> ListingDraft:
        """The row as a platform's word on a Listing; the Course's summary is the file's summary and description."""
        return ListingDraft(
            external_id=self.external_id,
            title=self.title,
            url=self.url,
            summary="\n\n".join(text for text in (self.summary, self.description) if text),
            institution=self.institution,
            subject=self.subject,
            level=self.level,
            language=self.language,
            price=self.price,
            price_text=self.price_text,
        )


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was not taken. `external_id` is None when even that was unreadable; so is `column` for a whole row."""

    line: int
    column: str | None
    reason: str
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Repetition:
    """An external id that came again at `line` after `earlier_line`."""

    external_id: str
    line: int
    earlier_line: int


@dataclass(frozen=True, slots=True)
class CatalogueSummary:
    """A whole file: one row per external id, and every row that is not among them by name."""

    rows_read: int
    rows: tuple[CatalogueRow, ...]  # in order of first appearance
    rejected: tuple[RejectedRow, ...]
    duplicates: tuple[Repetition, ...]  # said the same again
    conflicts: tuple[Repetition, ...]  # said something else; the later row was taken

    @property
    def present_ids(self) -> frozenset[str]:
        """The ids that stand in the file, taken or refused: a refused row is no reason to withdraw its Listing."""
        refused = {row.external_id for row in self.rejected if row.external_id is not None}
        return frozenset(refused.union(row.external_id for row in self.rows))

    @property
    def is_complete(self) -> bool:
        """True when every row named its id, so that an id not in `present_ids` is truly absent from the file."""
        return all(row.external_id is not None for row in self.rejected)


@dataclass(frozen=True, slots=True)
class MappedListing:
    """An operator's word that a Listing sells a known Course: by the Course's id, else by another Listing of it."""

    line: int
    platform: str  # slug
    external_id: str
    course_id: str = ""
    other_platform: str = ""  # slug
    other_external_id: str = ""


class NotThisFormat(ValueError):
    """The first line is not the header of the format; no row of the file can be understood."""


def read(lines: Iterable[str], format: Format, *, currency: str | None = None) -> Iterator[CatalogueRow | RejectedRow]:
    """Yield each row of a file, taken or refused, in the file's order.

    `lines` keep their line ends (an open text file does, see above). `currency` is the platform's ISO 4217 code for
    prices without one; None takes the format's own. Raises NotThisFormat at the first step for a wrong header, and
    ValueError for an unknown currency.
    """
    read_cells = _READERS[format]
    price_currency = _known_currency(currency or DEFAULT_CURRENCY.get(format))
    for record in _records(lines, _COLUMNS[format]):
        if isinstance(record, RejectedRow):
            yield record
            continue
        try:
            row = read_cells(record, price_currency)
        except _BadCell as bad:
            yield RejectedRow(record.line, bad.column, bad.reason, _external_id_if_any(record, format))
            continue
        fault = checked(row.draft)
        yield row if fault is None else RejectedRow(row.line, fault.field, fault.message, row.external_id)


def summarise(rows: Iterable[CatalogueRow | RejectedRow]) -> CatalogueSummary:
    """Keep one row per external id, the last; say which came twice, and whether they said the same."""
    taken: dict[str, CatalogueRow] = {}
    rejected: list[RejectedRow] = []
    duplicates: list[Repetition] = []
    conflicts: list[Repetition] = []
    rows_read = 0
    for row in rows:
        rows_read += 1
        if isinstance(row, RejectedRow):
            rejected.append(row)
            continue
        if earlier := taken.get(row.external_id):
            repetition = Repetition(row.external_id, row.line, earlier.line)
            (duplicates if row == earlier else conflicts).append(repetition)
        taken[row.external_id] = row
    return CatalogueSummary(rows_read, tuple(taken.values()), tuple(rejected), tuple(duplicates), tuple(conflicts))


def read_mapping(lines: Iterable[str]) -> Iterator[MappedListing | RejectedRow]:
    """Yield each row of a mapping file: `platform,external_id` and either `course_id` or the two `other_…` columns.

    Raises NotThisFormat at the first step for a wrong header.
    """
    for record in _records(lines, _MAPPING_COLUMNS):
        if isinstance(record, RejectedRow):
            yield record
            continue
        try:
            yield _mapped(record)
        except _BadCell as bad:
            yield RejectedRow(record.line, bad.column, bad.reason)


# The three formats


_COLUMNS = {
    Format.UDEMY: (
        "course_id", "course_title", "url", "is_paid", "price", "num_subscribers", "num_reviews", "num_lectures",
        "level", "content_duration", "published_timestamp", "subject",
    ),
    Format.EDX: (
        "title", "summary", "n_enrolled", "course_type", "institution", "instructors", "Level", "subject", "language",
        "subtitles", "course_effort", "course_length", "price", "course_description", "course_syllabus", "course_url",
    ),
    Format.COURSERA: ("name", "institution", "course_url", "course_id", "n_course_id", "institution_id"),
}  # fmt: skip


def _udemy(record: "_Record", currency: str | None) -> CatalogueRow:
    extras = _Extras(record)
    extras.keep("num_reviews", "num_lectures", "content_duration")
    return CatalogueRow(
        line=record.line,
        external_id=_external_id("course_id", record.line_of("course_id")),
        title=_title(record, "course_title"),
        url=_url(record, "url"),
        level=record.optional_line("level"),
        subject=record.optional_line("subject"),
        price=_udemy_price(record, currency),
        price_text=record.optional_line("price"),
        learners=extras.unless_read("num_subscribers", _count),
        published_at_us=extras.unless_read("published_timestamp", _instant_us),
        extras=extras.kept(),
    )


def _edx(record: "_Record", currency: str | None) -> CatalogueRow:
    extras = _Extras(record)
    # Instructors are joined with hyphens and names contain hyphens: they cannot be told apart and stay one text.
    extras.keep("course_type", "instructors", "course_effort", "course_length", "course_syllabus")
    url = _url(record, "course_url")
    price_text = record.optional_line("price")
    return CatalogueRow(
        line=record.line,
        external_id=_edx_external_id(record),
        title=_title(record, "title"),
        url=url,
        institution=record.optional_line("institution"),
        summary=record.optional_text("summary"),
        description=record.optional_text("course_description"),
        level=record.optional_line("Level"),
        language=extras.unless_read("language", _language) or "",
        subtitles=extras.unless_read("subtitles", _languages) or (),
        subject=record.optional_line("subject"),
        price_text=price_text,
        certificate=_certificate(price_text),
        learners=extras.unless_read("n_enrolled", _count),
        extras=extras.kept(),
    )


def _coursera(record: "_Record", currency: str | None) -> CatalogueRow:
    extras = _Extras(record)
    extras.keep("n_course_id", "institution_id")
    return CatalogueRow(
        line=record.line,
        external_id=_external_id("course_id", record.line_of("course_id")),
        title=_title(record, "name"),
        url=_url(record, "course_url"),
        institution=record.optional_line("institution"),
        extras=extras.kept(),
    )


_READERS: Mapping[Format, Callable[["_Record", str | None], CatalogueRow]] = {
    Format.UDEMY: _udemy,
    Format.EDX: _edx,
    Format.COURSERA: _coursera,
}


# The mapping file


_MAPPING_COLUMNS = ("platform", "external_id", "course_id", "other_platform", "other_external_id")


def _mapped(record: "_Record") -> MappedListing:
    platform, external_id, course_id, other_platform, other_external_id = map(record.line_of, _MAPPING_COLUMNS)
    if not platform:
        raise _BadCell("platform", "empty")
    _external_id("external_id", external_id)
    if bool(course_id) == bool(other_platform or other_external_id):
        raise _BadCell("course_id", "give a course_id, or other_platform and other_external_id")
    if not course_id and not (other_platform and other_external_id):
        raise _BadCell("other_platform" if other_external_id else "other_external_id", "empty")
    return MappedListing(record.line, platform, external_id, course_id, other_platform, other_external_id)


# What is sold: unreadable refuses the row


def _external_id_if_any(record: "_Record", format: Format) -> str | None:
    try:
        if format is Format.EDX:
            return _edx_external_id(record)
        return _external_id("course_id", record.line_of("course_id"))
    except _BadCell:
        return None


def _edx_external_id(record: "_Record") -> str:
    url = _url(record, "course_url")
    if not url:
        raise _BadCell("course_url", "empty; its last segment is the course's id")
    return _external_id("course_url", urlsplit(url).path.rstrip("/").rpartition("/")[2])


def _external_id(column: str, text: str) -> str:
    if not text:
        raise _BadCell(column, "holds no id")
    if len(text) > MAX_EXTERNAL_ID:
        raise _BadCell(column, f"an id of {len(text)} characters; at most {MAX_EXTERNAL_ID}")
    if any(character.isspace() for character in text):
        raise _BadCell(column, "an id with a space in it")
    return text


def _title(record: "_Record", column: str) -> str:
    title = record.line_of(column)
    if not title:
        raise _BadCell(column, "empty")
    if len(title) > MAX_TITLE:
        raise _BadCell(column, f"{len(title)} characters; at most {MAX_TITLE}")
    return title


def _url(record: "_Record", column: str) -> str:
    url = record.optional_line(column)
    if not url:
        return ""
    if len(url) > MAX_URL:
        raise _BadCell(column, f"{len(url)} characters; at most {MAX_URL}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _BadCell(column, "not an address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in url:  # people click it: no javascript:
        raise _BadCell(column, "not an http or https address")
    return url


def _udemy_price(record: "_Record", currency: str | None) -> Money | None:
    is_paid = record.line_of("is_paid").casefold()
    if is_paid not in ("true", "false", ""):
        raise _BadCell("is_paid", "neither True nor False")
    text = record.optional_line("price")
    if not text or currency is None:
        return None
    amount_minor = _amount_minor("price", text, currency)
    if is_paid == "false" and amount_minor > 0:
        raise _BadCell("price", "above 0 on a course that is not paid")
    if amount_minor == 0 and is_paid != "false":
        return None  # 0 on a paid course is a hole in the data, not a gift
    return Money(amount_minor, currency)


_CERTIFICATE = re.compile(r"FREE-Add a Verified Certificate for \$([0-9]+(?:\.[0-9]{1,2})?) USD")


def _certificate(price_text: str) -> Money | None:
    if (found := _CERTIFICATE.fullmatch(price_text)) is None:
        return None
    return Money(_amount_minor("price", found[1], "USD"), "USD")


_AMOUNT = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?")


def _amount_minor(column: str, text: str, currency: str) -> int:
    if text.startswith(("-", "\N{MINUS SIGN}")):
        raise _BadCell(column, "negative")
    if (found := _AMOUNT.fullmatch(text)) is None:  # no comma: "1,500" is two amounts in two countries
        raise _BadCell(column, "not an amount like 20 or 19.99")
    whole, decimals, scale = found[1], found[2] or "", CURRENCIES[currency]
    if len(decimals) > scale:
        raise _BadCell(column, f"{len(decimals)} decimals; {currency} has {scale}")
    amount_minor = int(whole + decimals.ljust(scale, "0"))
    if amount_minor > MAX_PRICE_MINOR:
        raise _BadCell(column, f"above {MAX_PRICE_MINOR} minor units")
    return amount_minor


def _known_currency(code: str | None) -> str | None:
    if code is not None and code not in CURRENCIES:
        raise ValueError(f"unknown currency {code!r}; give an ISO 4217 code such as USD")
    return code


# What describes: unreadable is kept as text


_LANGUAGES = {
    "bahasa indonesia": "id",
    "deutsch": "de",
    "english": "en",
    "español": "es",
    "français": "fr",
    "indonesian": "id",  # the one language that edX names in English
    "italiano": "it",
    "português": "pt",
    "türkçe": "tr",
    "русский": "ru",
    "עברית": "he",
    "اللغة العربية": "ar",
    "العربية": "ar",
    "हिन्दी": "hi",
    "中文": "zh",
    "日本語": "ja",
    "한국어": "ko",
}
_COUNT = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _language(text: str) -> str | None:
    return _LANGUAGES.get(text.casefold())


def _languages(text: str) -> tuple[str, ...] | None:
    found = [_language(name.strip()) for name in text.split(",")]
    known = dict.fromkeys(tag for tag in found if tag is not None)  # the files name some twice
    return tuple(known) if None not in found else None


def _count(text: str) -> int | None:
    return int(text.replace(",", "")) if _COUNT.fullmatch(text) else None


def _instant_us(text: str) -> int | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    if instant.tzinfo is None:
        return None  # a wall clock of nobody knows where
    return (instant - _EPOCH) // timedelta(microseconds=1)


class _Extras:
    """Collects the columns that have no field, and those whose field could not be read."""

    def __init__(self, record: "_Record") -> None:
        self._record = record
        self._kept: list[tuple[str, str]] = []

    def keep(self, *columns: str) -> None:
        for column in columns:
            if text := self._record.optional_text(column):
                self._kept.append((column, text))

    def unless_read(self, column: str, read_text: Callable[[str], T | None]) -> T | None:
        text = self._record.optional_line(column)
        if not text:
            return None
        value = read_text(text)
        if value is None:
            self._kept.append((column, text))
        return value

    def kept(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._kept)


# Lines to cells


_ABSENT = ("NA", "None")  # how the exports write "nothing" in a column that may be empty
_NOT_UTF8 = re.compile("[\ud800-\udfff]")  # what ENCODING_ERRORS makes of such bytes
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # no database takes NUL, and the others drive terminals


class _BadCell(Exception):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """The cell with line breaks as \\n, in NFC; formula signs and right-to-left text as they are."""
        text = unicodedata.normalize("NFC", self.cells[column]).replace("\r\n", "\n").replace("\r", "\n").strip()
        if _NOT_UTF8.search(text):
            raise _BadCell(column, "not UTF-8")
        if _CONTROL.search(text):
            raise _BadCell(column, "a control character")
        return text

    def line_of(self, column: str) -> str:
        return " ".join(self.text(column).split())

    def optional_text(self, column: str) -> str:
        text = self.text(column)
        return "" if text in _ABSENT else text

    def optional_line(self, column: str) -> str:
        line = self.line_of(column)
        return "" if line in _ABSENT else line


class _Lines:
    """The file's lines on their way to the csv module: counts them, and notes when it asked beyond the last."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.chars = 0
        self.is_exhausted = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            self.is_exhausted = True
            raise
        self.chars += len(line)
        return line


def _records(lines: Iterable[str], columns: tuple[str, ...]) -> Iterator[_Record | RejectedRow]:
    """Cut lines into records by the header. Where the quoting breaks, reading stops: text inside a cell that nobody
    closed could else pass for rows, and be sold."""
    source = _Lines(lines)
    rows = csv.reader(source)
    try:
        header = _header(next(rows, []), columns)
    except csv.Error:
        raise NotThisFormat("the first line is no header") from None
    rows_read = 0
    while True:
        first_line, chars_before = rows.line_num + 1, source.chars
        try:
            cells = next(rows, None)
        except csv.Error:
            yield RejectedRow(first_line, None, "a cell that never ends; nothing from here on was read")
            return
        if cells is None:
            return
        if source.is_exhausted:
            yield RejectedRow(first_line, None, "a quoted cell is not closed; nothing from here on was read")
            return
        if not cells:
            continue  # a blank line
        rows_read += 1
        if rows_read > MAX_ROWS or source.chars > MAX_FILE_BYTES:
            limits = f"{MAX_ROWS} rows and {MAX_FILE_BYTES} bytes"
            yield RejectedRow(first_line, None, f"the file is above {limits}; nothing from here on was read")
            return
        if (chars := source.chars - chars_before) > MAX_ROW_CHARS:
            yield RejectedRow(first_line, None, f"{chars} characters; a row has at most {MAX_ROW_CHARS}")
            continue
        if len(cells) != len(header):
            yield RejectedRow(first_line, None, f"{len(cells)} cells; the header has {len(header)}")
            continue
        yield _Record(first_line, dict(zip(header, cells, strict=True)))


def _header(cells: list[str], columns: tuple[str, ...]) -> list[str]:
    header = [cell.removeprefix("\ufeff").strip() for cell in cells]
    if missing := [column for column in columns if column not in header]:
        raise NotThisFormat(f"the header lacks {', '.join(missing)}")
    if twice := sorted({column for column in columns if header.count(column) > 1}):
        raise NotThisFormat(f"the header names {', '.join(twice)} twice")
    return header
