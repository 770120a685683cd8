"""A payment channel, a platform and a chain in process that do what a test says, and write down what they were asked.

Every call asserts that no unit is running: nothing remote happens while a transaction is open.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.chain.results import MAX_DEADLINE_S
from hub.domain.chain_log import BEFORE_FIRST, Block, ChainEvent, Cost, Heads
from hub.domain.disputes import DisputeWord
from hub.domain.events import Logged
from hub.domain.money import Money
from hub.domain.payments import Notice, Outcome, PaymentAttempt, Result, Stage
from hub.domain.people import Viewer
from hub.domain.records import KeyRole, KnownContract
from hub.domain.refunds import Refund
from hub.domain.webhooks import Sent, SentOutcome
from hub.ports import (
    Access,
    AccessRequest,
    Ack,
    AmountRange,
    AnchorState,
    Cap,
    Capabilities,
    CataloguePage,
    ChainReceipt,
    ChainRefused,
    ChainUnavailable,
    DocumentFailed,
    DocumentRefused,
    Hub,
    LeafClaim,
    NoticeRefused,
    RawNotice,
    SettledRight,
    Settlement,
    SignedTransaction,
)
from hub.store.transactions import running_unit

# What a call does: give a result, raise, or be asked for one with the attempt in hand.
Step = Result | Exception | Callable[[PaymentAttempt], "Result | Awaitable[Result]"]

EVERYTHING = {currency: AmountRange(1, 10**12) for currency in ("CNY", "USD", "EUR", "JPY")}
ASKED_AT_US = 1_767_225_600_000_000


def result(outcome: Outcome, stage: Stage = Stage.NONE, amount: Money | None = None, **more: Any) -> Result:
    """What a channel says, with the fields that a test does not care for filled in."""
    observed = more.pop("observed_at_us", ASKED_AT_US)
    return Result(outcome, stage, hashlib.sha256(b"raw").digest(), observed, amount=amount, **more)


def charged(attempt: PaymentAttempt, **more: Any) -> Result:
    """The money asked for was taken."""
    return result(Outcome.DONE, Stage.CHARGED, more.pop("amount", attempt.amount), **more)


def authorised(attempt: PaymentAttempt, **more: Any) -> Result:
    return result(Outcome.DONE, Stage.AUTHORIZED, more.pop("amount", attempt.amount), **more)


def given_back(refund: Refund, **more: Any) -> Result:
    """The money of a refund went back."""
    return result(Outcome.DONE, Stage.REFUNDED, more.pop("amount", refund.amount), **more)


NEVER_SEEN = result(Outcome.DONE, Stage.NONE)
DECLINED = result(Outcome.DECLINED, code="card_declined", decline="soft")
PENDING = result(Outcome.PENDING)
UNKNOWN = result(Outcome.UNKNOWN)
NOT_SENT = result(Outcome.NOT_SENT)
REJECTED = result(Outcome.REJECTED, code="bad_request")
ACTION = result(Outcome.ACTION)
VOIDED = result(Outcome.DONE, Stage.VOIDED)


def _outside_of_units() -> None:
    assert running_unit.get() is None, f"a call while {running_unit.get()} holds a transaction"


@dataclass
class ScriptedChannel:
    """Does the next scripted step of a method; without one, `create` and `query` say the money was taken, `void` that
    the attempt is closed."""

    code: str = "sandbox"
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(currencies=EVERYTHING, not_found_after_ms=0, is_dated=True)
    )
    calls: list[tuple[str, str]] = field(default_factory=list)  # (method, key)
    steps: dict[str, deque[Step]] = field(default_factory=dict)
    captured: list[Money] = field(default_factory=list)  # what each call to capture asked for

    def then(self, method: str, *steps: Step) -> "ScriptedChannel":
        self.steps.setdefault(method, deque()).extend(steps)
        return self

    def count(self, method: str) -> int:
        return sum(called == method for called, _ in self.calls)

    async def create(self, attempt: PaymentAttempt) -> Result:
        return await self._do("create", attempt, charged)

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        self.captured.append(amount)
        return await self._do("capture", attempt, lambda a: charged(a, amount=amount))

    async def void(self, attempt: PaymentAttempt) -> Result:
        return await self._do("void", attempt, lambda _attempt: VOIDED)

    async def query(self, attempt: PaymentAttempt) -> Result:
        return await self._do("query", attempt, charged)

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        return await self._do("refund", refund, lambda _refund: given_back(refund))

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        return await self._do("query_refund", refund, lambda _refund: given_back(refund))

    async def _do(self, method: str, attempt: Any, otherwise: Step) -> Result:
        _outside_of_units()
        self.calls.append((method, attempt.key))
        steps = self.steps.get(method)
        step = steps.popleft() if steps else otherwise
        await asyncio.sleep(0)  # as a socket would: others run meanwhile
        _outside_of_units()
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Result):
            return step
        answer = step(attempt)
        return answer if isinstance(answer, Result) else await answer

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        notice = NOTICES.get(raw.body)
        if notice is None:
            raise NoticeRefused("not ours")
        return notice

    def ack(self, accepted: bool) -> Ack:
        return Ack(200 if accepted else 409)

    async def aclose(self) -> None: ...


NOTICES: dict[bytes, Notice] = {}  # what a raw body means, for `verify_notice`


def delivery(event_id: str, attempt_key: str, told: Result, *, digest: bytes | None = None) -> RawNotice:
    """A notice on its way; the same arguments are the same notice."""
    content = digest or hashlib.sha256(repr((event_id, attempt_key, told)).encode()).digest()
    notice = Notice(event_id, attempt_key, told, content, "payment")
    NOTICES[content] = notice
    return RawNotice({}, content)


def word_of_refund(event_id: str, attempt_key: str, refund_key: str, told: Result) -> RawNotice:
    """A notice about a refund, likewise."""
    content = hashlib.sha256(repr((event_id, refund_key, told)).encode()).digest()
    NOTICES[content] = Notice(event_id, attempt_key, told, content, "refund", refund_key=refund_key)
    return RawNotice({}, content)


def contested(attempt: PaymentAttempt, word: DisputeWord, at_us: int | None = None) -> RawNotice:
    """A notice about a dispute, likewise."""
    told = result(Outcome.PENDING, provider_at_us=at_us)
    event_id = f"evt {word.channel_ref} {word.state} {word.amount.amount_minor} {at_us}"
    content = hashlib.sha256(repr((event_id, attempt.key, word)).encode()).digest()
    NOTICES[content] = Notice(event_id, attempt.key, told, content, "dispute", dispute=word)
    return RawNotice({}, content)


@dataclass
class ScriptedPlatform:
    """A platform's access list; `steps` are raised one by one before the list is looked at."""

    slug: str
    capabilities: frozenset[Cap] = frozenset({Cap.GRANT, Cap.REVOKE, Cap.VERIFY})
    opened: set[str] = field(default_factory=set)  # external ids
    calls: list[str] = field(default_factory=list)
    faults: deque[Exception | None] = field(default_factory=deque)
    is_lossy: bool = False  # do what is asked and then raise the fault, as a lost answer does
    meanwhile: Callable[[], Awaitable[None]] | None = None  # happens once, while the next write is on its way

    async def list_catalogue(self, cursor: str | None, limit: int) -> CataloguePage:
        return CataloguePage((), None)

    async def grant_access(self, request: AccessRequest) -> None:
        await self._write("grant", lambda: self.opened.add(request.external_id))

    async def revoke_access(self, request: AccessRequest) -> None:
        await self._write("revoke", lambda: self.opened.discard(request.external_id))

    async def _write(self, name: str, act: Callable[[], None]) -> None:
        _outside_of_units()
        self.calls.append(name)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        fault = self.faults.popleft() if self.faults else None
        if fault is None or self.is_lossy:
            act()
        if fault is not None:
            raise fault

    async def verify_access(self, request: AccessRequest) -> Access:
        _outside_of_units()
        self.calls.append("verify")
        return Access.OPEN if request.external_id in self.opened else Access.CLOSED

    async def launch_url(self, request: AccessRequest) -> str:
        return f"https://{self.slug}.example/{request.external_id}"

    async def aclose(self) -> None: ...


