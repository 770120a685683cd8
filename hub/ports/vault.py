"""The keys of the data folder, and what is computed with them."""

from typing import Protocol


class Vault(Protocol):
    """Keys of the data folder. Pure computation: the same arguments give the same result, so a unit may run again."""

    def seal(self, salt: bytes, context: str) -> bytes:
        """Encrypt a salt; it opens under the same context alone."""

    def open(self, sealed: bytes, context: str) -> bytes:
        """The salt again. Raises ValueError if the row was altered or moved."""

    def seal_for(self, wrapped_key: bytes, user_id: str, salt: bytes, context: str) -> bytes:
        """Encrypt a salt under a person's own key, which `seal` has wrapped for `person|<user_id>`; it opens for that
        person and context alone. Raises ValueError for a key that is another person's."""

    def open_for(self, wrapped_key: bytes, user_id: str, sealed: bytes, context: str) -> bytes:
        """The salt again. Raises ValueError if anything was altered or moved, or is another person's."""

    def order_key(self, merchant_id: str, order_number: str) -> bytes:
        """HMAC of the order number under the merchant's secret: order numbers cannot be enumerated on chain."""

    def platform_key(self, platform_id: str) -> bytes:
        """The key from which a platform's pairwise ids are made."""

    def keccak(self, data: bytes) -> bytes:
        """Keccak-256."""

    def signer_of(self, text: str, signature: bytes) -> str | None:
        """The address whose key signed a text (EIP-191), spelt as EIP-55 says; None: no account's signature."""

    def digest_of(self, text: str) -> bytes:
        """The 32 bytes that a wallet signs for a text (EIP-191)."""
