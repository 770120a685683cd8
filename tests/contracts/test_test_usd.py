"""TestUSD: the surface that it shares with real coins, judged by what a wallet library signs."""

import pytest
from eth_utils import keccak

from tests.contracts.evm import CHAIN_ID, NOBODY, NOW, OWNER, STRANGER, Account, Reverted, fresh_account, fresh_hub
from tests.contracts.splitter import AUTHORIZATION, PERMIT, Contract, Json, Signature, deployed, signed

HALF_ORDER_TWICE = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NONCE = keccak(b"nonce")
END = NOW + 60


@pytest.fixture(scope="session")
def standing() -> tuple[Contract, Account]:
    evm = fresh_hub().evm
    coin = deployed(evm, "test_usd")
    holder = fresh_account(evm, 1)
    coin.send(STRANGER, "mint", holder.address, 1_000)
    return coin, holder


@pytest.fixture
def coin(standing: tuple[Contract, Account]) -> Contract:
    coin, _ = standing
    return coin.on(coin.evm.copy())


@pytest.fixture
def holder(standing: tuple[Contract, Account]) -> Account:
    return standing[1]


def permit(coin: Contract, holder: Account, **changes: object) -> Signature:
    message = {"owner": holder.address, "spender": STRANGER.address, "value": 700, "nonce": 0, "deadline": END}
    return signed(holder, coin, PERMIT, message | changes)


def authorization(coin: Contract, holder: Account, kind: str, **changes: object) -> Signature:
    message: Json = {
        "from": holder.address,
        "to": STRANGER.address,
        "value": 700,
        "validAfter": NOW - 1,
        "validBefore": END,
        "nonce": NONCE,
    }
    return signed(holder, coin, {kind: AUTHORIZATION}, message | changes)


def held(coin: Contract, account: Account) -> int:
    return int(coin.ask("balanceOf", account.address))


def test_it_has_six_decimals_and_its_supply_is_what_was_made(coin: Contract) -> None:
    assert [coin.ask(name) for name in ("name", "symbol", "decimals", "version")] == ["Test USD", "tUSD", 6, "1"]
    assert coin.ask("totalSupply") == 1_000


def test_transfers_move_what_is_there_and_no_more(coin: Contract, holder: Account) -> None:
    receipt = coin.send(holder, "transfer", STRANGER.address, 400)
    assert (held(coin, holder), held(coin, STRANGER)) == (600, 400)
    assert coin.logs(receipt, "Transfer") == [(hexed(holder), hexed(STRANGER), 400)]
    with pytest.raises(Reverted, match=r"^balance$"):
        coin.send(holder, "transfer", STRANGER.address, 601)
    for function in ("transfer", "mint"):
        with pytest.raises(Reverted, match=r"^to$"):
            coin.send(holder, function, NOBODY, 1)
    assert held(coin, holder) == 600


def test_a_spender_takes_what_is_allowed_and_no_more(coin: Contract, holder: Account) -> None:
    coin.send(holder, "approve", STRANGER.address, 500)
    coin.send(STRANGER, "transferFrom", holder.address, STRANGER.address, 300)
    with pytest.raises(Reverted, match=r"^allowance$"):
        coin.send(STRANGER, "transferFrom", holder.address, STRANGER.address, 201)
    assert coin.ask("allowance", holder.address, STRANGER.address) == 200
    assert held(coin, STRANGER) == 300


def test_an_allowance_without_bound_stays(coin: Contract, holder: Account) -> None:
    coin.send(holder, "approve", STRANGER.address, 2**256 - 1)
    coin.send(STRANGER, "transferFrom", holder.address, STRANGER.address, 300)
    assert coin.ask("allowance", holder.address, STRANGER.address) == 2**256 - 1


def test_a_permit_allows_once(coin: Contract, holder: Account) -> None:
    sent = (holder.address, STRANGER.address, 700, END, *permit(coin, holder))
    coin.send(OWNER, "permit", *sent)
    assert coin.ask("allowance", holder.address, STRANGER.address) == 700
    with pytest.raises(Reverted, match=r"^signature$"):
        coin.send(OWNER, "permit", *sent)


def test_a_permit_ends_after_its_deadline(coin: Contract, holder: Account) -> None:
    sent = (holder.address, STRANGER.address, 700, END, *permit(coin, holder))
    coin.evm.at(END + 1)
    with pytest.raises(Reverted, match=r"^late$"):
        coin.send(OWNER, "permit", *sent)
    coin.evm.at(END)
    coin.send(OWNER, "permit", *sent)
    assert coin.ask("allowance", holder.address, STRANGER.address) == 700


