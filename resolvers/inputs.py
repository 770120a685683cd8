"""Structured arguments, and what they come to. Each is checked here once; what cannot be taken is a Refusal."""

from dataclasses import replace
from urllib.parse import urlsplit

import strawberry

from hub.domain.catalogue import CourseKind, asked_price, is_storable
from hub.domain.disputes import DisputeState
from hub.domain.ids import MAX_IDEMPOTENCY_KEY, kind_of
from hub.domain.money import Money
from hub.domain.orders import OrderStatus
from hub.domain.refusals import InvalidInput, NotFound, Refused
from resolvers.errors import bad_input
from resolvers.scalars import BigInt, CurrencyCode

MAX_TEXT = 2_000  # characters of an argument that is no title or summary: the longest address
MAX_CHOICES = 50  # values of one oneOf


@strawberry.input(description="An amount as a client writes it: minor units and currency, nothing else.")
class MoneyInput:
    amount_minor: BigInt = strawberry.field(description="Minor units (cents, fen); not negative, at most 2^53.")
    currency: CurrencyCode = strawberry.field(description="ISO 4217 code, such as CNY.")


@strawberry.input(description="What a text is to be. Give one of the two.")
class TextFilter:
    eq: str | None = strawberry.field(default=None, description="Exactly this.")
    one_of: list[str] | None = strawberry.field(default=None, description="One of these, at most 50.")


@strawberry.input(description="What a kind of course is to be. Give one of the two.")
class CourseKindFilter:
    eq: CourseKind | None = strawberry.field(default=None, description="Exactly this.")
    one_of: list[CourseKind] | None = strawberry.field(default=None, description="One of these, at most 50.")


@strawberry.input(description="What an order's status is to be. Give one of the two.")
class OrderStatusFilter:
    eq: OrderStatus | None = strawberry.field(default=None, description="Exactly this.")
    one_of: list[OrderStatus] | None = strawberry.field(default=None, description="One of these, at most 50.")


@strawberry.input(description="What a dispute's state is to be. Give one of the two.")
class DisputeStateFilter:
    eq: DisputeState | None = strawberry.field(default=None, description="Exactly this.")
    one_of: list[DisputeState] | None = strawberry.field(default=None, description="One of these, at most 50.")


@strawberry.input(description="What a truth value is to be.")
class BooleanFilter:
    eq: bool = strawberry.field(description="Exactly this.")


@strawberry.input(description="Which platform.")
class PlatformFilter:
    eq: str | None = strawberry.field(default=None, description="This one, by id or slug.")
    one_of: list[str] | None = strawberry.field(default=None, description="One of these, by id or slug; at most 50.")


def chosen(filter_: object, name: str) -> list[str]:
    """The values that a filter lets through. BAD_USER_INPUT unless exactly one of its two forms is given."""
    eq: str | None = getattr(filter_, "eq", None)
    one_of: list[str] | None = getattr(filter_, "one_of", None)
    if (eq is None) == (one_of is None):
        raise bad_input(f"{name}: give either eq or oneOf")
    values = [eq] if eq is not None else list(one_of or ())
    if len(values) > MAX_CHOICES:
        raise bad_input(f"{name}: at most {MAX_CHOICES} values")
    for value in values:
        text(value, name)
    return [str(value) for value in values]


def text(value: str, name: str, most: int = MAX_TEXT) -> str:
    """The text, if a database could hold it. BAD_USER_INPUT otherwise."""
    if len(value) > most:
        raise bad_input(f"{name}: at most {most} characters")
    if not is_storable(value):
        raise bad_input(f"{name} holds a NUL or half a character")
    return value


# ---- of mutations: what is wrong is told in the payload -------------------------------------------------------------


def money(asked: MoneyInput, field: str) -> Money:
    """Raises Refused with InvalidInput for an amount that cannot be."""
    price = asked_price(asked.amount_minor, asked.currency)
    if isinstance(price, Money):
        return price
    raise Refused(replace(price, field=f"{field}.{price.field}"))


def id_of(type_name: str, id_: str, field: str) -> str:
    """The id, if it can be one of that type. Raises Refused with NotFound: garbage and unknown look alike."""
    if kind_of(id_) != type_name:
        raise Refused(NotFound(field))
    return id_


def key(idempotency_key: str) -> str:
    """Raises Refused with InvalidInput for a key that cannot be kept."""
    if not 1 <= len(idempotency_key) <= MAX_IDEMPOTENCY_KEY:
        raise Refused(InvalidInput("idempotencyKey", f"idempotencyKey has 1 to {MAX_IDEMPOTENCY_KEY} characters"))
    return storable(idempotency_key, "idempotencyKey")


def storable(value: str, field: str, most: int = MAX_TEXT) -> str:
    """Raises Refused with InvalidInput for a text that no database keeps."""
    if len(value) > most:
        raise Refused(InvalidInput(field, f"{field} has more than {most} characters"))
    if not is_storable(value):
        raise Refused(InvalidInput(field, f"{field} holds a NUL or half a character, which no database keeps"))
    return value


def web_address(value: str, field: str) -> str:
    """Raises Refused with InvalidInput for what a browser could not be sent to, before there is an order: one whose
    channel refuses it can no longer be paid."""
    storable(value, field)
    try:
        has_host = bool(urlsplit(value).hostname)
    except ValueError:
        has_host = False
    if not (has_host and value.startswith(("https://", "http://")) and value.isprintable() and " " not in value):
        raise Refused(InvalidInput(field, f"{field} is a whole http or https address"))
    return value
