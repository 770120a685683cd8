"""CheckoutSplitter and its token as a test moves them by hand, and a stablecoin channel over them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import httpx
from eth_account import Account
from eth_utils.crypto import keccak

from hub.channels.connecting import OnChain, Surroundings
from hub.channels.stablecoin import StablecoinChannel
from hub.domain.checkout import Part, Sale, Terms, offer_id, split_id
from hub.domain.money import Money
from hub.domain.payments import Outcome, PaymentAttempt, Result, Stage
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
from tests.channels.benches import NOW_US, Clock, attempt

WALLET = Account.from_key(keccak(b"a learner's wallet"))
PAYER = bytes.fromhex(WALLET.address[2:])
TREASURY, PAYEE = bytes([7]) * 20, bytes([8]) * 20
PLACE = CheckoutPlace(4_711, bytes([1]) * 20, bytes([2]) * 20, "Test USD", "1", 6, has_signatures=True)
TOKEN_ID = 9 << 160
SALE = Sale(TOKEN_ID, Money(1250, "USD"), (("mer_1", 9_000), (None, 1_000)))
PARTS = [Part(PAYEE, 9_000), Part(TREASURY, 1_000)]
TERMS = Terms(PLACE.token, 12_500_000, TOKEN_ID, 0, split_id(PARTS, keccak))
OFFER = offer_id(TERMS, keccak)
TREASURY_SPLIT = split_id([Part(TREASURY, 10_000)], keccak)  # where no payee has an address
NOT_BOUGHT = PurchaseStanding(None, False, False, False, NOW_US // 10**6)
BOUGHT = replace(NOT_BOUGHT, bought_at=NOW_US // 10**6, is_confirmed=True)
PAID = Paid(OFFER, PAYER, PLACE.token, TERMS.price)
RECEIPT = ChainReceipt("0x1", True, 7, "0x2", 1, 1, 1)
DAY = datetime.fromtimestamp(NOW_US / 10**6, UTC).date()
KEYS = [keccak(text=name) for name in ("ours", "theirs")]
NAMES = {f"0x{KEYS[0].hex()}": ("TB-7-1", "TB-7-1-R1")}


@dataclass
class Contracts:
    """What the chain says, by hand; `away` makes it say nothing."""

    place_: CheckoutPlace = PLACE
    open_: set[bytes] = field(default_factory=lambda: {OFFER})
    splits: set[bytes] = field(default_factory=set)
    obstacle_: Obstacle | None = None
    splitter: str = "0x" + PLACE.splitter.hex()
    standing_: PurchaseStanding = NOT_BOUGHT
    paid_: Paid | None = None
    receipt: ChainReceipt | Exception | None = None
    after: PurchaseStanding | None = None  # once a call was carried out
    away: bool = False
    moved: list[Movement] = field(default_factory=list)
    is_day_final: bool = True
    carried: list[SplitterCall] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    former: "Sequence[Contracts]" = ()

    async def place(self) -> CheckoutPlace:
        self._demand()
        return self.place_

    async def open_among(self, offers: Collection[bytes]) -> set[bytes]:
        self._demand()
        return self.open_ & set(offers)

    async def set_among(self, splits: Collection[bytes]) -> set[bytes]:
        self._demand()
        return self.splits & set(splits)

    async def obstacle(self, offer: bytes, order_key: bytes) -> Obstacle | None:
        self._demand()
        return self.obstacle_ or (None if offer in self.open_ else Obstacle.OFFER)

    async def permit_nonce(self, payer: bytes) -> int:
        self._demand()
        return 5

    async def standing(self, order_key: bytes) -> PurchaseStanding:
        self._demand()
        self.asked.append(order_key)
        return self.standing_

    async def paid(self, order_key: bytes) -> Paid | None:
        self._demand()
        return self.paid_

    async def terms(self, offer: bytes) -> tuple[Terms, tuple[Part, ...]] | None:
        self._demand()
        return (TERMS, tuple(PARTS)) if offer == OFFER else None

    async def movements(self, from_us: int, until_us: int, *, is_over: bool) -> Sequence[Movement]:
        self._demand()
        if not is_over and not self.is_day_final:
            raise ChainUnavailable("blocks of that time are not final yet")
        return [one for one in self.moved if from_us <= one.at_us < until_us]

    async def carry_out(self, call: SplitterCall) -> ChainReceipt | None:
        self.carried.append(call)
        self.standing_ = self.after or self.standing_
        if isinstance(self.receipt, Exception):
            raise self.receipt
        return self.receipt

    def _demand(self) -> None:
        if self.away:
            raise ChainUnavailable("the node does not answer")


def made(
    contracts: Contracts, clock: Clock, sale: Sale | None = SALE, is_embedded: bool = True, **settings: str
) -> StablecoinChannel:
    async def sale_of(order_id: str) -> Sale | None:
        return sale

    async def names_of(order_key: str) -> tuple[str | None, str | None]:
        return NAMES.get(order_key, (None, None))

    on_chain = OnChain(contracts, sale_of, lambda key: keccak(text=key), names_of, is_embedded)
    around = Surroundings(httpx.AsyncClient(verify=False), clock, lambda: bytes(32), None, on_chain)
    return StablecoinChannel.connected(settings, around)


def asked_by(way: str = "permit", **fields: object) -> PaymentAttempt:
    return attempt("TB-7-1", channel="stablecoin", **({"method": f"{way}:{WALLET.address}"} | fields))


async def shown(channel: StablecoinChannel, way: str = "permit") -> PaymentAttempt:
    """An attempt whose buyer was told what to sign."""
    asked = asked_by(way)
    return replace(asked, channel_ref=(await channel.create(asked)).channel_ref)


def offer_to_treasury() -> bytes:
    """The sale's offer where no payee has an address."""
    return offer_id(replace(TERMS, split_id=TREASURY_SPLIT), keccak)


def said(result: Result) -> tuple[Outcome, Stage, str | None]:
    return result.outcome, result.stage, result.code
