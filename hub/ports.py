"""What has two implementations, and the frozen Hub that every flow gets: the only page that names both sides.

A port's docstring says when a method is called, what it may return or raise, and whether it may be repeated.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hub.domain.anchors import MAX_LEAVES
from hub.domain.breakers import Breakers
from hub.domain.chain_log import Block, ChainEvent, Cost, Heads
from hub.domain.checkout import Part, Sale, Terms
from hub.domain.disputes import Dispute, DisputeState, DisputeWord
from hub.domain.entitlements import Receipt
from hub.domain.events import Logged
from hub.domain.exchange import Signed
from hub.domain.ids import Draw
from hub.domain.issuers import KeySource, TrustedIssuer
from hub.domain.keys import NewApiKey
from hub.domain.money import Money
from hub.domain.payments import Notice, PaymentAttempt, Result
from hub.domain.people import Viewer
from hub.domain.refunds import Refund
from hub.domain.rehearsals import SandboxDispute, SandboxFault
from hub.domain.statements import StatementLine
from hub.domain.webhooks import Sent

if TYPE_CHECKING:
    from hub.store.transactions import Store


class Clock(Protocol):
    """The wall clock. It may jump; nothing orders by it."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""


# ---- payment channels ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AmountRange:
    """What a channel takes in one currency, in minor units, both ends included."""

    minimum_minor: int
    maximum_minor: int
    step_minor: int = 1  # amounts are multiples of it: some providers take three decimals whose last is 0

    def takes(self, amount_minor: int) -> bool:
        return self.minimum_minor <= amount_minor <= self.maximum_minor and amount_minor % self.step_minor == 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can do. A flow that it lacks is refused before any call."""

    currencies: Mapping[str, AmountRange]
    # A query that says "never saw it" is believed if asked this long after sending; None: never.
    not_found_after_ms: int | None
    is_dated: bool  # its notices carry a time, and old or future ones are refused
    can_void: bool = True
    declined_stays_payable: bool = False  # what it declined another card may pay all the same, until it is voided
    can_authorize: bool = False  # takes CaptureMethod.MANUAL, and `capture`
    can_capture_partly: bool = False  # and then gives back the rest by itself
    can_refund: bool = False
    can_refund_partly: bool = False
    has_disputes: bool = False
    has_statement: bool = False
    methods: tuple[str, ...] = ()  # what `method` may be, or begin with before a colon; empty: a token of the provider
    is_test_only: bool = False

    def takes(self, money: Money) -> bool:
        amounts = self.currencies.get(money.currency)
        return amounts is not None and amounts.takes(money.amount_minor)


@dataclass(frozen=True, slots=True)
class RawNotice:
    """A notice as it came: raw bytes, header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """How a channel wants to hear that a notice was taken."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain"


class NoticeRefused(Exception):
    """A notice that is not provably the channel's, now: nothing of it is kept but a count. Final."""


class NoticeIgnored(Exception):
    """A notice that is provably the channel's, and about nothing of ours: acknowledged, so that it is not sent again,
    and not kept."""


class NoticeProbed(NoticeRefused):
    """The provider looks whether signatures are checked: refused as any other, and no reason for alarm."""


class StatementRefused(Exception):
    """A channel's day that cannot be had, or that makes no sense. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check of a channel looked at."""

    name: str  # credentials, keys, clock, …
    is_good: bool
    detail: str  # in words, without a secret


