"""The Vault port on a key file of the data folder: sealed salts, and the names that only this hub can compute.

A salt is what opens an order's commitment on chain; sealed, it lies in the database and is useless without the file.
"""

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from eth_hash.auto import keccak

from hub.domain.anchors import order_key
from hub.security import wallets
from hub.security.keys import MASTER_KEY, Key, load_or_create

MAX_SALT = 1024  # bytes; a salt has 32, so whatever is longer was handed in by mistake

_VERSION = b"\x01"  # leads every sealed salt, so that another cipher can stand beside this one later
_NONCE = 12  # bytes, the size that GCM is made for
_TAG = 16  # bytes


class KeyVault:
    """Pure computation from one master key; the same arguments always give the same bytes."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._cipher = AESGCM(key.derive("seal"))
        self._nonces = key.derive("nonce")

    @classmethod
    def in_folder(cls, data: Path, *, is_production: bool, draw_seed: Callable[[], bytes]) -> "KeyVault":
        """The vault of a data folder; its key is made there at first start. Raises KeyRefused."""
        return cls(load_or_create(data / MASTER_KEY, is_production=is_production, draw_seed=draw_seed))

    def seal(self, salt: bytes, context: str) -> bytes:
        """Encrypt a salt (AES-256-GCM) so that it opens under the same `context` alone, for instance the order's id.

        The nonce is computed and not drawn: a unit that runs again writes the same row. That is safe because the nonce
        is itself a keyed hash of the salt and its context. GCM breaks when one nonce serves two messages; here another
        message has another nonce, but for a collision of 96 bits (one in 2^32 after 2^32 seals), and the same
        nonce means the same message, sealed to the same bytes. All an onlooker learns is that nothing was different.
        """
        if not 0 < len(salt) <= MAX_SALT:
            raise ValueError(f"a salt has 1 to {MAX_SALT} bytes")
        bound = _VERSION + context.encode()
        # The length parts context from salt: no two pairs are one text.
        message = len(bound).to_bytes(8) + bound + salt
        nonce = hmac.digest(self._nonces, message, hashlib.sha256)[:_NONCE]
        return _VERSION + nonce + self._cipher.encrypt(nonce, salt, bound)

    def open(self, sealed: bytes, context: str) -> bytes:
        """The salt again. Raises ValueError if the row was altered, moved, or sealed under another key."""
        if len(sealed) <= len(_VERSION) + _NONCE + _TAG or sealed[:1] != _VERSION:
            raise ValueError("not a sealed salt")
        nonce, encrypted = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return self._cipher.decrypt(nonce, encrypted, _VERSION + context.encode())
        except InvalidTag:
            raise ValueError("the sealed salt was altered, moved, or sealed under another key") from None

    def seal_for(self, wrapped_key: bytes, user_id: str, salt: bytes, context: str) -> bytes:
        """Encrypt a salt under a person's own key: once that is gone, so is the salt."""
        return self._of(wrapped_key, user_id).seal(salt, f"pii|{user_id}|{context}")

    def open_for(self, wrapped_key: bytes, user_id: str, sealed: bytes, context: str) -> bytes:
        """The salt again. Raises ValueError if anything was altered or moved, or is another person's."""
        return self._of(wrapped_key, user_id).open(sealed, f"pii|{user_id}|{context}")

    def _of(self, wrapped_key: bytes, user_id: str) -> "KeyVault":
        """The vault of one person, whose key is no file's but a row's."""
        return KeyVault(Key(self.open(wrapped_key, f"person|{user_id}"), self._key.is_development))

    def order_key(self, merchant_id: str, order_number: str) -> bytes:
        """HMAC of the order number under the merchant's secret: order numbers cannot be enumerated on chain."""
        return order_key(self._key.derive("merchant", merchant_id), order_number)

    def platform_key(self, platform_id: str) -> bytes:
        """The key from which a platform's pairwise ids are made: 32 bytes."""
        return self._key.derive("platform", platform_id)

    def keccak(self, data: bytes) -> bytes:
        """Keccak-256 (not the standard library's SHA3-256)."""
        return keccak(data)

    def signer_of(self, text: str, signature: bytes) -> str | None:
        """The address whose key signed a text (EIP-191); None for what is no account's signature."""
        return wallets.signer_of(text, signature)

    def digest_of(self, text: str) -> bytes:
        """What a wallet signs for a text (EIP-191)."""
        return wallets.digest_of(text)
