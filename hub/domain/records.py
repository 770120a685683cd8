"""What the hub keeps of its record on chain: leaves, batches, transactions, contracts."""

from dataclasses import dataclass
from enum import StrEnum


class BatchState(StrEnum):
    """How far a batch is: its content is frozen from the start."""

    QUEUED = "QUEUED"
    SUBMITTED = "SUBMITTED"
    CONFIRMED = "CONFIRMED"
    FINALIZED = "FINALIZED"
    REORGED = "REORGED"
    FAILED = "FAILED"

    @property
    def is_proven(self) -> bool:
        """Whether its root may be shown to others: a block holds it, deep enough."""
        return self in (BatchState.CONFIRMED, BatchState.FINALIZED)


class KeyRole(StrEnum):
    """What a key is for. Each pays for what it sends; a signer sends nothing."""

    DEPLOYER = "deployer"  # owns the contracts, until it hands them over
    GATEWAY = "gateway"  # anchors batches, and brings to the chain what anybody may bring
    REVOKER = "revoker"  # takes back: revocations, and refunds of what was bought on chain
    SELLER = "seller"  # puts on sale what is bought on chain
    PAUSER = "pauser"  # stops the contracts
    SIGNER = "signer"  # signs the results of orders that are settled one by one
    FORMER = "former"  # a gateway that was replaced: ends what it had begun


class TransactionState(StrEnum):
    """How far a transaction is; it is stored before it is sent."""

    SIGNED = "SIGNED"
    SENT = "SENT"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class RecordedLeaf:
    """One request and its end, as a leaf of the next batch. `request` and `result` are canonical JSON, '' once the
    person was erased; `token_id` is decimal text, '0' where nothing is granted; `index` is set with `batch_id`.

    `grant_id` is the right that it carries; `owner_id` whose that is, where it is not the buyer's any more.
    `sealed_salt` is empty where the salt lies under a key of that person's own.
    """

    id: str
    order_id: str
    attempt_id: str | None
    generation: int
    order_key: bytes
    holder: str
    token_id: str
    expiry: int
    request: str
    result: str
    commitment: bytes
    sealed_salt: bytes
    is_superseded: bool
    batch_id: str | None
    index: int | None
    created_at_us: int
    grant_id: str | None = None
    owner_id: str | None = None


@dataclass(frozen=True, slots=True)
class SealedSalt:
    """A leaf's salt under its person's own key, and that key under the hub's."""

    leaf_id: str
    user_id: str
    wrapped_key: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class AnchorBatch:
    """The orders under one root: the leaves told of by a range of the log, in its order. The chain's part is unknown
    ('' and 0) until its transaction is signed.

    A settlement is one leaf that is on chain by itself: its `root` is the key that it is settled under. So a leaf takes
    one way or the other, as it has one batch.
    """

    id: str
    first_position: int
    last_position: int
    count: int
    root: bytes
    data_hash: bytes
    chain_id: int
    contract: str
    state: BatchState
    transaction_hash: str | None
    block_number: int | None
    gas_used: int | None
    gas_price_wei: int | None
    version: int
    created_at_us: int
    confirmed_at_us: int | None
    is_settlement: bool = False

    @classmethod
    def queued(
        cls, *, id: str, first_position: int, last_position: int, count: int, root: bytes, data_hash: bytes,
        created_at_us: int, is_settlement: bool = False,
    ) -> "AnchorBatch":  # fmt: skip
        """A batch that is closed, and that the chain knows nothing of."""
        return cls(
            id=id, first_position=first_position, last_position=last_position, count=count, root=root,
            data_hash=data_hash, chain_id=0, contract="", state=BatchState.QUEUED, transaction_hash=None,
            block_number=None, gas_used=None, gas_price_wei=None, version=1, created_at_us=created_at_us,
            confirmed_at_us=None, is_settlement=is_settlement,
        )  # fmt: skip

    @property
    def purpose(self) -> str:
        """Of the transaction that puts it on chain."""
        return f"{'settle' if self.is_settlement else 'anchor'}:{self.root.hex()}"


@dataclass(frozen=True, slots=True)
class ChainTransaction:
    """Signed bytes for one purpose: `anchor:<root>`, `settle:<orderKey>`, `revoke:<root>:<word>:<leaf>`; of a splitter
    `split:`, `offer:` and `close:<name>:<splitter>:<generation>` and `refund:<orderKey>`; an operator's `pause:<act>`,
    `unpause:<act>` and `revoke-root:<act>`; and `fill:<chain>:<sender>:<nonce>`, which does nothing."""

    purpose: str
    chain_id: int
    sender: str
    nonce: int
    raw: str
    hash: str
    state: TransactionState
    signed_at_us: int


@dataclass(frozen=True, slots=True)
class KnownContract:
    """An EntitlementHub that this hub has deployed or was told of: listed for ever."""

    chain_id: int
    address: str
    name: str
    code_hash: str
    from_block: int
    recorded_at_us: int