NOTHING = "0xnothing-"  # begins the key of a block in which nothing is


@dataclass(frozen=True, slots=True)
class Told:
    """What an event of the contract says."""

    name: str
    subject: str
    args: dict[str, str]
    contract: str = ""  # of another contract than the chain's own

    @property
    def bits(self) -> set[tuple[bytes, int]]:
        """Of a Revoked: each root and place that it ends."""
        root, word, mask = bytes.fromhex(self.subject[2:]), int(self.args["word"]), int(self.args["mask"])
        return {(root, word * 256 + place) for place in range(256) if mask >> place & 1}


ACCOUNTS = {KeyRole.GATEWAY: "0x" + "aa" * 20, KeyRole.REVOKER: "0x" + "ab" * 20, KeyRole.SELLER: "0x" + "ac" * 20}


@dataclass
class ScriptedChain:
    """A chain that keeps roots in memory: one block per sent transaction, in the order of nonces."""

    chain_id: int = 1337
    contract: str = "0x" + "c0" * 20
    accounts: dict[KeyRole, str] = field(default_factory=lambda: dict(ACCOUNTS))
    roots: dict[bytes, int] = field(default_factory=dict)
    purses: dict[str, int] = field(default_factory=dict)  # wei by account, an ether where nothing is said
    settled: dict[bytes, bool] = field(default_factory=dict)  # whether it is revoked, by order key
    revoked: set[tuple[bytes, int]] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)  # hashes, every send
    mined: dict[str, ChainReceipt] = field(default_factory=dict)
    signed: dict[str, Callable[[], None]] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)
    signers: dict[str, str] = field(default_factory=dict)  # accounts, by the hashes of what they have signed
    telling: dict[str, "Told"] = field(default_factory=dict)  # the event of a transaction, by its hash
    final: int = 0  # the newest block that is final
    branch: int = 0  # how often a block was taken back
    time_s: int = 1_800_000_000  # by its own clock
    behind: int = 0  # newest blocks of which its log does not tell yet
    is_away: bool = False
    holds_back: bool = False  # accept, and put into no block
    approved: set[tuple[str, bytes, bytes]] = field(default_factory=set)  # what contract wallets say they have signed

    async def connect(self) -> None:
        self._answer()

    def _answer(self) -> None:
        _outside_of_units()
        if self.is_away:
            raise ChainUnavailable("away")

    @property
    def sender(self) -> str:
        return self.accounts[KeyRole.GATEWAY]

    @property
    def senders(self) -> dict[str, str]:
        return {address: role for role, address in self.accounts.items()}

    def address_of(self, role: KeyRole) -> str:
        return self.accounts[role]

    async def mined_nonce(self, sender: str, depth: int = 1) -> int:
        self._answer()
        return self._used(sender, depth)

    async def now_s(self) -> int:
        self._answer()
        return self.time_s

    async def sign_anchor(self, root: bytes, count: int, data_hash: bytes, nonce: int) -> SignedTransaction:
        if root in self.roots:
            raise ChainRefused("execution reverted: anchored")
        args = {"count": str(count), "dataHash": f"0x{data_hash.hex()}", "kind": "1"}
        told = Told("Anchored", f"0x{root.hex()}", args)

        def take() -> None:
            assert root not in self.roots, "a root is anchored once"
            self.roots[root] = count

        return self._sign(f"anchor {root.hex()}", nonce, take, told)

    async def sign_revoke(self, contract: str, root: bytes, word: int, mask: int, nonce: int) -> SignedTransaction:
        assert contract == self.contract
        bits = {(root, word * 256 + place) for place in range(256) if mask >> place & 1}
        told = Told("Revoked", f"0x{root.hex()}", {"word": str(word), "mask": str(mask)})
        return self._sign(f"revoke {root.hex()} {word} {mask}", nonce, lambda: self.revoked.update(bits), told,
                          self.accounts[KeyRole.REVOKER])  # fmt: skip

    async def sign_settlement(
        self, order_key: bytes, right: SettledRight, deadline: int, nonce: int
    ) -> SignedTransaction:
        if order_key in self.settled:
            raise ChainRefused("execution reverted: settled")
        if not 0 <= deadline - self.time_s <= MAX_DEADLINE_S:
            raise ChainRefused("execution reverted: deadline")
        args = {"to": right.to, "tokenId": str(right.token_id), "expiry": str(right.expiry)}
        args["commitment"] = f"0x{right.commitment.hex()}"
        told = Told("Settled", f"0x{order_key.hex()}", args)
        return self._sign(f"settle {order_key.hex()}", nonce, lambda: self.settled.__setitem__(order_key, False), told)

    async def sign_revoke_order(self, contract: str, order_key: bytes, nonce: int) -> SignedTransaction:
        assert contract == self.contract
        told = Told("OrderRevoked", f"0x{order_key.hex()}", {})
        return self._sign(f"end {order_key.hex()}", nonce, lambda: self.settled.__setitem__(order_key, True), told,
                          self.accounts[KeyRole.REVOKER])  # fmt: skip

    async def settlement(self, order_key: bytes, contract: str = "") -> Settlement:
        return Settlement(int(order_key in self.settled), self.settled.get(order_key, False))

    async def sign_call(
        self, to: str, data: bytes, nonce: int, by: KeyRole = KeyRole.GATEWAY
    ) -> SignedTransaction:
        return self._sign(f"call {to} {data.hex()}", nonce, lambda: None, None, self.accounts[by])

    async def sign_replacement(self, raw: str, sender: str) -> SignedTransaction:
        before = raw.removeprefix("raw of ")
        told = self.telling.get(before)
        return self._sign(f"dearer {before}", self.nonces[before], self.signed[before], told, sender)

    async def sign_nothing(self, nonce: int, sender: str) -> SignedTransaction:
        return self._sign("nothing", nonce, lambda: None, None, sender)

    def _sign(
        self, what: str, nonce: int, act: Callable[[], None], told: "Told | None" = None, sender: str = ""
    ) -> SignedTransaction:
        self._answer()
        sender = sender or self.sender
        hash_ = "0x" + hashlib.sha256(f"{what} {nonce} {sender}".encode()).hexdigest()
        self.signers[hash_] = sender
        if told is not None:
            self.telling[hash_] = told
        self.signed[hash_], self.nonces[hash_] = act, nonce
        return SignedTransaction(hash_, f"raw of {hash_}", nonce, sender)

    async def send(self, transaction: SignedTransaction) -> None:
        self._answer()
        self.sent.append(transaction.hash)
        if transaction.hash in self.mined or self.holds_back:
            return
        assert transaction.nonce == self._used(transaction.sender), "a gap in the nonces holds up all behind it"
        self.signed[transaction.hash]()
        self.mined[transaction.hash] = self._mined(transaction.hash)

    async def balance_wei(self, account: str) -> int:
        self._answer()
        return self.purses.get(account, 10**18)

    async def gas_price_wei(self) -> int:
        self._answer()
        return 10**9

    async def receipt(self, hash_: str) -> ChainReceipt | None:
        self._answer()
        return self.mined.get(hash_)

    # ---- its log: one block for each of `mined` ------------------------------------------------------------------

    @property
    def known(self) -> KnownContract:
        """The contract, as the hub keeps it."""
        return KnownContract(self.chain_id, self.contract, "entitlement_hub", "c0de", 0, ASKED_AT_US)

    def anchored_by_others(self, root: bytes, count: int) -> None:
        """A block holds the root by a transaction that nobody here knows of."""
        self.roots[root] = count
        self.told_by_others("Anchored", f"0x{root.hex()}", {"count": str(count)})

    def told_by_others(self, name: str, subject: str, args: dict[str, str]) -> None:
        """A block holds this event of a transaction that nobody here knows of."""
        hash_ = f"0xof-others-{len(self.mined)}"
        self.telling[hash_] = Told(name, subject, args)
        self.mined[hash_] = self._mined(hash_)

    def fork(self) -> None:
        """The newest block is taken back, and an empty one comes in its place."""
        hash_, _ = self.mined.popitem()
        gone = self.telling.get(hash_)
        if gone is not None and gone.name == "Anchored":
            del self.roots[bytes.fromhex(gone.subject[2:])]
        elif gone is not None and gone.name == "Revoked":
            left = [told for hash_ in self.mined if (told := self.telling.get(hash_)) and told.name == "Revoked"]
            self.revoked -= gone.bits - {bit for told in left for bit in told.bits}
        self.branch += 1
        self.mined[f"{NOTHING}{self.branch}"] = self._mined(f"{NOTHING}{self.branch}")

    def _used(self, sender: str, depth: int = 1) -> int:
        """Nonces of this account that are in blocks, at least so deep."""
        deep = list(self.mined)[: max(len(self.mined) - depth + 1, 0)]
        return sum(self.signers.get(hash_) == sender for hash_ in deep)

    def _mined(self, hash_: str) -> ChainReceipt:
        block = len(self.mined) + 1
        return ChainReceipt(hash_, True, block, f"0xb{block}{'f' * self.branch}", 50_000, 10**9, 1)

    async def heads(self) -> Heads:
        self._answer()
        newest = len(self.mined) - self.behind
        return Heads(newest, newest, self.final)

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        self._answer()
        hashes = ["0xb0", *(receipt.block_hash for receipt in self.mined.values())]
        return [
            Block(self.chain_id, number, hashes[number], hashes[number - 1] if number else BEFORE_FIRST, ASKED_AT_US)
            if number < len(hashes)
            else None
            for number in numbers
        ]

    async def logs_of(self, blocks: Sequence[Block], contracts: Mapping[str, str]) -> list[ChainEvent]:
        self._answer()
        hashes = {block.hash for block in blocks}
        return [event for event in self._events() if event.block_hash in hashes and event.address in contracts]

    async def logs_between(self, first: int, last: int, contracts: Mapping[str, str]) -> list[ChainEvent]:
        self._answer()
        return [event for event in self._events() if first <= event.block_number <= last and event.address in contracts]

    async def costs(self, hashes: Sequence[str]) -> dict[str, Cost]:
        self._answer()
        return {hash_: Cost(self.mined[hash_].gas_used, self.mined[hash_].gas_price_wei) for hash_ in hashes}

    def _events(self) -> list[ChainEvent]:
        return [
            ChainEvent(
                self.chain_id,
                number,
                receipt.block_hash,
                0,
                hash_,
                told.contract or self.contract,
                told.name,
                told.subject,
                told.args,
            )
            for number, (hash_, receipt) in enumerate(self.mined.items(), 1)
            if receipt.is_ok and (told := self.telling.get(hash_)) is not None
        ]

    async def anchored(self, root: bytes, contract: str = "") -> AnchorState:
        self._answer()
        return AnchorState(self.roots.get(root, 0), 1, 0)

    async def is_revoked(self, root: bytes, index: int, contract: str = "") -> bool:
        self._answer()
        return (root, index) in self.revoked

    def claim_call(self, claim: LeafClaim) -> str | None:
        return f"0xclaim{claim.root.hex()}"

    async def approves(self, account: str, digest: bytes, signature: bytes) -> bool:
        self._answer()
        return (account, digest, signature) in self.approved

    async def verify(self, claim: LeafClaim) -> bool:
        raise NotImplementedError

    async def verify_many(self, claims: tuple[LeafClaim, ...]) -> tuple[bool, ...]:
        raise NotImplementedError

    async def aclose(self) -> None: ...


