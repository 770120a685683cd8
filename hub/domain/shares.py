"""Who gets what of a charge: a versioned ShareAgreement in basis points, and the postings that release it."""

from dataclasses import dataclass

from hub.domain.ledger import HUB_FEES, Posting, escrow, payee_pending
from hub.domain.money import Money, largest_remainder

FULL_BPS = 10_000
MAX_SHARES = 16  # what one split on chain takes


@dataclass(frozen=True, slots=True)
class Share:
    """One party's part in basis points. `payee` is None for the hub's own fee, the only part that is income."""

    payee: str | None
    bps: int


@dataclass(frozen=True, slots=True)
class ShareAgreement:
    """A version of who gets what. Orders keep the version they were admitted under."""

    id: str
    merchant_id: str
    version: int
    shares: tuple[Share, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.shares) <= MAX_SHARES:
            raise ValueError(f"an agreement has 1 to {MAX_SHARES} shares")
        if any(share.bps < 0 for share in self.shares) or sum(share.bps for share in self.shares) != FULL_BPS:
            raise ValueError(f"shares are not negative and sum to {FULL_BPS} basis points")


def release(order_id: str, amount: Money, agreement: ShareAgreement) -> tuple[Posting, ...]:
    """The postings that move a charge from escrow to its holders: payees are owed, only the hub's fee is income."""
    parts = largest_remainder(amount.amount_minor, [share.bps for share in agreement.shares])
    return tuple(
        Posting(
            debit=escrow(order_id),
            credit=HUB_FEES if share.payee is None else payee_pending(share.payee),
            asset=amount.currency,
            amount_minor=part,
        )
        for share, part in zip(agreement.shares, parts, strict=True)
        if part
    )
