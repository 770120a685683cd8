"""The stablecoin channel over contracts that stand still until a test moves them: what it says of each standing."""

import json
from dataclasses import replace

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from hub.channels.connecting import ChannelSettingRefused
from hub.channels.stablecoin import DRIFT_S, StablecoinChannel
from hub.domain.checkout import offer_id
from hub.domain.money import Money
from hub.domain.payments import CaptureMethod, Outcome, Stage
from hub.ports import (
    ChainReceipt,
    ChainRefused,
    ChainUnavailable,
    NoticeRefused,
    Obstacle,
    Paid,
    PurchaseStanding,
    RawNotice,
    SigningRefused,
)
from tests.channels.benches import NOW_US, Clock, refund_of
from tests.channels.splitters import (
    BOUGHT,
    NOT_BOUGHT,
    PAID,
    PLACE,
    RECEIPT,
    TERMS,
    TREASURY,
    TREASURY_SPLIT,
    WALLET,
    Contracts,
    asked_by,
    made,
    said,
    shown,
)

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
        (SigningRefused("denied by our policy"), BOUGHT, (Outcome.REJECTED, Stage.NONE, "not_signed")),
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


# ---- the rest -------------------------------------------------------------------------------------------------------


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