DELIVERED = Sent(SentOutcome.DELIVERED, 7, 204)
REFUSED = Sent(SentOutcome.REFUSED, 9, 500, "no")


@dataclass(slots=True)
class Post:
    """What a receiver got."""

    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class ScriptedSender:
    """A way out that answers what `says` holds, then `otherwise`; a function is asked with the post in hand."""

    says: "deque[Sent | Callable[[Post], Sent | Awaitable[Sent]]]" = field(default_factory=deque)
    otherwise: Sent = DELIVERED
    refusal: str | None = None
    posts: list[Post] = field(default_factory=list)

    async def refuses(self, url: str) -> str | None:
        assert running_unit.get() is None
        return self.refusal

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        assert running_unit.get() is None
        got = Post(url, dict(headers), body)
        self.posts.append(got)
        answer = self.says.popleft() if self.says else self.otherwise
        if isinstance(answer, Sent):
            return answer
        told = answer(got)
        return told if isinstance(told, Sent) else await told

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class ScriptedDocuments:
    """Documents whose body names the document and the event, or that fail for the events named."""

    failing: set[str] = field(default_factory=set)
    made: list[str] = field(default_factory=list)
    readers: list[Viewer] = field(default_factory=list)

    def kinds(self, document: str, viewer: Viewer) -> tuple[str, ...] | None:
        """`paid` asks for one kind, `bad` is refused, anything else asks for all."""
        if document == "bad":
            raise DocumentRefused("this is no document")
        return ("ORDER_PAID",) if document == "paid" else None

    async def body(self, hub: Hub, viewer: Viewer, document: str, event: Logged) -> str:
        assert running_unit.get() is None
        self.readers.append(viewer)
        if event.kind in self.failing:
            raise DocumentFailed("the document ended with an error")
        self.made.append(event.id)
        return f'{{"document":"{document}","made":{len(self.made)},"event":"{event.id}"}}'
