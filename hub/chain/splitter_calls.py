"""CheckoutSplitter's logs in the hub's own words."""

from collections.abc import Sequence
from typing import Final, cast

from contracts import abi
from hub.domain.checkout import Part, Terms
from hub.domain.contracts import CHECKOUT_SPLITTER
from hub.ports import ChainUnavailable, Paid

PURCHASED: Final = "Purchased"
OFFER_SET: Final = "OfferSet"
SPLIT_SET: Final = "SplitSet"


def topic(event: str) -> bytes:
    """The first topic of an event's logs."""
    return abi.event(CHECKOUT_SPLITTER, event).topic


def paid_in(topics: Sequence[bytes], data: bytes) -> Paid:
    """A Purchased log."""
    _, offer_id, payer, token, price = cast(tuple[bytes, bytes, str, str, int], _told(PURCHASED, topics, data))
    return Paid(offer_id, _octets(payer), _octets(token), price)


def terms_in(topics: Sequence[bytes], data: bytes) -> Terms:
    """An OfferSet log."""
    _, terms = cast(tuple[bytes, tuple[str, int, int, int, bytes]], _told(OFFER_SET, topics, data))
    token, price, token_id, term, split_id = terms
    return Terms(_octets(token), price, token_id, term, split_id)


def parts_in(topics: Sequence[bytes], data: bytes) -> tuple[Part, ...]:
    """A SplitSet log."""
    _, parts = cast(tuple[bytes, Sequence[tuple[str, int]]], _told(SPLIT_SET, topics, data))
    return tuple(Part(_octets(payee), bps) for payee, bps in parts)


def _told(event: str, topics: Sequence[bytes], data: bytes) -> tuple[object, ...]:
    try:
        return abi.logged(abi.event(CHECKOUT_SPLITTER, event), topics, data)
    except abi.Misread as misread:
        raise ChainUnavailable(f"the node gave a log that makes no sense: {misread}") from misread


def _octets(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))
