"""The frozen Hub that every flow gets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hub.domain.anchors import MAX_LEAVES
from hub.domain.breakers import Breakers
from hub.domain.ids import Draw
from hub.domain.money import Money
from hub.domain.purses import Purses
from hub.ports.chain import Chain
from hub.ports.chain_log import ChainLog
from hub.ports.channels import Channel
from hub.ports.clock import Clock
from hub.ports.cursors import Cursors
from hub.ports.partners import PartnerTokens
from hub.ports.platforms import Platform
from hub.ports.receipts import Receipts
from hub.ports.tokens import Tokens
from hub.ports.vault import Vault
from hub.ports.wakeups import Wakeups
from hub.ports.webhooks import EventDocuments, Sender

if TYPE_CHECKING:
    from hub.store.transactions import Store


@dataclass(frozen=True, slots=True)
class Hub:
    """Everything a flow may use; built once by the wiring."""

    store: "Store"
    channels: Mapping[str, Channel]
    platforms: Mapping[str, Platform]
    chain: Chain
    chain_log: ChainLog
    wakeups: Wakeups
    clock: Clock
    vault: Vault
    receipts: Receipts
    tokens: Tokens
    partners: PartnerTokens
    cursors: Cursors
    event_documents: EventDocuments
    sender: Sender
    draw_seed: Callable[[], bytes]
    owner: str  # this process, as leases name it
    is_production: bool
    batch_after_ms: int  # an AnchorBatch closes this long after its first leaf
    batch_size: int = MAX_LEAVES  # or with so many leaves
    batch_values: tuple[Money, ...] = ()  # or when the rights in it were sold for so much in one currency
    settles_at_once: bool = False  # rights that are for a wallet go on chain one by one, and not in a batch
    breakers: Breakers = field(default_factory=Breakers)  # of this process
    purses: Purses = field(default_factory=Purses)  # as this process saw them last
    page_origins: tuple[str, ...] = ("http://127.0.0.1:8000",)  # whose pages may ask for a wallet's word

    def draw(self) -> Draw:
        """The moment and the chance for one unit."""
        return Draw(self.clock.now_us(), self.draw_seed(), self.owner)