class Channel(Protocol):
    """A payment channel adapter: maps, signs, verifies, says what we now know. Never stores, retries or decides.

    No method but `statement` raises for what a provider or the network does: that is an Outcome. `create`, `capture`,
    `void` and `refund` may be repeated with the same arguments, since our key is the channel's idempotency key.
    """

    code: str
    capabilities: Capabilities

    async def create(self, attempt: PaymentAttempt) -> Result:
        """Ask for the money. Called once the attempt is committed SUBMITTED, and again only after NOT_SENT."""

    async def void(self, attempt: PaymentAttempt) -> Result:
        """Close an unpaid attempt, for instance after its deadline. DONE with VOIDED, or CHARGED if paid first."""

    async def query(self, attempt: PaymentAttempt) -> Result:
        """What became of it, by OUR reference; `channel_ref` may be None. DONE with NONE: it was never seen."""

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        """Take an AUTHORIZED attempt's money, all or part of it: once. DONE with CHARGED and what was taken."""

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """Give back part of a CHARGED attempt. DONE with REFUNDED and the amount of this refund."""

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """What became of a refund, by OUR key. DECLINED: it failed. DONE with NONE: it was never seen."""

    def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """Every movement of one of the channel's days, in its own order. Raises StatementRefused."""

    async def check(self) -> Sequence[Finding]:
        """What an operator wants to know before real money comes: credentials, keys, clock, one signed no-op."""

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        """Check signature and time over the raw bytes, without I/O. Raises NoticeRefused, NoticeIgnored."""

    def ack(self, accepted: bool) -> Ack:
        """The answer to a notice that was stored (accepted), or that is to be sent again."""

    async def aclose(self) -> None:
        """Close its connections. Called once, at the end."""


