"""The stablecoin channel over contracts that stand still until a test moves them: what it says of each standing."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from hub.channels.connecting import ChannelSettingRefused, OnChain, Surroundings
from hub.channels.stablecoin import DRIFT_S, StablecoinChannel
from hub.channels.stablecoin_statement import LATE_US
from hub.domain.checkout import Part, Sale, Terms, offer_id, split_id
from hub.domain.money import Money
from hub.domain.payments import CaptureMethod, Outcome, PaymentAttempt, Result, Stage
from hub.domain.statements import LineKind, StatementLine
from hub.ports import (
    ChainReceipt,
    ChainRefused,
    ChainUnavailable,
    CheckoutPlace,
    Movement,
    NoticeRefused,
    Obstacle,
    Paid,
    PurchaseStanding,
    RawNotice,
    SplitterCall,
    StatementRefused,
)
from tests.channels.benches import NOW_US, Clock, attempt, refund_of

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


@pytest.fixture
def contracts() -> Contracts:
    return Contracts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel(contracts: Contracts, clock: Clock, tmp_path: Path) -> StablecoinChannel:
    payees = tmp_path / "payees.json"
    payees.write_text(json.dumps({"mer_1": "0x" + PAYEE.hex()}))
    return made(contracts, clock, token="test", treasury="0x" + TREASURY.hex(), payees=str(payees))


def made(
    contracts: Contracts, clock: Clock, sale: Sale | None = SALE, is_embedded: bool = True, **settings: str
) -> StablecoinChannel:
    async def sale_of(order_id: str) -> Sale | None:
        return sale

    async def names_of(order_key: str) -> tuple[str | None, str | None]:
        return NAMES.get(order_key, (None, None))

    on_chain = OnChain(contracts, sale_of, lambda key: keccak(text=key), names_of, is_embedded)
    around = Surroundings(httpx.AsyncClient(), clock, lambda: bytes(32), None, on_chain)
    return StablecoinChannel.connected(settings, around)


def asked_by(way: str = "permit", **fields: object) -> PaymentAttempt:
    return attempt("TB-7-1", channel="stablecoin", **({"method": f"{way}:{WALLET.address}"} | fields))


async def shown(channel: StablecoinChannel, way: str = "permit") -> PaymentAttempt:
    """An attempt whose buyer was told what to sign."""
    asked = asked_by(way)
    return replace(asked, channel_ref=(await channel.create(asked)).channel_ref)


def said(result: Result) -> tuple[Outcome, Stage, str | None]:
    return result.outcome, result.stage, result.code


# ---- asking for money ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "kind"), [("permit", "Permit"), ("authorization", "ReceiveWithAuthorization"), ("approve", None)]
)
async def test_create_tells_what_to_sign_and_to_send(channel: StablecoinChannel, way: str, kind: str | None) -> None:
    result = await channel.create(asked_by(way))

    assert said(result) == (Outcome.ACTION, Stage.NONE, None)
    assert result.next_action is not None
    assert result.next_action.kind == "typed_data"
    told = json.loads(result.next_action.data or "")
    assert (told["chainId"], told["amount"], told["payer"]) == ("4711", "12500000", WALLET.address)
    assert told["orderKey"] == result.channel_ref
    deadline = asked_by().expires_at_us // 10**6
    assert (told["deadline"], result.next_action.expires_at_us) == (str(deadline), deadline * 10**6)
    if kind is None:
        assert told["sign"] is None
        assert [one["appends"] for one in told["transactions"]] == [[], []]
    else:
        assert told["sign"]["primaryType"] == kind
        assert told["sign"]["message"]["value"] == "12500000"
        WALLET.sign_typed_data(full_message=told["sign"])
        assert [one["appends"] for one in told["transactions"]] == [["v", "r", "s"]]


async def test_asking_again_says_the_same_and_sends_nothing(channel: StablecoinChannel, contracts: Contracts) -> None:
    first, again = [await channel.create(asked_by(calls=calls)) for calls in (1, 2)]

    assert first == again
    assert contracts.carried == []


async def test_each_attempt_and_each_wallet_has_a_key_of_its_own(channel: StablecoinChannel) -> None:
    other = Account.from_key(keccak(b"another wallet"))
    asked = [
        asked_by(),
        replace(asked_by(), key="TB-7-2"),
        replace(asked_by(), method=f"permit:{other.address}"),
        replace(asked_by(), expires_at_us=asked_by().expires_at_us + 10**6),
    ]
    assert len({(await channel.create(one)).channel_ref for one in asked}) == len(asked)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": None}, "wallet_needed"),
        ({"method": "permit:0x12"}, "wallet_needed"),
        ({"capture_method": CaptureMethod.MANUAL}, "hold_unsupported"),
        ({"amount": Money(1250, "EUR")}, "amount_not_taken"),
        ({"amount": Money(0, "USD")}, "amount_not_taken"),
    ],
)
async def test_what_cannot_be_is_rejected_without_a_look(
    channel: StablecoinChannel, contracts: Contracts, fields: dict[str, object], code: str
) -> None:
    contracts.away = True
    assert said(await channel.create(asked_by(**fields))) == (Outcome.REJECTED, Stage.NONE, code)


async def test_a_payee_without_address_cannot_be_sold_for(contracts: Contracts, clock: Clock) -> None:
    channel = made(contracts, clock, token="0x" + "22" * 20)
    assert said(await channel.create(asked_by()))[2] == "payee_without_address"


async def test_an_order_that_nobody_knows_is_rejected(contracts: Contracts, clock: Clock) -> None:
    channel = made(contracts, clock, None, token="test", treasury="0x" + TREASURY.hex())
    assert said(await channel.create(asked_by()))[2] == "unknown_order"


async def test_an_amount_that_the_token_cannot_hold_is_rejected(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    contracts.place_ = replace(PLACE, decimals=1)
    assert said(await channel.create(asked_by(amount=Money(1_255, "USD"))))[2] == "amount_not_taken"


async def test_a_token_without_signatures_takes_approvals_only(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    contracts.place_ = replace(PLACE, has_signatures=False)
    assert said(await channel.create(asked_by()))[2] == "token_takes_approvals_only"
    assert (await channel.create(asked_by("approve"))).outcome is Outcome.ACTION


@pytest.mark.parametrize(
    ("obstacle", "outcome", "code"),
    [
        (Obstacle.PAUSED, Outcome.NOT_SENT, "paused"),
        (Obstacle.TOKEN, Outcome.REJECTED, "token_not_taken"),
        (Obstacle.ORDER, Outcome.REJECTED, "order_key_taken"),
    ],
)
async def test_what_the_contracts_would_refuse_is_said_before_the_buyer_signs(
    channel: StablecoinChannel, contracts: Contracts, obstacle: Obstacle, outcome: Outcome, code: str
) -> None:
    asked = await shown(channel)
    contracts.obstacle_ = obstacle
    result = await channel.create(asked_by())
    assert (said(result), result.next_action) == ((outcome, Stage.NONE, code), None)
    result = await channel.query(asked)
    assert (said(result), result.next_action) == ((Outcome.ACTION, Stage.NONE, None), None), "one that was shown waits"


async def test_an_order_key_that_our_own_purchase_has_taken_is_no_refusal(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    contracts.obstacle_, contracts.standing_, contracts.paid_ = Obstacle.ORDER, BOUGHT, PAID
    assert said(await channel.create(asked_by())) == (Outcome.DONE, Stage.CHARGED, None)


async def test_an_offer_on_its_way_and_a_chain_that_is_away_were_not_sent(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    contracts.open_ = set()
    assert said(await channel.create(asked_by())) == (Outcome.NOT_SENT, Stage.NONE, "offer_not_open_yet")
    contracts.away = True
    assert said(await channel.create(asked_by())) == (Outcome.NOT_SENT, Stage.NONE, "chain_unavailable")


# ---- what became of it -----------------------------------------------------------------------------------------------


async def test_an_unpaid_order_is_still_to_be_paid_and_says_how(channel: StablecoinChannel) -> None:
    asked = await shown(channel)
    assert await channel.query(asked) == await channel.create(asked)


async def test_an_order_whose_answer_was_lost_says_what_to_do(channel: StablecoinChannel) -> None:
    assert (await channel.query(asked_by())).next_action == (await channel.create(asked_by())).next_action


async def test_a_closed_offer_leaves_a_shown_order_as_it_was(channel: StablecoinChannel, contracts: Contracts) -> None:
    asked = await shown(channel)
    contracts.open_ = set()
    result = await channel.query(asked)
    assert (said(result), result.next_action) == ((Outcome.ACTION, Stage.NONE, None), None)


async def test_a_purchase_is_pending_until_it_is_deep_and_payable_again_if_it_is_taken_back(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    asked = await shown(channel)
    contracts.paid_ = PAID
    contracts.standing_ = replace(BOUGHT, is_confirmed=False)
    assert said(await channel.query(asked)) == (Outcome.PENDING, Stage.NONE, None)

    contracts.standing_ = NOT_BOUGHT  # a reorganisation
    assert said(await channel.query(asked)) == (Outcome.ACTION, Stage.NONE, None)

    contracts.standing_ = BOUGHT
    result = await channel.query(asked)
    assert said(result) == (Outcome.DONE, Stage.CHARGED, None)
    assert (result.amount, result.movement_ref) == (Money(1250, "USD"), asked.channel_ref)
    assert result.provider_at_us == BOUGHT.bought_at * 10**6  # type: ignore[operator]  # it is set above
    assert contracts.asked[-1].hex() == (asked.channel_ref or "")[2:]


@pytest.mark.parametrize("price", [12_490_000, 12_510_000])
async def test_what_was_really_paid_is_what_is_said(
    channel: StablecoinChannel, contracts: Contracts, price: int
) -> None:
    asked = await shown(channel)
    contracts.standing_, contracts.paid_ = BOUGHT, replace(PAID, price=price)
    assert (await channel.query(asked)).amount == Money(price // 10**4, "USD")


@pytest.mark.parametrize("paid", [None, replace(PAID, token=bytes(20)), replace(PAID, price=12_500_001)])
async def test_money_that_we_cannot_name_is_for_a_person(
    channel: StablecoinChannel, contracts: Contracts, paid: Paid | None
) -> None:
    asked = await shown(channel)
    contracts.standing_, contracts.paid_ = BOUGHT, paid
    assert said(await channel.query(asked)) == (Outcome.UNKNOWN, Stage.NONE, "paid_otherwise")


@pytest.mark.parametrize("call", ["query", "void"])
async def test_what_the_chain_has_passed_by_is_over(
    channel: StablecoinChannel, contracts: Contracts, clock: Clock, call: str
) -> None:
    asked = await shown(channel)
    deadline = asked.expires_at_us // 10**6
    looked = channel.query if call == "query" else channel.void
    contracts.standing_ = replace(NOT_BOUGHT, confirmed_at=deadline)
    clock.at_us = (deadline + DRIFT_S) * 10**6
    before = await looked(asked)
    assert before.outcome is (Outcome.ACTION if call == "query" else Outcome.PENDING)

    contracts.standing_ = replace(NOT_BOUGHT, confirmed_at=deadline + 1)
    assert said(await looked(asked)) == (Outcome.DONE, Stage.VOIDED, None)
    contracts.standing_ = NOT_BOUGHT
    clock.at_us = (deadline + DRIFT_S + 1) * 10**6  # a chain on which nothing happens
    assert said(await looked(asked)) == (Outcome.DONE, Stage.VOIDED, None)


@pytest.mark.parametrize("call", ["query", "void"])
async def test_elsewhere_only_the_chains_own_time_ends_an_order(contracts: Contracts, clock: Clock, call: str) -> None:
    channel = made(contracts, clock, is_embedded=False, token="0x" + "22" * 20, treasury="0x" + TREASURY.hex())
    contracts.place_ = replace(PLACE, token=bytes([0x22]) * 20)
    contracts.open_ = {offer_id(replace(TERMS, token=contracts.place_.token, split_id=TREASURY_SPLIT), keccak)}
    asked = await shown(channel)
    deadline = asked.expires_at_us // 10**6
    looked = channel.query if call == "query" else channel.void
    contracts.standing_ = replace(NOT_BOUGHT, confirmed_at=deadline)  # the node lags: it may have been bought since
    clock.at_us = (deadline + 86_400) * 10**6
    assert (await looked(asked)).outcome is (Outcome.ACTION if call == "query" else Outcome.PENDING)

    contracts.standing_ = replace(NOT_BOUGHT, confirmed_at=deadline + 1)
    assert said(await looked(asked)) == (Outcome.DONE, Stage.VOIDED, None)


async def test_void_after_the_money_says_charged(channel: StablecoinChannel, contracts: Contracts) -> None:
    asked = await shown(channel)
    contracts.standing_, contracts.paid_ = BOUGHT, PAID
    assert said(await channel.void(asked)) == (Outcome.DONE, Stage.CHARGED, None)


async def test_a_chain_that_is_away_says_nothing(channel: StablecoinChannel, contracts: Contracts) -> None:
    asked = await shown(channel)
    contracts.away = True
    whole = refund_of(asked, 1250)
    answers = [
        await channel.query(asked),
        await channel.void(asked),
        await channel.refund(asked, whole),
        await channel.query_refund(asked, whole),
    ]
    assert [said(one) for one in answers] == [(Outcome.NOT_SENT, Stage.NONE, "chain_unavailable")] * 4
    assert contracts.carried == []
    assert not (await channel.check())[0].is_good


# ---- giving back -----------------------------------------------------------------------------------------------------

GIVEN_BACK = replace(BOUGHT, is_refunded=True, is_refund_confirmed=True)


async def test_a_refund_is_one_call_under_one_purpose(channel: StablecoinChannel, contracts: Contracts) -> None:
    asked = await shown(channel)
    contracts.standing_, contracts.paid_, contracts.receipt = BOUGHT, PAID, RECEIPT
    contracts.after = GIVEN_BACK
    whole = refund_of(asked, 1250)

    first, again = [await channel.refund(asked, whole) for _ in range(2)]

    assert said(first) == said(again) == (Outcome.DONE, Stage.REFUNDED, None)
    assert (first.amount, first.movement_ref) == (whole.amount, again.movement_ref)
    assert [call.purpose for call in contracts.carried] == [f"refund:{(asked.channel_ref or '')[2:]}"]
    assert said(await channel.query_refund(asked, whole)) == said(first)


@pytest.mark.parametrize(
    ("receipt", "after", "expected"),
    [
        (None, BOUGHT, (Outcome.PENDING, Stage.NONE, None)),
        (RECEIPT, replace(GIVEN_BACK, is_refund_confirmed=False), (Outcome.PENDING, Stage.NONE, None)),
        (replace(RECEIPT, is_ok=False), BOUGHT, (Outcome.REJECTED, Stage.NONE, "reverted")),
        (ChainRefused("allowance"), BOUGHT, (Outcome.REJECTED, Stage.NONE, "refused: allowance")),
        (ChainUnavailable("away"), BOUGHT, (Outcome.UNKNOWN, Stage.NONE, "chain_unavailable")),
        (ChainRefused("it is refunded"), GIVEN_BACK, (Outcome.DONE, Stage.REFUNDED, None)),
    ],
)
async def test_a_refund_on_its_way_is_as_far_as_its_transaction(
    channel: StablecoinChannel,
    contracts: Contracts,
    receipt: ChainReceipt | Exception | None,
    after: PurchaseStanding,
    expected: tuple[Outcome, Stage, str | None],
) -> None:
    asked = await shown(channel)
    contracts.standing_, contracts.paid_ = BOUGHT, PAID
    contracts.receipt, contracts.after = receipt, after
    assert said(await channel.refund(asked, refund_of(asked, 1250))) == expected


async def test_asking_about_a_refund_that_is_not_given_back_carries_it_out_again(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    asked = await shown(channel)
    contracts.standing_, contracts.paid_ = BOUGHT, PAID
    assert said(await channel.query_refund(asked, refund_of(asked, 1250))) == (Outcome.PENDING, Stage.NONE, None)
    contracts.receipt = ChainRefused("allowance")
    assert said(await channel.query_refund(asked, refund_of(asked, 1250))) == (
        Outcome.DECLINED, Stage.NONE, "refused: allowance"
    )  # fmt: skip
    assert [call.purpose for call in contracts.carried] == [f"refund:{(asked.channel_ref or '')[2:]}"] * 2


async def test_part_of_a_price_and_an_unpaid_price_are_not_given_back(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    asked = await shown(channel)
    assert said(await channel.refund(asked, refund_of(asked, 30)))[2] == "whole_only"
    assert said(await channel.refund(asked, refund_of(asked, 1250)))[2] == "not_charged"
    assert said(await channel.query_refund(asked, refund_of(asked, 1250))) == (Outcome.DONE, Stage.NONE, None)
    assert contracts.carried == []


# ---- what is on sale, and the rest -----------------------------------------------------------------------------------


async def test_what_is_sold_and_not_open_is_put_on_sale_and_its_split_before_it(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    dear, odd = (replace(SALE, price=Money(minor, "USD")) for minor in (9_900, 4_200))
    foreign = replace(SALE, price=Money(9_900, "CNY"))
    others = replace(odd, shares=((None, 10_000),))
    told = {OFFER}

    splits, offers = await channel.differences([SALE, dear, foreign, dear, others], told, [])

    assert {call.purpose for call in splits} == {f"split:{one.hex()}" for one in (TERMS.split_id, TREASURY_SPLIT)}
    named = [offer_named(9_900), offer_named(4_200, TREASURY_SPLIT)]
    assert [call.purpose for call in offers] == [f"offer:{one.hex()}" for one in sorted(named)]

    contracts.splits = {TERMS.split_id, TREASURY_SPLIT}
    contracts.open_ |= {named[0]}  # which the log does not tell yet
    [[only]] = await channel.differences([SALE, dear, foreign, dear, others], told, [])
    assert only.purpose == f"offer:{named[1].hex()}"


async def test_what_nothing_sells_is_taken_off_unless_a_shown_order_waits_for_it(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    asked = await shown(channel)
    dear = offer_named(9_900)
    contracts.open_ = {OFFER, dear}
    contracts.splits = {TERMS.split_id}
    closing = [f"close:{one.hex()}" for one in sorted((OFFER, dear))]

    [calls] = await channel.differences([], {OFFER, dear}, [])
    assert [call.purpose for call in calls] == closing
    [calls] = await channel.differences([], {OFFER, dear}, [asked])
    assert [call.purpose for call in calls] == [f"close:{dear.hex()}"]
    [calls] = await channel.differences([SALE], {OFFER, dear}, [asked, replace(asked, channel_ref=None)])
    assert [call.purpose for call in calls] == [f"close:{dear.hex()}"]
    other = replace(asked, key="TB-7-2")  # its order key is another one's
    [calls] = await channel.differences([], {OFFER, dear}, [other])
    assert [call.purpose for call in calls] == closing
    contracts.open_ = set()  # closed by now, which the log does not tell yet
    assert await channel.differences([], {OFFER, dear}, []) == []


async def test_a_payees_new_address_is_another_offer_and_a_shown_order_keeps_the_old_one(
    contracts: Contracts, clock: Clock
) -> None:
    before = made(contracts, clock, token="test", treasury="0x" + TREASURY.hex())
    old = offer_named(1_250, TREASURY_SPLIT)
    contracts.open_ = {old}
    asked = await shown(before)
    after = made(contracts, clock, token="test", treasury="0x" + PAYEE.hex())

    splits, offers = await after.differences([SALE], {old}, [asked])
    assert [call.purpose.partition(":")[0] for call in (*splits, *offers)] == ["split", "offer"]
    _, offers = await after.differences([SALE], {old}, [])
    assert [call.purpose.partition(":")[0] for call in offers] == ["offer", "close"]


def offer_named(price_minor: int, split: bytes = TERMS.split_id) -> bytes:
    return offer_id(replace(TERMS, price=price_minor * 10**4, split_id=split), keccak)


def moving(number: int, key: bytes, price: int = 12_500_000, **fields: object) -> Movement:
    made = Movement(f"0xt:{number}", NOW_US, key, PLACE.token, price, is_refund=False, raw="{}")
    return replace(made, **fields)  # type: ignore[arg-type]  # its own fields by name


async def test_a_statement_is_the_days_purchases_and_refunds_in_our_token(
    channel: StablecoinChannel, contracts: Contracts
) -> None:
    contracts.moved = [
        moving(1, KEYS[0]), moving(2, KEYS[1], 990_000), moving(3, KEYS[0], is_refund=True),
        moving(4, KEYS[0], token=bytes([9]) * 20), moving(5, KEYS[0], at_us=NOW_US + 86_400 * 10**6),
    ]  # fmt: skip
    ours, theirs = (f"0x{key.hex()}" for key in KEYS)

    def line(n: int, kind: LineKind, ref: str | None, key: str, refund: str | None, minor: int) -> StatementLine:
        return StatementLine("stablecoin", f"0xt:{n}", kind, ref, key, refund, minor, 0, minor, "USD", NOW_US, "{}")

    assert [one async for one in channel.statement(DAY)] == [
        line(1, LineKind.PAYMENT, "TB-7-1", ours, None, 1_250),
        line(2, LineKind.PAYMENT, None, theirs, None, 99),
        line(3, LineKind.REFUND, "TB-7-1", ours, "TB-7-1-R1", -1_250),
    ]
    assert [one.line_id async for one in channel.statement(DAY + timedelta(days=1))] == ["0xt:5"]
    assert channel.capabilities.has_statement


async def test_a_day_that_is_not_final_has_no_statement_but_by_the_clock_of_a_chain_of_our_own(
    channel: StablecoinChannel, contracts: Contracts, clock: Clock
) -> None:
    contracts.is_day_final = False
    foreign = made(contracts, clock, is_embedded=False, token="0x" + "22" * 20)
    midnight_us = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp() + 86_400) * 10**6
    for now_us, refused in ((midnight_us + LATE_US - 1, (channel, foreign)), (midnight_us + LATE_US, (foreign,))):
        clock.at_us = now_us
        for one in refused:
            with pytest.raises(StatementRefused, match="not final yet"):
                await anext(one.statement(DAY))
    assert [line async for line in channel.statement(DAY)] == []


@pytest.mark.parametrize("fault", ["away", "inexact"])
async def test_a_statement_that_cannot_be_had_whole_is_refused(
    channel: StablecoinChannel, contracts: Contracts, fault: str
) -> None:
    contracts.away = fault == "away"
    contracts.moved = [moving(1, KEYS[0], 12_500_001)]
    with pytest.raises(StatementRefused):
        await anext(channel.statement(DAY))


async def test_it_holds_and_tells_nothing_by_itself(channel: StablecoinChannel) -> None:
    asked = await shown(channel)
    assert said(await channel.capture(asked, asked.amount))[2] == "capture_unsupported"
    with pytest.raises(NoticeRefused):
        channel.verify_notice(RawNotice({}, b"{}"), NOW_US)
    assert all(finding.is_good for finding in await channel.check())


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, "token"),
        ({"token": "test", "secret": "x"}, "secret"),
        ({"token": "test", "currency": "XXX"}, "currency"),
        ({"token": "test", "treasury": "0x12"}, "treasury"),
        ({"token": "test", "payees": "/nowhere.json"}, "payees"),
    ],
)
def test_a_wrong_setting_is_named(contracts: Contracts, clock: Clock, settings: dict[str, str], refused: str) -> None:
    with pytest.raises(ChannelSettingRefused) as complaint:
        made(contracts, clock, **settings)
    assert complaint.value.setting == refused


def test_money_of_nobody_is_for_tests_only(contracts: Contracts, clock: Clock) -> None:
    assert made(contracts, clock, token="test").capabilities.is_test_only
    assert not made(contracts, clock, token="0x" + "22" * 20).capabilities.is_test_only
