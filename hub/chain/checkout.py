"""The Checkout port over JSON-RPC: CheckoutSplitter and its token, read at the head and as deep as counts."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Protocol

from eth_utils.address import to_checksum_address

from contracts import abi
from contracts.typed_data import Domain
from hub.chain import splitter_calls as calls
from hub.chain.answers import granted, member_of, number_in, octets_in
from hub.chain.blocks import FINAL_WITHOUT_TAG, JsonRpcChainLog
from hub.chain.calls import said
from hub.chain.movements import movements
from hub.chain.newest_log import Log, newest_log
from hub.chain.rpc import Answer, NodeSaidNo, Question
from hub.chain.stands import Stand
from hub.domain.checkout import Part, Terms
from hub.domain.contracts import CHECKOUT_SPLITTER, ENTITLEMENT_HUB, TEST_USD
from hub.ports import (
    ChainReceipt,
    ChainUnavailable,
    CheckoutPlace,
    Movement,
    Obstacle,
    Paid,
    PurchaseStanding,
    SplitterCall,
)

TAGS: Final = ("safe", "finalized")  # instead of a number of confirmations
NOT_SETTLED: Final = (0, False, False)
VERSION_WITHOUT_ONE: Final = "1"  # of a token that has no version()

CarryOut = Callable[[str, SplitterCall], Awaitable[ChainReceipt | None]]  # contract, call


class Node(Protocol):
    """A node that was found to be of the right chain."""

    @property
    def chain_id(self) -> int: ...
    async def look_up(self, *questions: Question) -> list[Answer]: ...


class JsonRpcCheckout:
    """See `hub.ports.Checkout`. `confirmations` counts a transaction's own block as one; or it is one of TAGS, by which
    the node names its newest block that counts."""

    def __init__(self, node: Node, confirmations: int | str) -> None:
        self._node = node
        self.confirmations = confirmations
        self._at: Stand | None = None
        self._former: list[JsonRpcCheckout] = []
        self._place: CheckoutPlace | None = None
        self._carry_out: CarryOut | None = None

    @property
    def depth(self) -> int:
        """How many blocks deep a call that failed has failed for good."""
        return self.confirmations if isinstance(self.confirmations, int) else FINAL_WITHOUT_TAG

    def use(self, stand: Stand, former: Sequence[Stand] = ()) -> None:
        """Ask these contracts from now on, and those of `former` for what was bought there."""
        self._at, self._place = stand, None
        self._former = [JsonRpcCheckout(self._node, self.confirmations) for _ in former]
        for one, its in zip(self._former, former, strict=True):
            one.use(its)
            one.send_by(self._sent)

    @property
    def former(self) -> Sequence["JsonRpcCheckout"]:
        return self._former

    def send_by(self, carry_out: CarryOut) -> None:
        """How calls get into blocks: the hub's own sender."""
        self._carry_out = carry_out

    async def place(self) -> CheckoutPlace:
        if self._place is None:
            self._place = await self._looked_at()
        return self._place

    async def open_among(self, offer_ids: Collection[bytes]) -> set[bytes]:
        return await self._those("isOpen", offer_ids)

    async def set_among(self, split_ids: Collection[bytes]) -> set[bytes]:
        return await self._those("isSplit", split_ids)

    async def obstacle(self, offer_id: bytes, order_key: bytes) -> Obstacle | None:
        hub, splitter = (self._stand.hub, ENTITLEMENT_HUB), (self.splitter, CHECKOUT_SPLITTER)
        hub_stops, stops, is_taken, is_open, settled = await self._views(
            (*hub, "paused", ()),
            (*splitter, "paused", ()),
            (*splitter, "isTaken", (self._stand.token,)),
            (*splitter, "isOpen", (offer_id,)),
            (*hub, "settled", (order_key,)),
        )
        if hub_stops or stops:
            return Obstacle.PAUSED
        if not is_taken:
            return Obstacle.TOKEN
        if not is_open:
            return Obstacle.OFFER
        return None if settled == NOT_SETTLED else Obstacle.ORDER

    async def permit_nonce(self, payer: bytes) -> int:
        (said,) = await self._views((self._stand.token, TEST_USD, "nonces", (to_checksum_address(payer),)))
        return _integer(said)

    async def standing(self, order_key: bytes) -> PurchaseStanding:
        head, deep = await self.heads()
        settled = (self._stand.hub, ENTITLEMENT_HUB, "settled", (order_key,))
        refunded = (self.splitter, CHECKOUT_SPLITTER, "isRefunded", (order_key,))
        now = await self._views(settled, refunded, block=hex(head))
        then = now if deep == head else await self._views_before(settled, refunded, block=deep)
        (confirmed,) = await self._node.look_up(_block(hex(deep)))
        bought_at, was_bought_at = _bought_at(now[0]), _bought_at(then[0])
        return PurchaseStanding(
            bought_at=bought_at,
            # In another branch it may have been bought in another block, which is as young as that.
            is_confirmed=bought_at is not None and bought_at == was_bought_at,
            is_refunded=now[1] is True,
            is_refund_confirmed=now[1] is True and then[1] is True,
            confirmed_at=number_in(member_of(confirmed, "timestamp")),
        )

    async def heads(self) -> tuple[int, int]:
        """The newest block, and the newest that is so deep that it counts."""
        if isinstance(self.confirmations, int):
            (latest,) = await self._node.look_up(_block("latest"))
            head = number_in(member_of(latest, "number"))
            return head, max(head - self.confirmations + 1, 0)
        latest, tagged = await self._node.look_up(_block("latest"), _block(self.confirmations))
        if isinstance(tagged, NodeSaidNo) or tagged is None:
            raise ChainUnavailable(f"the node calls no block {self.confirmations}")
        head = number_in(member_of(latest, "number"))
        return head, min(number_in(member_of(tagged, "number")), head)  # the two answers may be of different moments

    async def paid(self, order_key: bytes) -> Paid | None:
        log = await self._newest_log(calls.PURCHASED, order_key)
        return None if log is None else calls.paid_in(*log)

    async def movements(self, from_us: int, until_us: int, *, is_over: bool) -> Sequence[Movement]:
        log = JsonRpcChainLog(self._node, 1)
        stand = self._stand
        return await movements(log, stand.splitter, stand.from_block, from_us, until_us, is_over=is_over)

    async def terms(self, offer_id: bytes) -> tuple[Terms, tuple[Part, ...]] | None:
        offer = await self._newest_log(calls.OFFER_SET, offer_id)
        if offer is None:
            return None
        terms = calls.terms_in(*offer)
        split = await self._newest_log(calls.SPLIT_SET, terms.split_id)
        return None if split is None else (terms, calls.parts_in(*split))

    async def carry_out(self, call: SplitterCall) -> ChainReceipt | None:
        return await self._sent(self.splitter, call)

    @property
    def splitter(self) -> str:
        return self._stand.splitter

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _stand(self) -> Stand:
        if self._at is None:
            raise ChainUnavailable("the splitter is not deployed yet")
        return self._at

    async def _sent(self, splitter: str, call: SplitterCall) -> ChainReceipt | None:
        if self._carry_out is None:
            raise ChainUnavailable("nothing is sent from here")
        return await self._carry_out(splitter, call)

    async def _looked_at(self) -> CheckoutPlace:
        token, splitter = self._stand.token, self.splitter
        facts = ("name", "decimals", "version", "DOMAIN_SEPARATOR")
        answers = await self._node.look_up(*(self._view(token, TEST_USD, fact, ()) for fact in facts))
        name = str(said(TEST_USD, "name", granted(answers[0])))
        decimals = _integer(said(TEST_USD, "decimals", granted(answers[1])))
        version = _optional(answers[2], "version") or VERSION_WITHOUT_ONE
        address = bytes.fromhex(token[2:])
        wanted = Domain(name, str(version), self._node.chain_id, token).separator
        return CheckoutPlace(
            chain_id=self._node.chain_id,
            splitter=bytes.fromhex(splitter[2:]),
            token=address,
            token_name=name,
            token_version=str(version),
            decimals=decimals,
            has_signatures=_optional(answers[3], "DOMAIN_SEPARATOR") == wanted,
        )

    def _view(
        self, to: str, contract: str, function: str, arguments: tuple[object, ...], block: str = "latest"
    ) -> Question:
        data = abi.call(contract, function, *arguments)
        return Question("eth_call", ({"to": to, "data": "0x" + data.hex()}, block))

    async def _views(self, *asked: tuple[str, str, str, tuple[object, ...]], block: str = "latest") -> list[object]:
        questions = [self._view(*one, block=block) for one in asked]
        answers = await self._node.look_up(*questions)
        return [
            said(contract, function, granted(answer))
            for (_, contract, function, _), answer in zip(asked, answers, strict=True)
        ]

    async def _those(self, view: str, ids: Collection[bytes]) -> set[bytes]:
        """The ids of which a view of the splitter says yes."""
        asked = list(ids)
        said = await self._views(*((self.splitter, CHECKOUT_SPLITTER, view, (one,)) for one in asked))
        return {one for one, yes in zip(asked, said, strict=True) if yes is True}

    async def _views_before(self, *asked: tuple[str, str, str, tuple[object, ...]], block: int) -> list[object]:
        """Likewise, at a block that may be older than the contracts: then nothing was bought there."""
        if block < self._stand.from_block:
            return [None] * len(asked)
        return await self._views(*asked, block=hex(block))

    async def _newest_log(self, event: str, subject: bytes) -> Log | None:
        stand = self._stand
        return await newest_log(self._node, stand.splitter, stand.from_block, [calls.topic(event), subject])


def _block(name: str) -> Question:
    return Question("eth_getBlockByNumber", (name, False))


def _bought_at(settled: object) -> int | None:
    """Of what `settled` tells: only what this hub's splitters granted is bought."""
    if not isinstance(settled, tuple):
        return None
    at, is_by_minter, _ = settled
    return at if at and is_by_minter else None


def _optional(answer: Answer, function: str) -> object:
    """What a token may have, or not."""
    if isinstance(answer, NodeSaidNo):
        return None
    try:
        return abi.answer(TEST_USD, function, octets_in(answer))
    except abi.Misread:
        return None


def _integer(said: object) -> int:
    if not isinstance(said, int):
        raise ChainUnavailable("the token answered with something else than a number")
    return said
