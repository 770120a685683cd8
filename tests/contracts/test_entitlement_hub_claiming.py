"""EntitlementHub: what wallets hold: claims, and how what was claimed ends."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_abi import encode
from eth_utils import keccak

from hub.domain import anchors
from hub.domain.anchors import MAX_PROOF, NO_END, NO_HOLDER, Leaf, Proof
from tests.contracts.evm import (
    DATA_HASH,
    GATE,
    GUARD,
    JUDGE,
    NOW,
    OWNER,
    STRANGER,
    TOKEN,
    Hub,
    Reverted,
    anchored,
    claimed,
    deploy,
    event,
    result_of,
    right,
    settled,
    verify_arguments,
)
from tests.contracts.holders import ALICE, BOB, NOTHING, burned, minted, of, order_tag, revoked, three
from tests.contracts.receivers import ACCEPT, REFUSE, Receiver

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
    other = Hub(hub.evm, deploy(hub.evm, "entitlement_hub", OWNER.address, GATE.address))
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


def test_the_last_index_of_all_has_a_bit_of_its_own(hub: Hub) -> None:
    leaf, index = right(0, to=ALICE), 2**32 - 2
    root = anchors.leaf_hash(index, leaf, keccak)  # a tree of one leaf, which says that it is one of many
    proof = Proof(root, index, leaf.order_key, ALICE, TOKEN, NO_END, leaf.commitment, ())
    hub.send(GATE, "anchor", root, index + 1, DATA_HASH, 1)
    assert hub.ask("anchored", root) == ((index + 1, 1, NOW, False),)
    claimed(hub, proof)
    assert hub.ask("held", ALICE, TOKEN) == ((anchors.tag(root), index, NO_END, True),)
    for other in (index - 1, index - 256, index % 2**16):
        hub.send(JUDGE, "revoke", root, *anchors.revocation_bit(other))
    assert hub.verifies(proof)
    assert of(hub) == (True, NO_END, 1)
    revoked(hub, proof)
    assert not hub.verifies(proof)
    assert of(hub) == (False, 0, 1)


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
    assert hub.ask("held", ALICE, TOKEN) == ((order_tag(result.order_key), 0, NOW + 60, True),)
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
