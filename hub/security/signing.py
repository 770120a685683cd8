"""What the hub gives out under its own hand: receipts that anybody can check, cursors that only the hub can read.

A receipt is signed with a published key, so it stands against the hub. A cursor is sealed with a secret one, so that
nobody makes one up to read what is not theirs.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2s
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from eth_hash.auto import keccak
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from hub.domain.anchors import commitment
from hub.domain.entitlements import Opening, Receipt
from hub.ports import CursorRefused
from hub.security.jws import SignatureRefused, SigningKey, base64url, unbase64url, verify
from hub.security.keys import MASTER_KEY, RECEIPT_KEY, Key, load_or_create

RECEIPT_VERSION = 1  # of the payload, and the version that its commitment binds
RECEIPT_TYPE = "tongbao-receipt+jwt"  # so that neither a user token nor a chain signature passes for a receipt

Keyset = tuple[str | int | bool | None, ...]


# ---- receipts --------------------------------------------------------------------------------------------------


class ReceiptRefused(Exception):
    """A text that is no receipt under the given keys; says why, and holds nothing of the text."""


class SignedReceipts:
    """The Receipts port: JWS under a key of its own, never one that the contract knows."""

    def __init__(self, key: Key) -> None:
        self._key = SigningKey(key, "receipts")

    @classmethod
    def in_folder(cls, data: Path, *, is_production: bool, draw_seed: Callable[[], bytes]) -> "SignedReceipts":
        """The signer of a data folder; its key is made there at first start. Raises KeyRefused."""
        return cls(load_or_create(data / RECEIPT_KEY, is_production=is_production, draw_seed=draw_seed))

    def sign(self, receipt: Receipt) -> str:
        """A compact JWS (ES256), the same for the same receipt.

        ValueError for one that `verify_receipt` would refuse, above all if its opening does not yield its commitment:
        signed, it would be a breach that anybody can prove.
        """
        payload = _payload(receipt)
        _demand_opening(_receipt(payload))
        return self._key.sign(RECEIPT_TYPE, payload)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The document under which partners find the public key (RFC 7517); holds nothing secret."""
        return {"keys": [self._key.public_jwk()]}


def verify_receipt(jws: str, jwks: Mapping[str, Any]) -> Receipt:
    """The receipt in `jws`, for partners: signed by one of the hub's keys, its opening yielding its commitment.

    Offline. Says nothing about whether the right is anchored or stands: ask the contract. Raises ReceiptRefused.
    """
    try:
        receipt = _receipt(verify(jws, RECEIPT_TYPE, lambda kid: _published(kid, jwks)))
        _demand_opening(receipt)
    except SignatureRefused as refused:
        raise ReceiptRefused(str(refused)) from None
    except ValueError:
        raise ReceiptRefused("signed, but no receipt of a version that is known here") from None
    return receipt


def _payload(receipt: Receipt) -> dict[str, object]:
    """Chapter "Receipt" as JSON: bytes as 0x hex, integers as decimal text, since JavaScript would round them.

    `expiry` is in Unix seconds as on chain, `issuedAt` in microseconds since 1970.
    """
    return {
        "version": RECEIPT_VERSION,
        "orderKey": _hex(receipt.order_key),
        "to": receipt.to,
        "tokenId": str(receipt.token_id),
        "expiry": str(receipt.expiry),
        "commitment": _hex(receipt.commitment),
        "issuedAt": str(receipt.issued_at_us),
        "opening": {
            "requestHash": _hex(receipt.opening.request_hash),
            "resultHash": _hex(receipt.opening.result_hash),
            "salt": _hex(receipt.opening.salt),
        },
    }


def _receipt(payload: dict[str, Any]) -> Receipt:
    """The way back; ValueError for anything that `_payload` does not write."""
    version, opening = payload.get("version"), payload.get("opening")
    if type(version) is not int or version != RECEIPT_VERSION or not isinstance(opening, dict):
        raise ValueError("not this version")
    receipt = Receipt(
        order_key=_bytes(payload.get("orderKey"), 32),
        to=_text(payload.get("to"), "0x[0-9a-fA-F]{40}"),
        token_id=_integer(payload.get("tokenId")),
        expiry=_integer(payload.get("expiry")),
        commitment=_bytes(payload.get("commitment"), 32),
        issued_at_us=_integer(payload.get("issuedAt")),
        opening=Opening(*(_bytes(opening.get(name), 32) for name in ("requestHash", "resultHash", "salt"))),
    )
    if payload != _payload(receipt):
        raise ValueError("more or other members than a receipt has")
    return receipt


def _demand_opening(receipt: Receipt) -> None:
    opening = receipt.opening
    bound = commitment(RECEIPT_VERSION, opening.request_hash, opening.result_hash, opening.salt, keccak)
    if bound != receipt.commitment:
        raise ValueError("the opening does not yield the commitment")


def _published(kid: str, jwks: Mapping[str, Any]) -> ECKey | None:
    keys = jwks.get("keys")
    for jwk in keys if isinstance(keys, list) else []:
        if isinstance(jwk, dict) and jwk.get("kid") == kid and jwk.get("kty") == "EC" and "d" not in jwk:
            try:
                return ECKey.import_key(jwk)
            except (JoseError, ValueError, KeyError):
                return None
    return None


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


def _bytes(value: object, length: int) -> bytes:
    return bytes.fromhex(_text(value, f"0x[0-9a-f]{{{2 * length}}}")[2:])


