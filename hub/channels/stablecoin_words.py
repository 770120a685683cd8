"""What a wallet is told to sign and send for a purchase, as JSON that any wallet library takes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from contracts import abi
from contracts.typed_data import Domain
from hub.domain.checkout import Part, Purchase, Terms
from hub.domain.contracts import CHECKOUT_SPLITTER, TEST_USD
from hub.domain.payments import NextAction
from hub.ports import CheckoutPlace

TOKEN = TEST_USD  # any token has what of TestUSD is called here: its standards'

_PERMIT = (
    ("owner", "address"),
    ("spender", "address"),
    ("value", "uint256"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
)
_AUTHORIZATION = (
    ("from", "address"),
    ("to", "address"),
    ("value", "uint256"),
    ("validAfter", "uint256"),
    ("validBefore", "uint256"),
    ("nonce", "bytes32"),
)
# What `v`, `r` and `s` are appended as: all arguments are static, so calldata ends with them.
_SIGNATURE = ["v", "r", "s"]


def next_action(
    place: CheckoutPlace,
    terms: Terms,
    purchase: Purchase,
    order_key: bytes,
    *,
    way: str,
    permit_nonce: int | None,
    expires_at_us: int,
) -> NextAction:
    """Typed data to sign (None where the wallet only sends), and the transactions to send after it, in order.

    Numbers are decimal text. A transaction's `data` is whole unless it `appends`: then v, r and s of the signature
    follow, 32 bytes each. Of an authorization anybody may send it; all others are the payer's own.
    """
    told = {
        "version": 1,
        "way": way,
        "chainId": str(place.chain_id),
        "splitter": _text(place.splitter),
        "token": {"address": _text(place.token), "name": place.token_name, "decimals": place.decimals},
        "amount": str(terms.price),
        "deadline": str(purchase.deadline),
        "payer": _text(purchase.payer),
        "to": _text(purchase.to),
        "orderKey": _hex(order_key),
        "sign": _to_sign(place, terms, purchase, order_key, way=way, permit_nonce=permit_nonce),
        "transactions": _to_send(place, terms, purchase, way),
    }
    data = json.dumps(told, separators=(",", ":"), sort_keys=True)
    return NextAction(kind="typed_data", data=data, expires_at_us=expires_at_us)


def refund_call(terms: Terms, purchase: Purchase, parts: Sequence[Part]) -> bytes:
    """The revoker's `refund` of a purchase."""
    split = [(_text(part.payee), part.bps) for part in parts]
    return abi.call(CHECKOUT_SPLITTER, "refund", _order(purchase), _terms(terms), _text(purchase.payer), split)


def split_call(split_id: bytes, parts: Sequence[Part]) -> bytes:
    """`setSplit`."""
    return abi.call(CHECKOUT_SPLITTER, "setSplit", split_id, [(_text(part.payee), part.bps) for part in parts])


def offer_call(offer_id: bytes, terms: Terms) -> bytes:
    """`setOffer`."""
    return abi.call(CHECKOUT_SPLITTER, "setOffer", offer_id, _terms(terms))


def close_call(offer_id: bytes) -> bytes:
    """`closeOffer`."""
    return abi.call(CHECKOUT_SPLITTER, "closeOffer", offer_id)


def _to_sign(
    place: CheckoutPlace, terms: Terms, purchase: Purchase, order_key: bytes, *, way: str, permit_nonce: int | None
) -> Mapping[str, Any] | None:
    domain = Domain(place.token_name, place.token_version, place.chain_id, _text(place.token))
    if way == "permit":
        permit = {
            "owner": _text(purchase.payer),
            "spender": _text(place.splitter),
            "value": str(terms.price),
            "nonce": str(permit_nonce),
            "deadline": str(purchase.deadline),
        }
        return domain.typed("Permit", _PERMIT, permit)
    if way == "authorization":
        authorization = {
            "from": _text(purchase.payer),
            "to": _text(place.splitter),
            "value": str(terms.price),
            "validAfter": "0",
            "validBefore": str(purchase.deadline + 1),
            "nonce": _hex(order_key),
        }
        return domain.typed("ReceiveWithAuthorization", _AUTHORIZATION, authorization)
    return None


def _to_send(place: CheckoutPlace, terms: Terms, purchase: Purchase, way: str) -> list[Mapping[str, Any]]:
    splitter, order, plain = _text(place.splitter), _order(purchase), _terms(terms)
    if way == "permit":
        data = abi.call(CHECKOUT_SPLITTER, "buyWithPermit", order, plain, 0, bytes(32), bytes(32))
        return [{"to": splitter, "value": "0", "data": _without_signature(data), "appends": _SIGNATURE}]
    if way == "authorization":
        payer = _text(purchase.payer)
        data = abi.call(CHECKOUT_SPLITTER, "buyWithAuthorization", order, plain, payer, 0, bytes(32), bytes(32))
        return [{"to": splitter, "value": "0", "data": _without_signature(data), "appends": _SIGNATURE}]
    approve = abi.call(TOKEN, "approve", splitter, terms.price)
    return [
        {"to": _text(place.token), "value": "0", "data": _hex(approve), "appends": []},
        {"to": splitter, "value": "0", "data": _hex(abi.call(CHECKOUT_SPLITTER, "buy", order, plain)), "appends": []},
    ]


def _without_signature(data: bytes) -> str:
    return _hex(data[: -32 * len(_SIGNATURE)])


def _order(purchase: Purchase) -> tuple[object, ...]:
    return purchase.reference, _text(purchase.to), purchase.deadline


def _terms(terms: Terms) -> tuple[object, ...]:
    return _text(terms.token), terms.price, terms.token_id, terms.term, terms.split_id


def _text(address: bytes) -> str:
    return to_checksum_address(address)


def _hex(octets: bytes) -> str:
    return "0x" + octets.hex()
