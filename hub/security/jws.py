"""Signed JSON as compact JWS, ES256 and nothing else: what user tokens and receipts have in common.

The algorithm is a constant of the code. A token's header can only agree with it, so neither `none` nor an HMAC under
the public key is ever tried, and a `typ` of its own keeps one kind of signed text from passing for another.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import deserialize_compact

from hub.security.keys import Key

ALGORITHM = "ES256"
MAX_JWS = 4096  # characters; a receipt has about 1,000, a token about 500
MAX_HEADER = 256  # characters; ours has about 120, and it is parsed before the signature is checked

# RFC 6979: the same words give the same signature, so a unit that runs again writes the same row.
_SIGNATURE = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class SignatureRefused(Exception):
    """A text that is no JWS of the demanded kind under a known key. Holds nothing of the text."""


class SigningKey:
    """The P-256 key pair of one purpose. `kid` is its RFC 7638 thumbprint, so it names the key and nothing else."""

    def __init__(self, key: Key, purpose: str) -> None:
        self._private = ec.derive_private_key(_scalar(key.derive(purpose)), ec.SECP256R1())
        self.public = ECKey.import_key(self._private.public_key())
        self.kid: str = self.public.thumbprint()

    def sign(self, typ: str, payload: Mapping[str, object]) -> str:
        """A compact JWS of `payload`; the same for the same payload. ValueError above MAX_JWS characters."""
        header = {"alg": ALGORITHM, "kid": self.kid, "typ": typ}
        body = f"{_json64(header)}.{_json64(payload)}"
        r, s = decode_dss_signature(self._private.sign(body.encode(), _SIGNATURE))
        signed = f"{body}.{base64url(r.to_bytes(32) + s.to_bytes(32))}"
        if len(signed) > MAX_JWS:
            raise ValueError(f"{typ} would have more than {MAX_JWS} characters")
        return signed

    def public_jwk(self) -> dict[str, str]:
        """The public half as a member of a JWKS document (RFC 7517)."""
        numbers = self._private.public_key().public_numbers()
        x, y = base64url(numbers.x.to_bytes(32)), base64url(numbers.y.to_bytes(32))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig", "alg": ALGORITHM}


def verify(text: str, typ: str, key_of: Callable[[str], ECKey | None]) -> dict[str, Any]:
    """The payload of a JWS of kind `typ`, its signature checked under the key that `key_of(kid)` knows.

    Raises SignatureRefused for everything else, whatever the text is. Says nothing about the payload's meaning.
    """
    key = key_of(_kid(text, typ))
    if key is None:
        raise SignatureRefused("signed by a key that is not known here")
    try:
        payload = json.loads(deserialize_compact(text, key, algorithms=[ALGORITHM]).payload or b"")
    except (JoseError, ValueError):
        raise SignatureRefused("the signature does not fit the text") from None
    if not isinstance(payload, dict):
        raise SignatureRefused("the signed text is no JSON object")
    return payload


def base64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64url(text: str) -> bytes:
    """The bytes whose base64url is exactly `text`. ValueError otherwise, stray last bits included: one text a value."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64url(data) != text:
        raise ValueError("not the base64url of anything")
    return data


def _kid(text: str, typ: str) -> str:
    """Which key the header names, if it is a header that we could have written."""
    if len(text) > MAX_JWS or text.count(".") != 2:
        raise SignatureRefused("not a compact JWS")
    segments = text.split(".")
    try:
        header = json.loads(unbase64url(segments[0])) if len(segments[0]) <= MAX_HEADER else None
        unbase64url(segments[1])
        unbase64url(segments[2])
    except ValueError:
        raise SignatureRefused("not a compact JWS") from None
    if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"} or not isinstance(header["kid"], str):
        raise SignatureRefused("not a header of this hub")
    if (header["alg"], header["typ"]) != (ALGORITHM, typ):
        raise SignatureRefused("not the algorithm or kind that is demanded here")
    return header["kid"]


def _scalar(seed: bytes) -> int:
    """A private scalar of P-256 from 128 bits more than it has, so that none is likelier (FIPS 186-5, A.2.1)."""
    wide = HKDFExpand(hashes.SHA256(), length=48, info=b"p-256 scalar").derive(seed)
    return int.from_bytes(wide) % (_P256_ORDER - 1) + 1


def _json64(value: Mapping[str, object]) -> str:
    return base64url(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())