def _integer(value: object) -> int:
    return int(_text(value, "0|[1-9][0-9]{0,77}"))  # 78 digits hold 256 bits


def _text(value: object, pattern: str) -> str:
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise ValueError("not the text that belongs here")
    return value


# ---- cursors ---------------------------------------------------------------------------------------------------

MAX_CURSOR = 4096  # characters; a keyset on a long title in Chinese has about 2,000

_EVENT, _FIRST_EVENT = "v2", "v1:"  # of event cursors: as they are made, and of those made before, which still open
_LIST = "v1"
_MAC = 16  # bytes: 128 bits, which nobody guesses in a hub's lifetime
_HALF = 8  # bytes of the block in an event's cursor: one half says whose stream it is, the other the position
_POSITIONS = 2**63  # as many as a column of the log holds


class Cursors:
    """Seals positions and opens them again. The same position gives the same text; every other text is refused."""

    def __init__(self, key: Key) -> None:
        # HMAC-SHA256 with its two keyed blocks hashed beforehand: a long page seals a hundred cursors.
        block = key.derive("cursors").ljust(64, b"\0")
        self._inner, self._outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
        self._stream_key = key.derive("streams of cursors")
        # Each position is one block and no two are alike, so enciphering them one by one (ECB) tells nothing; a block
        # that is made up deciphers to its stream once in 2^64. A replay seals a hundred thousand: a page is one call.
        self._blocks = Cipher(AES(key.derive("positions of cursors")), ECB())
        self._encipher = self._blocks.encryptor().update  # whole blocks leave nothing behind in it

    @classmethod
    def in_folder(cls, data: Path, *, is_production: bool, draw_seed: Callable[[], bytes]) -> "Cursors":
        """The cursors of a data folder, under its master key. Raises KeyRefused."""
        return cls(load_or_create(data / MASTER_KEY, is_production=is_production, draw_seed=draw_seed))

    def seal(self, stream: str, position: int) -> str:
        """The cursor of an event: resume after `position` (0: from the first) of `stream`."""
        return self.seal_all(stream, [position])[0]

    def seal_all(self, stream: str, positions: Sequence[int]) -> list[str]:
        """The same for many events of one stream."""
        if not stream or min(positions, default=0) < 0 or max(positions, default=0) >= _POSITIONS:
            raise ValueError("a cursor has a stream and a position from 0")
        name = stream.encode()
        own = int.from_bytes(blake2s(name, key=self._stream_key, digest_size=_HALF).digest()) << 8 * _HALF
        blocks = b"".join([(own + position).to_bytes(2 * _HALF) for position in positions])
        before, sealed = f"{_EVENT}.{base64url(name)}.", self._encipher(blocks).hex()
        return [before + sealed[begun : begun + 4 * _HALF] for begun in range(0, len(sealed), 4 * _HALF)]

    def open(self, text: str) -> tuple[str, int]:
        """Stream and position. Raises CursorRefused. The caller must still ask whether the viewer may read it."""
        if "." not in text:
            return self._open_first(text)
        try:
            _, name, sealed = text[:MAX_CURSOR].split(".")
            stream, block = unbase64url(name).decode(), self._blocks.decryptor().update(bytes.fromhex(sealed))
            position = int.from_bytes(block[_HALF:])
            is_ours = hmac.compare_digest(self.seal(stream, position).encode(), text.encode())
        except ValueError:
            raise CursorRefused from None
        if not is_ours:
            raise CursorRefused
        return stream, position

    def _open_first(self, text: str) -> tuple[str, int]:
        """A cursor of the first layout."""
        body = self._open("event", text)
        if not body.startswith(_FIRST_EVENT):
            raise CursorRefused
        stream, _, position = body.removeprefix(_FIRST_EVENT).rpartition(":")
        return stream, int(position)

    def seal_keyset(self, list_name: str, values: Keyset) -> str:
        """The cursor of a row: the values it is sorted by. `list_name` names list and order, and whose list it is.

        It is bound to that name without holding it. The values are not hidden from who decodes them.
        """
        return self._seal(f"list {list_name}", json.dumps([_LIST, *values], separators=(",", ":"), ensure_ascii=False))

    def open_keyset(self, list_name: str, text: str) -> Keyset:
        """The values that were sealed under this very name. Raises CursorRefused."""
        version, *values = json.loads(self._open(f"list {list_name}", text))
        if version != _LIST:
            raise CursorRefused  # of a later release of this hub
        return tuple(values)

    def _seal(self, use: str, body: str) -> str:
        data = body.encode()
        text = base64url(self._mac(use, data) + data)
        if len(text) > MAX_CURSOR:
            raise ValueError(f"a cursor of more than {MAX_CURSOR} characters")
        return text

    def _open(self, use: str, text: str) -> str:
        """The body, which is ours if the MAC is: whoever opens it need not doubt its form."""
        try:
            sealed = unbase64url(text) if len(text) <= MAX_CURSOR else b""
        except ValueError:
            raise CursorRefused from None
        mac, data = sealed[:_MAC], sealed[_MAC:]
        if not hmac.compare_digest(mac, self._mac(use, data)):
            raise CursorRefused
        return data.decode()

    def _mac(self, use: str, data: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        # The length parts use from data: no two pairs are one text.
        inner.update(len(use.encode()).to_bytes(4) + use.encode() + data)
        outer.update(inner.digest())
        return outer.digest()[:_MAC]
