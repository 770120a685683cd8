"""EntitlementHub: what wallets hold: claims, their ends, and the soulbound token that stands for them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_abi import encode
from eth_utils import keccak

from contracts import artifact
from hub.domain import anchors
from hub.domain.anchors import MAX_PROOF, NO_END, NO_HOLDER, Leaf, Proof
from tests.contracts.evm import (
    DATA_HASH,
    GATE,
    GUARD,
    JUDGE,
    NOBODY,
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
from tests.contracts.receivers import ACCEPT, COME_BACK, GREEDY, INSIST, NEEDY, REFUSE, WRONG, Receiver, mute

ALICE, BOB = keccak(b"alice")[:20], keccak(b"bob")[:20]
NOTHING = ((0, 0, 0, False),)


def minted(to: bytes, operator: bytes = STRANGER.address, token_id: int = TOKEN) -> tuple[tuple[bytes, ...], bytes]:
    """The log of a mint."""
    return event("TransferSingle", operator, NOBODY, to), encode(["uint256", "uint256"], [token_id, 1])


def burned(of: bytes, operator: bytes = STRANGER.address, token_id: int = TOKEN) -> tuple[tuple[bytes, ...], bytes]:
    """The log of a burn."""
    return event("TransferSingle", operator, of, NOBODY), encode(["uint256", "uint256"], [token_id, 1])


def of(hub: Hub, to: bytes = ALICE, token_id: int = TOKEN) -> tuple[object, ...]:
    """Access, end and balance of a wallet."""
    return tuple(hub.ask(name, to, token_id)[0] for name in ("hasAccess", "expiresAt", "balanceOf"))


def three(hub: Hub) -> tuple[Proof, Proof, Proof]:
    """Rights of one wallet to one course: for a minute, for an hour, without end."""
    leaves = [right(n, to=ALICE, expiry=expiry) for n, expiry in enumerate((NOW + 60, NOW + 3_600, NO_END))]
    tree = anchored(hub, leaves)
    return tree.proof(0), tree.proof(1), tree.proof(2)


def revoked(hub: Hub, proof: Proof) -> None:
    hub.send(JUDGE, "revoke", proof.root, *anchors.revocation_bit(proof.index))


# ---- claim -----------------------------------------------------------------------------------------------------------


def test_anyone_claims_and_only_the_wallet_in_the_leaf_receives(hub: Hub) -> None:
    proof = anchored(hub, [right(0), right(1, to=ALICE, expiry=NOW + 60)]).proof(1)
    receipt = claimed(hub, proof)
    assert receipt.logs == (
        (
            event("Claimed", proof.root, ALICE, TOKEN.to_bytes(32)),
            encode(["uint32", "uint64"], [1, NOW + 60]),
        ),
        minted(ALICE),
    )
    assert hub.ask("held", ALICE, TOKEN) == ((anchors.tag(proof.root), 1, NOW + 60, True),)
    assert of(hub) == (True, NOW + 60, 1)
    assert of(hub, STRANGER.address) == of(hub, BOB) == of(hub, token_id=TOKEN + 1) == (False, 0, 0)
    assert hub.ask("locked", ALICE, TOKEN) == (True,)
    assert hub.ask("locked", BOB, TOKEN) == (False,)


def test_a_claim_for_another_wallet_is_no_claim(hub: Hub) -> None:
    proof = anchored(hub, [right(0, to=ALICE), right(1)]).proof(0)
    with pytest.raises(Reverted, match=r"^right$"):
        hub.send(STRANGER, "claim", *verify_arguments(replace(proof, to=STRANGER.address)))
    assert hub.ask("held", STRANGER.address, TOKEN) == NOTHING


def test_claiming_twice_is_claiming_once(hub: Hub) -> None:
    proof = anchored(hub, [right(0, to=ALICE), right(1)]).proof(0)
    claimed(hub, proof)
    before = hub.ask("held", ALICE, TOKEN)
    assert claimed(hub, proof).logs == ()
    assert hub.ask("held", ALICE, TOKEN) == before


def test_a_right_without_holder_cannot_be_claimed(hub: Hub) -> None:
    proof = anchored(hub, [right(0), right(1)]).proof(0)
    with pytest.raises(Reverted, match=r"^to$"):
        claimed(hub, proof)
    for thief in (ALICE, STRANGER.address):
        with pytest.raises(Reverted, match=r"^right$"):
            claimed(hub, replace(proof, to=thief))
    assert hub.verifies(proof)
    assert hub.ask("held", NO_HOLDER, TOKEN) == NOTHING


@pytest.mark.parametrize(
    "change",
    [
        {"root": keccak(b"unknown")},
        {"index": 0},
        {"index": 2},
        {"index": 2**32 - 1},
        {"order_key": bytes(32)},
        {"to": BOB},
        {"token_id": TOKEN + 1},
        {"expiry": NO_END - 1},
        {"commitment": bytes(32)},
        {"proof": ()},
        {"proof": (bytes(32),)},
        {"proof": (bytes(32),) * MAX_PROOF},
    ],
    ids=str,
)
def test_a_changed_leaf_or_proof_claims_nothing(hub: Hub, change: dict[str, object]) -> None:
    proof = anchored(hub, [right(number, to=ALICE) for number in range(4)]).proof(1)
    wrong = replace(proof, **change)  # type: ignore[arg-type]  # a case names the field that it changes
    before = hub.evm.header.state_root
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, wrong)
    assert hub.evm.header.state_root == before
    claimed(hub, proof)


def test_a_truncated_overlong_or_turned_proof_claims_nothing(hub: Hub) -> None:
    proof = anchored(hub, [right(number, to=ALICE) for number in range(8)]).proof(5)
    siblings = proof.proof
    for wrong in (siblings[:-1], siblings[1:], (*siblings, siblings[-1]), siblings[::-1], (*siblings, proof.root)):
        with pytest.raises(Reverted, match=r"^right$"):
            claimed(hub, replace(proof, proof=wrong))
    arguments = verify_arguments(proof)
    with pytest.raises(Reverted, match=r"^$"):
        hub.send(STRANGER, "claim", *arguments[:-1], (bytes(32),) * (MAX_PROOF + 1))
    assert of(hub) == (False, 0, 0)


def test_an_inner_node_is_no_leaf(hub: Hub) -> None:
    tree = anchored(hub, [right(number, to=ALICE) for number in range(4)])
    for inner in tree.nodes[1:3]:
        wrong = Proof(tree.root, 0, inner, ALICE, TOKEN, NO_END, inner, (tree.nodes[2],))
        with pytest.raises(Reverted, match=r"^right$"):
            claimed(hub, wrong)


def test_an_index_beyond_the_count_cannot_be_claimed(hub: Hub) -> None:
    tree = anchors.plant([right(number, to=ALICE) for number in range(3)], keccak)
    hub.send(GATE, "anchor", tree.root, 2, DATA_HASH, 1)
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, tree.proof(2))
    claimed(hub, tree.proof(1))


def test_only_a_batch_of_orders_can_be_claimed_from(hub: Hub) -> None:
    proof = anchored(hub, [right(0, to=ALICE), right(1)], kind=2).proof(0)
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, proof)


def test_a_leaf_that_grants_nothing_cannot_be_claimed(hub: Hub) -> None:
    tree = anchored(hub, [Leaf(keccak(b"declined"), NO_HOLDER, 0, 0, keccak(b"c")), right(1)])
    with pytest.raises(Reverted, match=r"^to$"):
        claimed(hub, tree.proof(0))


@pytest.mark.parametrize("seconds", [60, 61, 10**6])
def test_an_expired_leaf_cannot_be_claimed(hub: Hub, seconds: int) -> None:
    proof = anchored(hub, [right(0, to=ALICE, expiry=NOW + 60), right(1)]).proof(0)
    hub.evm.at(NOW + seconds)
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, proof)
    assert of(hub) == (False, 0, 0)


def test_a_claim_of_another_hub_is_no_claim_here(hub: Hub) -> None:
    other = Hub(hub.evm, hub.evm.send(OWNER, b"", _creation(OWNER.address, GATE.address)).contract)
    proof = anchored(other, [right(0, to=ALICE), right(1)]).proof(0)
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, proof)
    claimed(other, proof)
    assert (of(other), of(hub)) == ((True, NO_END, 1), (False, 0, 0))


# ---- longer, shorter, revoked ----------------------------------------------------------------------------------------


def test_a_longer_right_wins_and_a_shorter_never_shortens(hub: Hub) -> None:
    minute, hour, endless = three(hub)
    claimed(hub, hour)
    assert claimed(hub, minute).logs == ()
    assert of(hub) == (True, NOW + 3_600, 1)
    renewal = claimed(hub, endless)
    assert [topics[0] for topics, _ in renewal.logs] == [event("Claimed")[0]]  # the balance did not change
    assert of(hub) == (True, NO_END, 1)


def test_when_the_longer_is_revoked_the_shorter_can_be_claimed_again(hub: Hub) -> None:
    minute, hour, endless = three(hub)
    for proof in (minute, endless):
        claimed(hub, proof)
    revoked(hub, endless)
    assert of(hub) == (False, 0, 1)
    claimed(hub, minute)
    assert of(hub) == (True, NOW + 60, 1)
    claimed(hub, hour)
    revoked(hub, minute)
    assert of(hub) == (True, NOW + 3_600, 1)


def test_a_revoked_leaf_cannot_be_claimed(hub: Hub) -> None:
    minute, hour, _ = three(hub)
    revoked(hub, hour)
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, hour)
    assert of(hub) == (False, 0, 0)
    claimed(hub, minute)


def test_one_bit_ends_claimed_and_unclaimed_alike(hub: Hub) -> None:
    tree = anchored(hub, [right(0, to=ALICE), right(1, to=BOB), right(2, to=BOB, token_id=TOKEN + 1)])
    for index in range(2):
        claimed(hub, tree.proof(index))
    hub.send(JUDGE, "revoke", tree.root, 0, 0b101)
    assert not hub.verifies(tree.proof(0))
    assert of(hub) == (False, 0, 1)
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, tree.proof(2))
    assert of(hub, BOB) == (True, NO_END, 1)


def test_256_rights_claimed_or_not_end_in_one_transaction(hub: Hub) -> None:
    tree = anchored(hub, [right(number, to=keccak(b"%d" % number)[:20]) for number in range(257)])
    held = (0, 7, 128, 255, 256)
    for index in held:
        claimed(hub, tree.proof(index))
    receipt = hub.send(JUDGE, "revoke", tree.root, 0, 2**256 - 1)
    assert receipt.gas_used <= 50_000
    assert [of(hub, keccak(b"%d" % index)[:20])[0] for index in held] == [False, False, False, False, True]
    assert [hub.verifies(tree.proof(index)) for index in (1, 254, 256)] == [False, False, True]


def test_revoking_a_root_ends_what_was_claimed_under_it(hub: Hub) -> None:
    tree = anchored(hub, [right(0, to=ALICE), right(1, to=BOB)])
    other = anchored(hub, [right(2, to=BOB), right(3)])
    claimed(hub, tree.proof(0))
    claimed(hub, other.proof(0))
    hub.send(JUDGE, "revokeRoot", tree.root)
    assert of(hub) == (False, 0, 1)
    assert of(hub, BOB) == (True, NO_END, 1)
    with pytest.raises(Reverted, match=r"^right$"):
        claimed(hub, tree.proof(1))
    hub.send(STRANGER, "burnRevoked", ALICE, TOKEN)


def test_no_word_beyond_the_indices_can_be_revoked(hub: Hub) -> None:
    tree = anchored(hub, [right(0, to=ALICE), right(1)])
    claimed(hub, tree.proof(0))
    for word in (2**24, 2**256 - 1):
        with pytest.raises(Reverted, match=r"^word$"):
            hub.send(JUDGE, "revoke", tree.root, word, 1)
    assert of(hub) == (True, NO_END, 1)


# ---- a settled order among claims ------------------------------------------------------------------------------------


def test_a_settled_right_comes_back_when_a_longer_one_is_revoked(hub: Hub) -> None:
    endless = anchored(hub, [right(9, to=ALICE), right(8)]).proof(0)
    claimed(hub, endless)
    result = result_of(1, ALICE, expiry=NOW + 60)
    settled(hub, result)
    assert of(hub) == (True, NO_END, 1)
    arguments = (result.order_key, ALICE, TOKEN, NOW + 60)
    assert hub.send(STRANGER, "claimSettled", *arguments).logs == ()
    revoked(hub, endless)
    receipt = hub.send(STRANGER, "claimSettled", *arguments)
    assert receipt.logs == (
        (event("Claimed", result.order_key, ALICE, TOKEN.to_bytes(32)), encode(["uint32", "uint64"], [0, NOW + 60])),
    )
    assert of(hub) == (True, NOW + 60, 1)
    assert hub.send(STRANGER, "claimSettled", *arguments).logs == ()
    hub.evm.at(NOW + 60)
    with pytest.raises(Reverted, match=r"^right$"):
        hub.send(STRANGER, "claimSettled", *arguments)


def test_only_the_very_right_of_a_settled_order_comes_back(hub: Hub) -> None:
    order_key = result_of(1, ALICE).order_key
    settled(hub, result_of(1, ALICE, expiry=NOW + 60))
    for arguments in (
        (keccak(b"other"), ALICE, TOKEN, NOW + 60),
        (order_key, BOB, TOKEN, NOW + 60),
        (order_key, ALICE, TOKEN + 1, NOW + 60),
        (order_key, ALICE, TOKEN, NO_END),
    ):
        with pytest.raises(Reverted, match=r"^right$"):
            hub.send(STRANGER, "claimSettled", *arguments)
    hub.send(JUDGE, "revokeOrder", order_key)
    with pytest.raises(Reverted, match=r"^right$"):
        hub.send(STRANGER, "claimSettled", order_key, ALICE, TOKEN, NOW + 60)
    hub.send(JUDGE, "revokeOrder", keccak(b"never settled"))
    with pytest.raises(Reverted, match=r"^right$"):
        hub.send(STRANGER, "claimSettled", keccak(b"never settled"), ALICE, TOKEN, NO_END)
    assert of(hub) == (False, 0, 1)


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_access_ends_by_itself_and_the_balance_with_an_event(hub: Hub) -> None:
    proof = anchored(hub, [right(0, to=ALICE, expiry=NOW + 60), right(1)]).proof(0)
    claimed(hub, proof)
    with pytest.raises(Reverted, match=r"^expired$"):
        hub.send(STRANGER, "burnExpired", ALICE, TOKEN)
    hub.evm.at(NOW + 59)
    assert of(hub) == (True, NOW + 60, 1)
    hub.evm.at(NOW + 60)
    assert of(hub) == (False, NOW + 60, 1)
    assert hub.send(STRANGER, "burnExpired", ALICE, TOKEN).logs == (burned(ALICE),)
    assert of(hub) == (False, 0, 0)
    assert hub.ask("held", ALICE, TOKEN) == NOTHING
    with pytest.raises(Reverted, match=r"^expired$"):
        hub.send(STRANGER, "burnExpired", ALICE, TOKEN)


def test_an_expired_right_is_renewed_with_or_without_being_burned(hub: Hub) -> None:
    first, second, third = three(hub)
    claimed(hub, first)
    hub.evm.at(NOW + 60)
    assert [topics[0] for topics, _ in claimed(hub, second).logs] == [event("Claimed")[0]]
    assert of(hub) == (True, NOW + 3_600, 1)
    hub.evm.at(NOW + 3_600)
    hub.send(STRANGER, "burnExpired", ALICE, TOKEN)
    assert claimed(hub, third).logs[1:] == (minted(ALICE),)
    assert of(hub) == (True, NO_END, 1)


def test_a_revoked_token_is_burned_once_and_a_standing_one_never(hub: Hub) -> None:
    proof = anchored(hub, [right(0, to=ALICE), right(1, to=BOB)]).proof(0)
    claimed(hub, proof)
    for wallet in (ALICE, BOB):
        with pytest.raises(Reverted, match=r"^revoked$"):
            hub.send(STRANGER, "burnRevoked", wallet, TOKEN)
    revoked(hub, proof)
    with pytest.raises(Reverted, match=r"^expired$"):
        hub.send(STRANGER, "burnExpired", ALICE, TOKEN)
    assert hub.send(STRANGER, "burnRevoked", ALICE, TOKEN).logs == (burned(ALICE),)
    assert of(hub) == (False, 0, 0)
    with pytest.raises(Reverted, match=r"^revoked$"):
        hub.send(STRANGER, "burnRevoked", ALICE, TOKEN)


def test_nothing_held_is_not_revoked_by_a_bit_at_zero(hub: Hub) -> None:
    hub.send(JUDGE, "revoke", bytes(32), 0, 1)
    with pytest.raises(Reverted, match=r"^revoked$"):
        hub.send(STRANGER, "burnRevoked", ALICE, TOKEN)
    claimed(hub, anchored(hub, [right(0, to=ALICE), right(1)]).proof(0))
    assert of(hub) == (True, NO_END, 1)


# ---- pause -----------------------------------------------------------------------------------------------------------


def test_pause_stops_claiming_and_neither_asking_nor_burning(hub: Hub) -> None:
    minute, hour, endless = three(hub)
    claimed(hub, minute)
    receiver = Receiver(hub.evm, REFUSE)
    settled(hub, result_of(5, receiver.address))
    receiver.behave(ACCEPT)
    hub.send(GUARD, "pause")
    stopped: tuple[Callable[[], object], ...] = (
        lambda: claimed(hub, hour),
        lambda: hub.send(STRANGER, "mint", receiver.address, TOKEN),
    )
    for action in stopped:
        with pytest.raises(Reverted, match=r"^paused$"):
            action()
    assert hub.verifies(hour)
    assert of(hub) == (True, NOW + 60, 1)
    revoked(hub, minute)
    assert of(hub) == (False, 0, 1)
    hub.send(STRANGER, "burnRevoked", ALICE, TOKEN)
    hub.send(GUARD, "unpause")
    for action in stopped:
        action()
    assert of(hub) == (True, NOW + 3_600, 1)
    hub.send(GUARD, "pause")
    hub.evm.at(NOW + 3_600)
    hub.send(STRANGER, "burnExpired", ALICE, TOKEN)
    assert of(hub) == (False, 0, 0)
    assert endless.expiry == NO_END


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
    receiver.behave(COME_BACK, calldata("grantPurchase", keccak(b"x"), ALICE, TOKEN, NO_END, bytes(32)))
    settled(hub, result_of(2, receiver.address))
    assert receiver.seen("came_back") == 0
    assert of(hub) == (False, 0, 0)


def test_a_right_refused_before_is_not_minted_from_inside_a_hook(hub: Hub) -> None:
    receiver = Receiver(hub.evm, REFUSE)
    settled(hub, result_of(1, receiver.address, token_id=TOKEN + 1))
    receiver.behave(COME_BACK, calldata("mint", receiver.address, TOKEN + 1))
    settled(hub, result_of(2, receiver.address))
    assert receiver.seen("came_back") == 0
    assert of(hub, receiver.address, TOKEN + 1) == (True, NO_END, 0)


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


def _creation(*addresses: bytes) -> bytes:
    return artifact("entitlement_hub").bytecode + encode(["address"] * len(addresses), addresses)
