"""Receipts, signed."""

from typing import Protocol

from hub.domain.entitlements import Receipt


class Receipts(Protocol):
    """Signs receipts with the hub's published key, never with a key that the contract knows."""

    def sign(self, receipt: Receipt) -> str:
        """A compact JWS (ES256)."""
