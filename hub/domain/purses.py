"""What the hub's keys can still pay for on chain, and what they have paid for, as this process saw it last."""

from dataclasses import dataclass, field
from typing import Final

ANCHOR_GAS: Final = 60_000  # of one batch, whatever its size; revocations and offers cost about as much
ANCHORS_LEFT: Final = 500  # below so many it is time to send money: a day's worth of a batch every three minutes


@dataclass(frozen=True, slots=True)
class Fees:
    """Of batches, or of settlements. A sum of wei may pass 64 bits, so it is no exact number."""

    is_settlement: bool
    orders: int
    wei: float


@dataclass(slots=True)
class Purses:
    """Wei by account and by what its key is for; empty until the chain was asked."""

    paid: list[Fees] = field(default_factory=list)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    poor: set[str] = field(default_factory=set)  # accounts that a person was told of

    def look(self, account: str, roles: str, wei: int, gas_price_wei: int) -> bool:
        """Keep what an account holds. Whether a person is to be told now: it has become too little."""
        self.held[account, roles] = wei
        is_poor = wei < ANCHORS_LEFT * ANCHOR_GAS * gas_price_wei
        is_news = is_poor and account not in self.poor
        self.poor = self.poor | {account} if is_poor else self.poor - {account}
        return is_news
