"""What has two implementations, a file for each port, and the frozen Hub that every flow gets.

A port's docstring says when a method is called, what it may return or raise, and whether it may be repeated. Import
from here: the files are for reading.
"""

from hub.ports.chain import (
    AnchorState,
    Chain,
    ChainReceipt,
    ChainRefused,
    ChainUnavailable,
    FeeTooLow,
    LeafClaim,
    NonceTaken,
    SettledRight,
    Settlement,
    SignedTransaction,
    SigningRefused,
)
from hub.ports.chain_log import ChainLog
from hub.ports.channels import (
    Ack,
    AmountRange,
    Capabilities,
    Channel,
    Finding,
    NoticeIgnored,
    NoticeProbed,
    NoticeRefused,
    RawNotice,
    StatementRefused,
)
from hub.ports.checkout import (
    Checkout,
    CheckoutPlace,
    Movement,
    Obstacle,
    Paid,
    PurchaseStanding,
    SellsOnChain,
    SplitterCall,
)
from hub.ports.clock import Clock
from hub.ports.cursors import CursorRefused, Cursors
from hub.ports.disputes import AnswersDisputes, DisputeReply
from hub.ports.hub import Hub
from hub.ports.partners import KeysUnavailable, PartnerTokens, SignatureNotTaken
from hub.ports.platforms import (
    Access,
    AccessRequest,
    Cap,
    CatalogueEntry,
    CataloguePage,
    Conflict,
    NotSupported,
    Platform,
    PlatformError,
    RateLimited,
    Rejected,
    Transient,
)
from hub.ports.receipts import Receipts
from hub.ports.rehearsals import Rehearsable, Rehearsal, RehearsalRefused, RehearsalUnavailable
from hub.ports.tokens import TokenProblem, TokenRefused, Tokens
from hub.ports.vault import Vault
from hub.ports.wakeups import Wakeups
from hub.ports.webhooks import DocumentFailed, DocumentRefused, EventDocuments, Sender

__all__ = [
    "Access", "AccessRequest", "Ack", "AmountRange", "AnchorState", "AnswersDisputes", "Cap", "Capabilities",
    "CatalogueEntry", "CataloguePage", "Chain", "ChainLog", "ChainReceipt", "ChainRefused", "ChainUnavailable",
    "Channel", "Checkout", "CheckoutPlace", "Clock", "Conflict", "CursorRefused", "Cursors", "DisputeReply",
    "DocumentFailed", "DocumentRefused", "EventDocuments", "FeeTooLow", "Finding", "Hub", "KeysUnavailable",
    "LeafClaim", "Movement", "NonceTaken", "NotSupported", "NoticeIgnored", "NoticeProbed", "NoticeRefused", "Obstacle",
    "Paid", "PartnerTokens",
    "Platform", "PlatformError", "PurchaseStanding", "RateLimited", "RawNotice", "Receipts", "Rehearsable",
    "Rehearsal", "RehearsalRefused", "RehearsalUnavailable", "Rejected", "SellsOnChain", "Sender", "SettledRight",
    "Settlement",
    "SignatureNotTaken", "SignedTransaction", "SigningRefused", "SplitterCall", "StatementRefused", "TokenProblem",
    "TokenRefused", "Tokens", "Transient", "Vault", "Wakeups",
]  # fmt: skip
