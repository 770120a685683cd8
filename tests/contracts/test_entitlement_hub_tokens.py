"""EntitlementHub as a soulbound ERC-1155: wallets that are contracts, and the token that stands for a right."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from eth_abi import encode
from eth_utils import keccak

from hub.domain import anchors
from hub.domain.anchors import NO_END
from tests.contracts.evm import (
    GATE,
    GUARD,
    JUDGE,
    NOW,
    OWNER,
    STRANGER,
    TILL,
    TOKEN,
    Hub,
    Reverted,
    anchored,
    as_arguments,
    calldata,
    claimed,
    event,
    result_of,
    right,
    settled,
    signed,
    verify_arguments,
)
from tests.contracts.holders import ALICE, BOB, NOTHING, burned, minted, of, purchase
from tests.contracts.receivers import (
    ACCEPT,
    COME_BACK,
    GREEDY,
    INSIST,
    NEEDY,
    REFUSE,
    WRONG,
    Receiver,
    furious,
    mute,
    terse,
)

# ---- wallets that are contracts --------------------------------------------------------------------------------------


def test_a_wallet_that_takes_tokens_sees_its_balance_in_the_hook(hub: Hub) -> None:
    receiver = Receiver(hub.evm)
    claimed(hub, anchored(hub, [right(0, to=receiver.address), right(1)]).proof(0))
    assert [receiver.seen(name) for name in ("calls", "balance_seen", "access_seen")] == [1, 1, 1]
    assert of(hub, receiver.address) == (True, NO_END, 1)


@pytest.mark.parametrize("mode", [REFUSE, WRONG, GREEDY], ids=["reverts", "answers nonsense", "burns all gas"])
def test_a_wallet_that_refuses_the_token_holds_the_right(hub: Hub, mode: int) -> None:
    receiver = Receiver(hub.evm, mode)
    proof = anchored(hub, [right(0, to=receiver.address), right(1)]).proof(0)
    receipt = claimed(hub, proof)
    assert receipt.logs[1:] == (minted(receiver.address), burned(receiver.address))
    assert hub.ask("held", receiver.address, TOKEN) == ((anchors.tag(proof.root), 0, NO_END, False),)
    assert of(hub, receiver.address) == (True, NO_END, 0)
    assert hub.ask("locked", receiver.address, TOKEN) == (False,)
    with pytest.raises(Reverted, match=r"^refused$"):
        hub.send(STRANGER, "mint", receiver.address, TOKEN)
    receiver.behave(ACCEPT)
    assert claimed(hub, proof).logs == ()
    assert hub.send(STRANGER, "mint", receiver.address, TOKEN).logs == (minted(receiver.address),)
    assert of(hub, receiver.address) == (True, NO_END, 1)
    with pytest.raises(Reverted, match=r"^right$"):
        hub.send(STRANGER, "mint", receiver.address, TOKEN)


def test_a_wallet_without_the_hook_holds_the_right(hub: Hub) -> None:
    wallet = mute(hub)
    settled(hub, result_of(1, wallet))
    assert of(hub, wallet) == (True, NO_END, 0)
    settled(hub, result_of(2, hub.address))
    assert of(hub, hub.address) == (True, NO_END, 0)


@pytest.mark.parametrize("wallet", [terse, furious])
def test_only_a_whole_word_that_is_returned_accepts(hub: Hub, wallet: Callable[[Hub], bytes]) -> None:
    address = wallet(hub)
    settled(hub, result_of(1, address))
    assert of(hub, address) == (True, NO_END, 0)


def test_settling_for_a_wallet_that_refuses_settles(hub: Hub) -> None:
    receiver = Receiver(hub.evm, REFUSE)
    settled(hub, result_of(1, receiver.address))
    hub.send(TILL, "grantPurchase", keccak(b"bought"), receiver.address, TOKEN + 1, NO_END, bytes(32))
    for token_id in (TOKEN, TOKEN + 1):
        assert of(hub, receiver.address, token_id) == (True, NO_END, 0)
    with pytest.raises(Reverted, match=r"^settled$"):
        settled(hub, result_of(1, receiver.address))


def test_a_right_refused_before_is_minted_with_its_renewal(hub: Hub) -> None:
    receiver = Receiver(hub.evm, REFUSE)
    settled(hub, result_of(1, receiver.address, expiry=NOW + 60))
    receiver.behave(ACCEPT)
    receipt = settled(hub, result_of(2, receiver.address))
    assert receipt.logs[1:] == (minted(receiver.address),)
    assert of(hub, receiver.address) == (True, NO_END, 1)


def test_what_has_ended_or_was_never_held_is_not_minted(hub: Hub) -> None:
    receiver = Receiver(hub.evm, REFUSE)
    settled(hub, result_of(1, receiver.address, expiry=NOW + 60))
    settled(hub, result_of(2, receiver.address, token_id=TOKEN + 1))
    hub.send(JUDGE, "revokeOrder", result_of(2, receiver.address).order_key)
    receiver.behave(ACCEPT)
    hub.evm.at(NOW + 60)
    for token_id in (TOKEN, TOKEN + 1, TOKEN + 2):
        with pytest.raises(Reverted, match=r"^right$"):
            hub.send(STRANGER, "mint", receiver.address, token_id)
    assert hub.send(STRANGER, "burnExpired", receiver.address, TOKEN).logs == ()  # the balance was 0 before
    assert hub.send(STRANGER, "burnRevoked", receiver.address, TOKEN + 1).logs == ()
    assert hub.ask("held", receiver.address, TOKEN) == NOTHING


def test_the_hook_cannot_come_back_for_more(hub: Hub) -> None:
    receiver = Receiver(hub.evm)
    proof = anchored(hub, [right(0, to=receiver.address), right(1)]).proof(0)
    other = result_of(1, receiver.address, token_id=TOKEN + 1)
    settled(hub, result_of(2, receiver.address, token_id=TOKEN + 2, expiry=NOW + 1))
    settled(hub, ended := result_of(3, receiver.address, token_id=TOKEN + 3))
    hub.send(JUDGE, "revokeOrder", ended.order_key)
    settled(hub, standing := result_of(4, receiver.address, token_id=TOKEN + 4))
    hub.evm.at(NOW + 1)
    for payload in (
        calldata("claim", *verify_arguments(proof)),
        calldata("settle", as_arguments(other), signed(hub, other)),
        calldata("claimSettled", standing.order_key, receiver.address, TOKEN + 4, NO_END),
        calldata("mint", receiver.address, TOKEN),
        calldata("burnExpired", receiver.address, TOKEN + 2),
        calldata("burnRevoked", receiver.address, TOKEN + 3),
    ):
        before = hub.evm.header
        receiver.behave(COME_BACK, payload)
        receipt = claimed(hub, proof)
        assert receiver.seen("came_back") == 0
        assert receipt.logs[1:] == (minted(receiver.address),)
        assert of(hub, receiver.address) == (True, NO_END, 1)
        assert of(hub, receiver.address, TOKEN + 1) == (False, 0, 0)
        receiver.behave(INSIST, payload)  # reverts when its call back does
        hub.evm.header = before
    receiver.behave(INSIST, calldata("mint", receiver.address, TOKEN))
    claimed(hub, proof)
    assert of(hub, receiver.address) == (True, NO_END, 0)


def test_a_purchase_cannot_be_granted_from_inside_a_hook(hub: Hub) -> None:
    receiver = Receiver(hub.evm)
    hub.send(OWNER, "setRole", receiver.address, 16)
    settled(hub, result_of(1, receiver.address, token_id=TOKEN + 1))  # the hook's own notes cost less from now on
    receiver.behave(INSIST, calldata("grantPurchase", keccak(b"x"), ALICE, TOKEN, NO_END, bytes(32)))
    settled(hub, result_of(2, receiver.address))
    assert of(hub, receiver.address) == (True, NO_END, 0)  # a hook that gets through takes the token
    assert of(hub) == (False, 0, 0)


@pytest.mark.parametrize("function", ["claim", "settle", "grantPurchase", "mint"])
def test_from_inside_a_hook_nothing_is_done_whoever_called_it(hub: Hub, function: str) -> None:
    receiver = Receiver(hub.evm, REFUSE)
    settled(hub, result_of(1, receiver.address, expiry=NOW + 1))
    settled(hub, result_of(2, receiver.address, token_id=TOKEN + 1))
    result = result_of(3, receiver.address, token_id=TOKEN + 2)
    proof = anchored(hub, [right(4, to=receiver.address, token_id=TOKEN + 2)]).proof(0)
    sender, token, arguments = {
        "claim": (STRANGER, TOKEN + 2, verify_arguments(proof)),
        "settle": (STRANGER, TOKEN + 2, (as_arguments(result), signed(hub, result))),
        "grantPurchase": (TILL, TOKEN + 2, purchase(5, receiver.address, TOKEN + 2)),
        "mint": (STRANGER, TOKEN + 1, (receiver.address, TOKEN + 1)),
    }[function]
    hub.evm.at(NOW + 1)
    receiver.behave(INSIST, calldata("burnExpired", receiver.address, TOKEN))
    before = hub.evm.header
    with suppress(Reverted):
        hub.send(sender, function, *arguments)
    assert hub.ask("held", receiver.address, TOKEN) != NOTHING
    assert hub.ask("balanceOf", receiver.address, token) == (0,)
    hub.evm.header = before
    hub.send(STRANGER, "burnExpired", receiver.address, TOKEN)  # nothing but the lock kept it out


def test_nobody_can_starve_the_hook_of_gas(hub: Hub) -> None:
    receiver = Receiver(hub.evm, NEEDY)  # one that gives back what it was given, when that is too little
    proof = anchored(hub, [right(0, to=receiver.address), right(1)]).proof(0)
    enough = None
    for gas in range(120_000, 320_000, 20_000):
        before = hub.evm.header
        try:
            hub.evm.send(STRANGER, hub.address, calldata("claim", *verify_arguments(proof)), gas=gas)
        except Reverted:
            assert enough is None
        else:
            enough = enough or gas
            assert of(hub, receiver.address) == (True, NO_END, 1), f"minted with {gas} gas, or not at all"
        hub.evm.header = before
    assert enough is not None


# ---- the token -------------------------------------------------------------------------------------------------------


def test_transfers_and_approvals_revert(hub: Hub) -> None:
    claimed(hub, anchored(hub, [right(0, to=STRANGER.address), right(1)]).proof(0))
    owner = STRANGER.address
    for name, arguments in (
        ("safeTransferFrom", (owner, BOB, TOKEN, 1, b"")),
        ("safeTransferFrom", (owner, owner, TOKEN, 0, b"")),
        ("safeBatchTransferFrom", (owner, BOB, (TOKEN,), (1,), b"")),
        ("safeBatchTransferFrom", (owner, BOB, (), (), b"")),
        ("setApprovalForAll", (BOB, True)),
        ("setApprovalForAll", (BOB, False)),
    ):
        with pytest.raises(Reverted, match=r"^soulbound$"):
            hub.send(STRANGER, name, *arguments)
    assert hub.ask("isApprovedForAll", owner, BOB) == hub.ask("isApprovedForAll", owner, owner) == (False,)
    assert (of(hub, owner), of(hub, BOB)) == ((True, NO_END, 1), (False, 0, 0))


def test_balances_are_read_in_batches(hub: Hub) -> None:
    settled(hub, result_of(1, ALICE))
    settled(hub, result_of(2, BOB, token_id=TOKEN + 1))
    wallets, tokens = ["0x" + w.hex() for w in (ALICE, BOB, BOB)], (TOKEN, TOKEN, TOKEN + 1)
    assert hub.ask("balanceOfBatch", wallets, tokens) == ((1, 0, 1),)
    assert hub.ask("balanceOfBatch", (), ()) == ((),)
    told = hub.ask("balanceOfBatch", wallets[:1] * 128, (TOKEN,) * 128)
    assert len(told[0]) == 128  # type: ignore[arg-type]  # what it tells is a list here
    for pair in ((wallets, tokens[:2]), (wallets[:2], tokens)):
        with pytest.raises(Reverted, match=r"^length$"):
            hub.ask("balanceOfBatch", *pair)


@pytest.mark.parametrize(
    ("interface", "is_ours"),
    [
        ("01ffc9a7", True),
        ("d9b67a26", True),
        ("0e89341c", True),
        ("ffffffff", False),
        ("00000000", False),
        ("b45a3c0e", False),  # ERC-5192
        ("8c65f84d", False),  # ERC-5643
        ("80ac58cd", False),  # ERC-721
        ("4e2312e0", False),  # a receiver
    ],
)
def test_it_claims_the_interfaces_that_it_has(hub: Hub, interface: str, is_ours: bool) -> None:
    assert hub.ask("supportsInterface", bytes.fromhex(interface)) == (is_ours,)


def test_the_metadata_address_is_the_owners_and_names_no_holder(hub: Hub) -> None:
    assert hub.ask("uri", TOKEN) == ("",)
    address = "https://hub.example/tokens/{id}.json"
    receipt = hub.send(OWNER, "setUri", address)
    assert receipt.logs == ((event("UriSet"), encode(["string"], [address])),)
    settled(hub, result_of(1, ALICE))
    assert hub.ask("uri", TOKEN) == hub.ask("uri", 0) == (address,)
    for account in (GATE, GUARD, JUDGE, TILL, STRANGER):
        with pytest.raises(Reverted, match=r"^owner$"):
            hub.send(account, "setUri", "")
    with pytest.raises(Reverted, match=r"^$"):
        hub.send(OWNER, "setUri", "x" * 257)
    assert hub.ask("uri", TOKEN) == (address,)


def test_no_personal_data_reaches_the_chain(hub: Hub) -> None:
    proof = anchored(hub, [right(0, to=ALICE), right(1)]).proof(0)
    receipt = claimed(hub, proof)
    words = {word for topics, data in receipt.logs for word in (*topics[1:], data[:32], data[32:])}
    assert words == {
        *(proof.root, ALICE.rjust(32, b"\0"), TOKEN.to_bytes(32), STRANGER.address.rjust(32, b"\0")),
        *(bytes(32), (1).to_bytes(32), NO_END.to_bytes(32)),
    }