def test_a_twin_a_strangers_and_nobodys_signature_are_none(coin: Contract, holder: Account) -> None:
    v, r, s = permit(coin, holder)
    twin = (55 - v, r, (HALF_ORDER_TWICE - int.from_bytes(s, "big")).to_bytes(32, "big"))
    for signature in (twin, (v + 1 if v == 27 else 27, r, s), (0, r, s), permit(coin, holder, value=701)):
        with pytest.raises(Reverted, match=r"^signature$"):
            coin.send(OWNER, "permit", holder.address, STRANGER.address, 700, END, *signature)
    with pytest.raises(Reverted, match=r"^signer$"):
        coin.send(OWNER, "permit", NOBODY, STRANGER.address, 700, END, 27, bytes(32), bytes(32))
    assert coin.ask("allowance", holder.address, STRANGER.address) == 0


def test_an_authorization_moves_once(coin: Contract, holder: Account) -> None:
    said = authorization(coin, holder, "TransferWithAuthorization")
    sent = (holder.address, STRANGER.address, 700, NOW - 1, END, NONCE, *said)
    coin.send(OWNER, "transferWithAuthorization", *sent)
    assert (held(coin, holder), held(coin, STRANGER)) == (300, 700)
    assert coin.ask("authorizationState", holder.address, NONCE)
    with pytest.raises(Reverted, match=r"^used$"):
        coin.send(OWNER, "transferWithAuthorization", *sent)


def test_an_authorization_to_receive_is_the_receivers_to_send(coin: Contract, holder: Account) -> None:
    said = authorization(coin, holder, "ReceiveWithAuthorization")
    sent = (holder.address, STRANGER.address, 700, NOW - 1, END, NONCE, *said)
    with pytest.raises(Reverted, match=r"^receiver$"):
        coin.send(OWNER, "receiveWithAuthorization", *sent)
    with pytest.raises(Reverted, match=r"^signature$"):
        coin.send(OWNER, "transferWithAuthorization", *sent)
    coin.send(STRANGER, "receiveWithAuthorization", *sent)
    assert held(coin, STRANGER) == 700


@pytest.mark.parametrize(("edge", "beyond", "reason"), [(NOW, NOW - 1, "early"), (END - 1, END, "late")])
def test_an_authorization_counts_within_its_time(
    coin: Contract, holder: Account, edge: int, beyond: int, reason: str
) -> None:
    said = authorization(coin, holder, "TransferWithAuthorization")
    sent = (holder.address, STRANGER.address, 700, NOW - 1, END, NONCE, *said)
    coin.evm.at(beyond)
    with pytest.raises(Reverted, match=f"^{reason}$"):
        coin.send(OWNER, "transferWithAuthorization", *sent)
    coin.evm.at(edge)
    coin.send(OWNER, "transferWithAuthorization", *sent)
    assert held(coin, STRANGER) == 700


def test_a_canceled_authorization_counts_no_more(coin: Contract, holder: Account) -> None:
    kinds = {"CancelAuthorization": [("authorizer", "address"), ("nonce", "bytes32")]}
    cancel = signed(holder, coin, kinds, {"authorizer": holder.address, "nonce": NONCE})
    coin.send(OWNER, "cancelAuthorization", holder.address, NONCE, *cancel)
    with pytest.raises(Reverted, match=r"^used$"):
        coin.send(OWNER, "cancelAuthorization", holder.address, NONCE, *cancel)
    said = authorization(coin, holder, "TransferWithAuthorization")
    with pytest.raises(Reverted, match=r"^used$"):
        coin.send(OWNER, "transferWithAuthorization", holder.address, STRANGER.address, 700, NOW - 1, END, NONCE, *said)
    assert held(coin, holder) == 1_000


def test_a_signature_for_another_coin_or_chain_is_none(coin: Contract, holder: Account) -> None:
    twin = deployed(coin.evm, "test_usd")
    with pytest.raises(Reverted, match=r"^signature$"):
        coin.send(OWNER, "permit", holder.address, STRANGER.address, 700, END, *permit(twin, holder))
    assert twin.ask("DOMAIN_SEPARATOR") != coin.ask("DOMAIN_SEPARATOR")
    forked = coin.on(coin.evm.forked(CHAIN_ID + 1))
    assert forked.ask("DOMAIN_SEPARATOR") != coin.ask("DOMAIN_SEPARATOR")


def hexed(account: Account) -> str:
    return "0x" + account.address.hex()