class RehearsalRefused(Exception):
    """The sandbox cannot do this: `field` is its own name of what it was given, None if it is about none."""

    def __init__(self, field: str | None, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


class RehearsalUnavailable(Exception):
    """The sandbox did not answer, or not sensibly: what was asked may have been done."""


class Rehearsal(Protocol):
    """The hands of the sandbox's operator. Every call may raise RehearsalRefused and RehearsalUnavailable."""

    async def set_fault(self, fault: SandboxFault) -> Sequence[SandboxFault]:
        """Arm it behind those that are armed; gives all. Repeated, it is armed twice."""

    async def clear_faults(self, reference: str | None) -> Sequence[SandboxFault]:
        """Disarm those of one payment, or all; gives what is still armed."""

    async def move_dispute(self, reference: str, state: DisputeState, amount_minor: int | None) -> SandboxDispute:
        """Open the dispute of a charge (`amount_minor`; None: all of it), or move it on."""

    async def advance_clock(self, seconds: int) -> int:
        """Let its days pass; gives its time after that, in microseconds."""


@runtime_checkable
class Rehearsable(Protocol):
    """A channel whose provider can be told to fail. None: nobody has given us its key."""

    rehearsal: Rehearsal | None


@dataclass(frozen=True, slots=True)
class DisputeReply:
    """What a channel said to an answer. DONE: it was taken; DECLINED or REJECTED: it was not; else nobody knows yet."""

    result: Result
    word: DisputeWord | None = None  # what the dispute is now, where the channel says so


@runtime_checkable
class AnswersDisputes(Protocol):
    """What a channel can do besides, if its provider lets disputes be answered by its API: both may be repeated with
    the same dispute, whose `answer_key` is the channel's idempotency key. Raise as a Channel does: never."""

    async def submit_evidence(self, attempt: PaymentAttempt, dispute: Dispute, evidence: str) -> DisputeReply:
        """Send the merchant's evidence, once and for all."""

    async def accept_dispute(self, attempt: PaymentAttempt, dispute: Dispute) -> DisputeReply:
        """Give in: the money is the payer's."""


# ---- platforms -------------------------------------------------------------------------------------------------


class Cap(StrEnum):
    """What a platform can do."""

    LIST = "LIST"
    RESOLVE = "RESOLVE"
    GRANT = "GRANT"
    REVOKE = "REVOKE"
    VERIFY = "VERIFY"
    LAUNCH = "LAUNCH"
    IDEMPOTENT_GRANT = "IDEMPOTENT_GRANT"


class PlatformError(Exception):
    """Root of what a platform's adapter raises."""


class Transient(PlatformError):
    """It did not answer, or not in time: what was asked may have happened. Verify, then repeat."""


class RateLimited(PlatformError):
    """Not done; ask again after `after_ms`."""

    def __init__(self, after_ms: int) -> None:
        super().__init__(f"rate limited for {after_ms} ms")
        self.after_ms = after_ms


class NotSupported(PlatformError):
    """The platform cannot do this: a visible state, never silently done."""


class Rejected(PlatformError):
    """The platform said no. Final until a person changes something."""


class Conflict(PlatformError):
    """It answered for something else than was asked. Final."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A listing as its platform tells it; `price` None is unknown."""

    external_id: str
    title: str
    kind: str
    price: Money | None
    url: str


@dataclass(frozen=True, slots=True)
class CataloguePage:
    entries: tuple[CatalogueEntry, ...]
    cursor: str | None  # None: the last page


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Which member is to have, or has, which listing. `key` is the idempotency key of the grant."""

    pairwise_id: str
    member_external_id: str | None  # None: the platform has no member of its own for this buyer yet
    external_id: str
    key: str


class Access(StrEnum):
    """What a platform says about its own access list."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Platform(Protocol):
    """A connected content site: maps and signs, never stores, never retries. Every call ends within its deadline.

    Undeclared capabilities raise NotSupported. `grant_access` and `revoke_access` may be repeated with the same key.
    """

    slug: str
    capabilities: frozenset[Cap]

    async def list_catalogue(self, cursor: str | None, limit: int) -> CataloguePage:
        """A page of what it sells, stable under paging."""

    async def grant_access(self, request: AccessRequest) -> None:
        """Open the listing to the member. After a lost answer (Transient) ask `verify_access` first."""

    async def revoke_access(self, request: AccessRequest) -> None:
        """Close it again; closing what is closed is fine."""

    async def verify_access(self, request: AccessRequest) -> Access:
        """Read after write: what the platform itself would say."""

    async def launch_url(self, request: AccessRequest) -> str:
        """Where the member opens the listing. Minted on click, never stored or logged."""

    async def aclose(self) -> None:
        """Close its connections. Called once, at the end."""


# ---- chain -----------------------------------------------------------------------------------------------------


class ChainUnavailable(Exception):
    """The node did not answer, or not sensibly: nothing is known. Retry."""


class ChainRefused(Exception):
    """The node or the contract said no. Final for this transaction; the reason is its own."""


class NonceTaken(ChainRefused):
    """Another transaction of this sender is in a block under this nonce: this one can never be."""


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Signed and not yet sent: committed before it is sent."""

    hash: str
    raw: str
    nonce: int
    sender: str


@dataclass(frozen=True, slots=True)
class ChainReceipt:
    """What became of a transaction that is in a block. `confirmations` counts its own block as one."""

    hash: str
    is_ok: bool
    block_number: int
    block_hash: str
    gas_used: int
    gas_price_wei: int
    confirmations: int


@dataclass(frozen=True, slots=True)
class AnchorState:
    """What the contract holds under a root; count 0: nothing."""

    count: int
    kind: int
    anchored_at: int  # seconds since 1970, of the block


@dataclass(frozen=True, slots=True)
class LeafClaim:
    """The arguments of the contract's `verify`, in its order. `contract` is the EntitlementHub that holds the root, be
    it an older one; '' for the present one."""

    root: bytes
    index: int
    order_key: bytes
    to: str
    token_id: int
    expiry: int
    commitment: bytes
    proof: tuple[bytes, ...]
    contract: str = ""


class Chain(Protocol):
    """Any EVM node by URL. Every method may raise ChainUnavailable, and every method may be repeated."""

    @property
    def chain_id(self) -> int:
        """Known once `connect` has returned."""

    @property
    def contract(self) -> str:
        """Address of the EntitlementHub, checksummed; known once `connect` or `deploy` has returned."""

    @property
    def sender(self) -> str:
        """The gateway's address: it signs anchors."""

    async def connect(self) -> None:
        """Check the chain id and that the recorded contract has code. Idempotent."""

    async def next_nonce(self) -> int:
        """The node's count of the gateway's transactions, pending ones included."""

    async def mined_nonce(self) -> int:
        """The same without the pending ones: the nonce that the next block needs."""

    async def sign_anchor(self, root: bytes, count: int, data_hash: bytes, nonce: int) -> SignedTransaction:
        """`anchor(root, count, dataHash, 1)`, signed with the gateway's key. Nothing is sent."""

    async def sign_revoke(self, contract: str, root: bytes, word: int, mask: int, nonce: int) -> SignedTransaction:
        """`revoke(root, word, mask)` to the EntitlementHub that holds the root, be it an older one; signed with the
        gateway's key. Nothing is sent."""

    async def sign_call(self, to: str, data: bytes, nonce: int) -> SignedTransaction:
        """Any call, signed with the gateway's key. Nothing is sent."""

    async def sign_replacement(self, raw: str) -> SignedTransaction:
        """The same call under the same nonce for an eighth more a gas, or for today's fee if that is more. Raises
        ChainUnavailable when that is above the ceiling. Nothing is sent."""

    async def sign_nothing(self, nonce: int) -> SignedTransaction:
        """A transfer of nothing to the gateway itself, to fill a nonce that nothing else will. Nothing is sent."""

    async def send(self, transaction: SignedTransaction) -> None:
        """Hand the raw bytes to the node. "Already known" and "nonce too low with this hash mined" are success. Raises
        NonceTaken when the nonce is another transaction's, and ChainRefused when no block can ever take this one."""

    async def receipt(self, hash_: str) -> ChainReceipt | None:
        """None: in no block."""

    async def anchored(self, root: bytes, contract: str = "") -> AnchorState:
        """The word for a root of that EntitlementHub, of the present one by default."""

    async def is_revoked(self, root: bytes, index: int, contract: str = "") -> bool:
        """The revocation bit of a leaf, or of its whole root, in that EntitlementHub."""

    async def verify(self, claim: LeafClaim) -> bool:
        """The `verify` of the claim's EntitlementHub, by eth_call."""

    async def verify_many(self, claims: tuple[LeafClaim, ...]) -> tuple[bool, ...]:
        """The same for many, in few round trips; answers in the order of the claims."""

    def claim_call(self, claim: LeafClaim) -> str | None:
        """What anybody may send to the contract so that the leaf's wallet gets its token: 0x and hexadecimal digits.
        Asks nobody. None for a leaf that the contract could not hold."""

    async def approves(self, account: str, digest: bytes, signature: bytes) -> bool:
        """Whether a contract wallet says that it signed these 32 bytes (EIP-1271). False for an account without code,
        and for code that says anything else, or nothing."""

    async def aclose(self) -> None:
        """Close connections."""


class ChainLog(Protocol):
    """Blocks and events of the hub's chain, as its node tells them. Every method may raise ChainUnavailable, as when
    the node contradicts itself, and every method may be repeated. `contracts` are names by address."""

    async def heads(self) -> Heads:
        """The newest block, the newest that counts as confirmed by the operator's rule, the newest that is final."""

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """The blocks of the node's chain at these heights, None for one that it does not have."""

    async def logs_of(self, blocks: Sequence[Block], contracts: Mapping[str, str]) -> list[ChainEvent]:
        """Events of very these blocks, by their hashes; a node that has dropped one of them is unavailable."""

    async def logs_between(self, first: int, last: int, contracts: Mapping[str, str]) -> list[ChainEvent]:
        """Events of a range of blocks, both ends included, in the order of the chain. For final blocks alone: a range
        near the head may straddle a reorganisation."""

    async def costs(self, hashes: Sequence[str]) -> dict[str, Cost]:
        """What transactions that are in blocks have cost."""


# ---- stablecoin checkout ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckoutPlace:
    """Where a stablecoin purchase happens. Addresses have 20 bytes."""

    chain_id: int
    splitter: bytes
    token: bytes
    token_name: str
    token_version: str
    decimals: int
    # Whether the token signs as EIP-712 has it under this name and version: else there are neither permits nor
    # authorizations, only approvals.
    has_signatures: bool


@dataclass(frozen=True, slots=True)
class PurchaseStanding:
    """What the contracts hold under an order key, in the newest block and in the newest confirmed one."""

    bought_at: int | None  # seconds since 1970, of its block
    is_confirmed: bool
    is_refunded: bool
    is_refund_confirmed: bool
    confirmed_at: int  # seconds since 1970, of the newest confirmed block: what was not bought then never will be


@dataclass(frozen=True, slots=True)
class Paid:
    """A purchase as the splitter told it."""

    offer_id: bytes
    payer: bytes
    token: bytes
    price: int  # units of the token


@dataclass(frozen=True, slots=True)
class SplitterCall:
    """A call of the splitter by the hub's gateway. `purpose` names it for ever: it is carried out once."""

    purpose: str
    data: bytes


class Checkout(Protocol):
    """CheckoutSplitter on the hub's chain, and the one token that this hub sells for. Every method may raise
    ChainUnavailable, and every method may be repeated; all but `carry_out` only read."""

    async def place(self) -> CheckoutPlace:
        """Known once the contracts are deployed."""

    async def is_open(self, offer_id: bytes) -> bool:
        """Whether an offer can be bought."""

    async def permit_nonce(self, payer: bytes) -> int:
        """The nonce that the payer's next EIP-2612 permit has to name."""

    async def standing(self, order_key: bytes) -> PurchaseStanding:
        """What became of an order key."""

    async def paid(self, order_key: bytes) -> Paid | None:
        """What was paid under an order key; None: nothing."""

    async def terms(self, offer_id: bytes) -> tuple[Terms, tuple[Part, ...]] | None:
        """What an offer's name stands for, and the parts of its split, as they were told when they were set."""

    async def carry_out(self, call: SplitterCall) -> ChainReceipt | None:
        """The gateway's call: signed once, committed, then sent until a block holds it. None: come back, it may still
        take effect. Raises ChainRefused where the contract says no and nothing is signed; a receipt that is not ok is
        of a block so deep that it stays."""


@runtime_checkable
class SellsOnChain(Protocol):
    """A channel whose contract has to know what is on sale before it can be bought."""

    checkout: Checkout

    async def missing(self, sales: Sequence[Sale]) -> Sequence[SplitterCall]:
        """The calls without which these could not be bought, in their order. Raises ChainUnavailable. A sale that the
        channel cannot make is left out."""


# ---- outgoing webhooks -----------------------------------------------------------------------------------------


class DocumentRefused(ValueError):
    """A document that cannot be stored for an endpoint: the text says what it must be."""


class DocumentFailed(Exception):
    """A stored document that ended with an error for an event: nothing may be sent of it."""


class EventDocuments(Protocol):
    """Partners' stored GraphQL documents, which shape what a webhook's body is."""

    def kinds(self, document: str, viewer: Viewer) -> tuple[str, ...] | None:
        """Which events it asks for; None: all. Raises DocumentRefused for what is not valid, within the limits and
        the viewer's scopes, or no subscription of events."""

    async def body(self, hub: "Hub", viewer: Viewer, document: str, event: Logged) -> str:
        """The JSON of its result over one event. May be repeated. Raises DocumentFailed; never a partial result."""


class Sender(Protocol):
    """Posts to addresses that partners have chosen. Never to one inside the operator's network."""

    async def refuses(self, url: str) -> str | None:
        """Why nothing would be sent there; None: it would. Called when an endpoint gets its URL."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """One attempt, its address checked anew. Repeated with the same body and id until it is delivered. Never
        raises for what name, network or receiver do."""

    async def aclose(self) -> None:
        """Close its connections. Called once, at the end."""


# ---- wake-ups, secrets, time -----------------------------------------------------------------------------------


class Wakeups(Protocol):
    """Hints that a stream has moved. Never the truth: a lost one costs at most one poll."""

    def publish(self, stream: str, position: int) -> None:
        """After a commit, to every process; never waits or raises, loses nothing that a poll would not find."""

    def wake(self, stream: str) -> None:
        """Wake those of this process alone: what its own poll has found."""

    def wake_all(self) -> None:
        """Wake everybody who waits in this process: nobody knows what has moved."""

    def mark(self, stream: str) -> int:
        """The stream's counter, taken before reading it."""

    async def wait(self, stream: str, since: int) -> None:
        """Return once the counter has passed `since`."""

    async def aclose(self) -> None:
        """Close what it has opened. Called once, at the end; a later `publish` is lost."""


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


class Receipts(Protocol):
    """Signs receipts with the hub's published key, never with a key that the contract knows."""

    def sign(self, receipt: Receipt) -> str:
        """A compact JWS (ES256)."""


class TokenProblem(StrEnum):
    """Why a user's token is not taken."""

    UNREADABLE = "this is no token of this hub"
    EXPIRED = "the token has ended: ask for a new one"
    NOT_YET = "the token does not count yet: check the clocks"


class TokenRefused(Exception):
    """A token that is not taken; the reason is all it says, never the token."""

    def __init__(self, reason: TokenProblem) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Tokens(Protocol):
    """The hub's own tokens of users, and the making of API keys."""

    def new_api_key(self, draw: Draw) -> NewApiKey:
        """A fresh key, the same for the same draw."""

    def verify_user_token(self, token: str, now_us: int) -> Viewer:
        """Who asks. Raises TokenRefused."""

    def issue_exchanged_token(
        self, user_id: str, pairwise_id: str, issuer: TrustedIssuer, scopes: frozenset[str], now_us: int
    ) -> str:
        """A token for a user that a partner got for them: it names the partner, and to the partner the user by
        `pairwise_id` alone. It ends after ACCESS_TOKEN_S."""


class SignatureNotTaken(Exception):
    """A partner's token that is not provably theirs. The reason never repeats a word of it. Final."""


class KeysUnavailable(Exception):
    """The partner's keys cannot be had now: nothing is known about the token. Retry."""


class PartnerTokens(Protocol):
    """What partners sign: a word about a person, or about themselves. Fetches key sets; every call may be repeated."""

    def source_fault(self, source: KeySource) -> str | None:
        """Why keys cannot come from there, for whoever registers it; None: they can."""

    async def signed(self, text: str, source: KeySource, algorithms: Sequence[str], now_us: int) -> Signed:
        """The words of a JWT whose signature fits a key of that source. Raises SignatureNotTaken, KeysUnavailable."""

    def said(self, text: str, claim: str) -> str | None:
        """What it says under a claim, before anything is checked: for finding whose keys to check it with."""

    async def aclose(self) -> None:
        """Close connections."""


class CursorRefused(ValueError):
    """A cursor that is not this hub's, not for this list, or altered: BAD_USER_INPUT, and no word about which."""

    def __init__(self) -> None:
        super().__init__("this is no cursor of this list")


class Cursors(Protocol):
    """Seals positions into opaque text and opens it again. Not secret, but nobody else can make one."""

    def seal(self, stream: str, position: int) -> str:
        """The cursor of an event: resume after `position` (0: from the first) of `stream`."""

    def open(self, text: str) -> tuple[str, int]:
        """Stream and position. Raises CursorRefused. Whether the viewer may read it is the caller's question."""

    def seal_keyset(self, list_name: str, values: tuple[str | int | bool | None, ...]) -> str:
        """The cursor of a row: the values it is sorted by, bound to the list's name."""

    def open_keyset(self, list_name: str, text: str) -> tuple[str | int | bool | None, ...]:
        """The values again. Raises CursorRefused."""


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
    breakers: Breakers = field(default_factory=Breakers)  # of this process
    page_origins: tuple[str, ...] = ("http://127.0.0.1:8000",)  # whose pages may ask for a wallet's word

    def draw(self) -> Draw:
        """The moment and the chance for one unit."""
        return Draw(self.clock.now_us(), self.draw_seed(), self.owner)
