"""What is sold: a canonical Course, and a Listing for each platform that sells or opens it."""

from dataclasses import dataclass
from enum import StrEnum

from hub.domain.money import CURRENCIES, MAX_PRICE_MINOR, Money
from hub.domain.refusals import InvalidInput


class CourseKind(StrEnum):
    """What sort of paid knowledge work a Course is."""

    COURSE = "COURSE"
    EBOOK = "EBOOK"
    PERIODICAL = "PERIODICAL"
    QA = "QA"
    POST = "POST"


class ListingState(StrEnum):
    """Whether a Listing is on sale."""

    ACTIVE = "ACTIVE"
    WITHDRAWN = "WITHDRAWN"  # gone from the platform's catalogue; rights already bought stay


MAX_TITLE = 500  # characters; the longest real title in three catalogues has 217
MAX_SUMMARY = 20_000  # characters; the longest real description has 10,163
MAX_EXTERNAL_ID = 200
MAX_URL = 2_000


@dataclass(frozen=True, slots=True)
class Platform:
    """A connected content site."""

    id: str
    slug: str
    name: str
    currency: str
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Course:
    """Any paid knowledge work, canonical across platforms."""

    id: str
    kind: CourseKind
    title: str
    summary: str
    institution: str
    subject: str
    level: str
    language: str  # BCP 47, '' when unknown
    version: int
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A Course as one platform sells it. `price` None is unknown: such a Listing cannot be bought."""

    id: str
    platform_id: str
    course_id: str
    merchant_id: str
    external_id: str
    title: str
    url: str
    price: Money | None
    price_text: str  # what the source said of the price when that is no amount
    is_honoured: bool  # this platform opens the Course for a right bought elsewhere
    state: ListingState
    version: int
    created_at_us: int


@dataclass(frozen=True, slots=True)
class ListingDraft:
    """What a platform says of a Listing, before it is checked."""

    external_id: str
    title: str
    url: str = ""
    kind: CourseKind = CourseKind.COURSE
    summary: str = ""
    institution: str = ""
    subject: str = ""
    level: str = ""
    language: str = ""
    price: Money | None = None
    price_text: str = ""
    is_honoured: bool | None = None  # None: yes for a known Course that is listed to be opened, else as it was, or no
    course_id: str | None = None  # list this known Course instead of a new one


def checked(draft: ListingDraft) -> InvalidInput | None:
    """What is wrong with a draft, if anything: the first field that cannot be stored as it is."""
    limits = (
        ("externalId", draft.external_id, MAX_EXTERNAL_ID),
        ("title", draft.title, MAX_TITLE),
        ("url", draft.url, MAX_URL),
        ("summary", draft.summary, MAX_SUMMARY),
        ("institution", draft.institution, MAX_TITLE),
        ("subject", draft.subject, MAX_TITLE),
        ("level", draft.level, MAX_TITLE),
        ("language", draft.language, 35),
        ("priceText", draft.price_text, MAX_TITLE),
    )
    for field, value, limit in limits:
        if len(value) > limit:
            return InvalidInput(field, f"{field} has {len(value)} characters, at most {limit} are kept")
        if not is_storable(value):
            return InvalidInput(field, f"{field} holds a NUL or half a character, which no database keeps")
    if not draft.external_id.strip():
        return InvalidInput("externalId", "externalId is empty: give the platform's own id of the course")
    if draft.course_id is None and not draft.title.strip():
        return InvalidInput("title", "title is empty")
    if draft.url and not draft.url.startswith(("https://", "http://")):
        return InvalidInput("url", "url is an http or https address")
    return price_fault(draft.price)


def is_storable(text: str) -> bool:
    """Whether both databases can keep the text: no NUL, no lone surrogate (JSON's "\\ud800" is one)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def price_fault(price: Money | None) -> InvalidInput | None:
    """Why a price cannot be asked, if it cannot: None is unknown and may be stored, not bought."""
    if price is not None and price.amount_minor > MAX_PRICE_MINOR:
        return InvalidInput("price", f"price is above {MAX_PRICE_MINOR} minor units")
    return None


def asked_price(amount_minor: int, currency: str) -> Money | InvalidInput:
    """Money as a client wrote it: negative, too large, or of an unknown currency is refused, never mended."""
    if currency not in CURRENCIES:
        return InvalidInput("currency", f"unknown currency {currency[:12]!r}: use an ISO 4217 code such as CNY or USD")
    if amount_minor < 0:
        return InvalidInput("amountMinor", "an amount is not negative: give minor units, 0 for free")
    if amount_minor > MAX_PRICE_MINOR:
        return InvalidInput("amountMinor", f"an amount is at most {MAX_PRICE_MINOR} minor units")
    return Money(amount_minor, currency)
