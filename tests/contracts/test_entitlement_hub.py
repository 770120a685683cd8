"""EntitlementHub: each function with what it does and, beside it, what it must not do."""

from dataclasses import replace

import pytest
from eth_abi import encode
from eth_utils import keccak

from contracts import abi
from hub.domain import anchors
from hub.domain.anchors import MAX_PROOF, NO_END, NO_HOLDER, Leaf
from tests.contracts.evm import (
    ACCOUNTS,
    DATA_HASH,
    GATE,
    GATEWAY,
    GUARD,
    JUDGE,
    NOBODY,
    NOW,
    OWNER,
    PAUSER,
    REVOKER,
    SEAL,
    SIGNER,
    STRANGER,
    TOKEN,
    Account,
    Hub,
    Reverted,
    anchored,
    batch,
    calldata,
    deploy,
    event,
    fresh_account,
    right,
    verify_arguments,
)

ROOT = batch(3).root
UNKNOWN = ((0, 0, 0, False),)


def test_anchor_records_the_batch_and_says_so(hub: Hub) -> None:
    receipt = hub.send(GATE, "anchor", ROOT, 3, DATA_HASH, 1)
    assert hub.ask("anchored", ROOT) == ((3, 1, NOW, False),)
    assert receipt.logs == ((event("Anchored", ROOT), encode(["uint32", "bytes32", "uint8"], [3, DATA_HASH, 1])),)


def test_nothing_but_root_count_hash_and_kind_reaches_the_chain() -> None:
    expected = ROOT + (3).to_bytes(32, "big") + DATA_HASH + (1).to_bytes(32, "big")
    assert calldata("anchor", ROOT, 3, DATA_HASH, 1)[4:] == expected


def test_an_unknown_root_is_told_apart(hub: Hub) -> None:
    assert hub.ask("anchored", ROOT) == UNKNOWN
    assert not hub.verifies(batch(3).proof(0))


def test_a_root_is_anchored_once(hub: Hub) -> None:
    hub.send(GATE, "anchor", ROOT, 3, DATA_HASH, 1)
    with pytest.raises(Reverted, match=r"^anchored$"):
        hub.send(GATE, "anchor", ROOT, 4, DATA_HASH, 2)
    assert hub.ask("anchored", ROOT) == ((3, 1, NOW, False),)


@pytest.mark.parametrize(
    ("root", "count", "kind", "reason"), [(bytes(32), 3, 1, "root"), (ROOT, 0, 1, "count"), (ROOT, 3, 0, "kind")]
)
def test_an_empty_batch_is_refused(hub: Hub, root: bytes, count: int, kind: int, reason: str) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        hub.send(GATE, "anchor", root, count, DATA_HASH, kind)
    assert hub.ask("anchored", root) == UNKNOWN


@pytest.mark.parametrize(
    ("function", "arguments", "holder", "reason"),
    [
        ("anchor", (ROOT, 3, DATA_HASH, 1), GATE, "role"),
        ("recordRequest", (ROOT, DATA_HASH), GATE, "role"),
        ("revoke", (ROOT, 0, 1), JUDGE, "role"),
        ("revokeRoot", (ROOT,), JUDGE, "role"),
        ("pause", (), GUARD, "role"),
        ("unpause", (), GUARD, "role"),
        ("setRole", (STRANGER.address, GATEWAY), OWNER, "owner"),
        ("rotateSigner", (SEAL.address, STRANGER.address, NOW), OWNER, "owner"),
        ("proposeOwner", (STRANGER.address,), OWNER, "owner"),
        ("setSuccessor", (STRANGER.address,), OWNER, "owner"),
        ("acceptOwner", (), None, "proposed"),
    ],
)
def test_who_lacks_the_role_is_refused(
    hub: Hub, function: str, arguments: tuple[object, ...], holder: Account | None, reason: str
) -> None:
    before = hub.evm.header.state_root
    for account in set(ACCOUNTS) - {holder}:
        with pytest.raises(Reverted, match=f"^{reason}$"):
            hub.send(account, function, *arguments)
    assert hub.evm.header.state_root == before


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_proof_of_a_batch_verifies(hub: Hub, size: int) -> None:
    tree = anchored(hub, batch(size).leaves)
    assert all(hub.verifies(tree.proof(index)) for index in range(size))


def test_a_right_with_holder_verifies_for_that_holder_alone(hub: Hub) -> None:
    proof = anchored(hub, [right(0, to=STRANGER.address), right(1)]).proof(0)
    assert hub.verifies(proof)
    assert not hub.verifies(replace(proof, to=NO_HOLDER))


def test_a_recorded_order_that_grants_nothing_is_no_right(hub: Hub) -> None:
    tree = anchored(hub, [Leaf(bytes(32), NO_HOLDER, 0, 0, bytes(32)), right(1)])
    assert anchors.verify(tree.proof(0), keccak)
    assert not hub.verifies(tree.proof(0))
    assert hub.verifies(tree.proof(1))


@pytest.mark.parametrize("kind", [2, 3])
def test_only_a_batch_of_orders_holds_rights(hub: Hub, kind: int) -> None:
    assert not hub.verifies(anchored(hub, [right(0)], kind=kind).proof(0))


def test_a_right_ends_at_the_second_of_its_expiry(hub: Hub) -> None:
    proof = anchored(hub, [right(0, expiry=NOW + 60), right(1)]).proof(0)
    hub.evm.at(NOW + 59)
    assert hub.verifies(proof)
    hub.evm.at(NOW + 60)
    assert not hub.verifies(proof)


@pytest.mark.parametrize(
    ("token_id", "expiry", "stands"), [(TOKEN, NO_END, True), (TOKEN, NO_END + 1, False), (0, NO_END, False)]
)
def test_a_right_needs_a_token_and_an_expiry_of_56_bits(hub: Hub, token_id: int, expiry: int, stands: bool) -> None:
    leaf = (0, bytes(32), NO_HOLDER, token_id, expiry, bytes(32))
    root = keccak(keccak(encode(["uint256", "bytes32", "address", "uint256", "uint64", "bytes32"], leaf)))
    hub.send(GATE, "anchor", root, 1, DATA_HASH, 1)
    assert hub.ask("verify", root, *leaf, ()) == (stands,)


def test_an_index_from_the_count_on_is_no_order(hub: Hub) -> None:
    hub.send(GATE, "anchor", ROOT, 2, DATA_HASH, 1)
    assert hub.verifies(batch(3).proof(1))
    assert not hub.verifies(batch(3).proof(2))


@pytest.mark.parametrize(
    "change",
    [
        {"root": batch(5).root},
        {"index": 0},
        {"order_key": bytes(32)},
        {"to": STRANGER.address},
        {"token_id": TOKEN + 1},
        {"expiry": NO_END - 1},
        {"commitment": bytes(32)},
        {"proof": ()},
        {"proof": batch(3).proof(1).proof[:1]},
        {"proof": batch(3).proof(1).proof[::-1]},
        {"proof": (bytes(32), *batch(3).proof(1).proof[1:])},
        {"proof": (*batch(3).proof(1).proof, bytes(32))},
        {"proof": (bytes(32),) * MAX_PROOF},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_leaf_or_proof_does_not_verify(hub: Hub, change: dict[str, object]) -> None:
    anchored(hub, batch(3).leaves)
    anchored(hub, batch(5).leaves)
    assert hub.verifies(batch(3).proof(1))
    assert not hub.verifies(replace(batch(3).proof(1), **change))


def test_a_proof_beyond_its_bound_is_malformed_calldata(hub: Hub) -> None:
    arguments = verify_arguments(anchored(hub, [right(0)]).proof(0))
    with pytest.raises(Reverted, match=r"^$"):
        hub.ask("verify", *arguments[:-1], (bytes(32),) * (MAX_PROOF + 1))


def test_one_bit_ends_one_right_and_says_so(hub: Hub) -> None:
    anchored(hub, batch(3).leaves)
    receipt = hub.send(JUDGE, "revoke", ROOT, *anchors.revocation_bit(1))
    assert [hub.verifies(batch(3).proof(index)) for index in range(3)] == [True, False, True]
    assert hub.ask("revoked", anchors.tag(ROOT), 0) == (0b10,)
    assert receipt.logs == ((event("Revoked", ROOT), encode(["uint256", "uint256"], [0, 0b10])),)


def test_each_of_256_orders_has_its_bit_and_the_next_its_own_word(hub: Hub) -> None:
    tree = anchored(hub, [right(number) for number in range(257)])
    hub.send(JUDGE, "revoke", tree.root, 1, 1)
    hub.send(JUDGE, "revoke", tree.root, 0, 1 << 128)
    assert [hub.verifies(tree.proof(index)) for index in (0, 128, 255, 256)] == [True, False, True, False]
    hub.send(JUDGE, "revoke", tree.root, 0, 2**256 - 1)
    assert [hub.verifies(tree.proof(index)) for index in (0, 255, 256)] == [False, False, False]


def test_a_revocation_is_never_taken_back(hub: Hub) -> None:
    anchored(hub, batch(3).leaves)
    for mask in (0b01, 0b10, 0b01):
        hub.send(JUDGE, "revoke", ROOT, 0, mask)
    assert hub.ask("revoked", anchors.tag(ROOT), 0) == (0b11,)


def test_revoking_nothing_is_refused(hub: Hub) -> None:
    with pytest.raises(Reverted, match=r"^mask$"):
        hub.send(JUDGE, "revoke", ROOT, 0, 0)
    assert hub.ask("revoked", anchors.tag(ROOT), 0) == (0,)


def test_a_right_revoked_before_its_batch_arrives_never_stands(hub: Hub) -> None:
    hub.send(JUDGE, "revoke", ROOT, 0, 0b01)
    anchored(hub, batch(3).leaves)
    assert [hub.verifies(batch(3).proof(index)) for index in range(3)] == [False, True, True]


def test_a_whole_batch_can_be_revoked_and_no_other_suffers(hub: Hub) -> None:
    anchored(hub, batch(3).leaves)
    anchored(hub, batch(5).leaves)
    receipt = hub.send(JUDGE, "revokeRoot", ROOT)
    assert hub.ask("anchored", ROOT) == ((3, 1, NOW, True),)
    assert receipt.logs == ((event("RootRevoked", ROOT), b""),)
    assert not any(hub.verifies(batch(3).proof(index)) for index in range(3))
    assert hub.verifies(batch(5).proof(0))


def test_a_revoked_batch_cannot_be_anchored_afresh(hub: Hub) -> None:
    anchored(hub, batch(3).leaves)
    hub.send(JUDGE, "revokeRoot", ROOT)
    with pytest.raises(Reverted, match=r"^anchored$"):
        hub.send(GATE, "anchor", ROOT, 3, DATA_HASH, 1)
    hub.send(JUDGE, "revokeRoot", ROOT)
    assert hub.ask("anchored", ROOT) == ((3, 1, NOW, True),)


def test_an_unknown_batch_cannot_be_revoked_whole(hub: Hub) -> None:
    with pytest.raises(Reverted, match=r"^unknown$"):
        hub.send(JUDGE, "revokeRoot", ROOT)
    assert hub.ask("anchored", ROOT) == UNKNOWN


def test_pause_stops_anchor_alone(hub: Hub) -> None:
    anchored(hub, batch(3).leaves)
    receipt = hub.send(GUARD, "pause")
    assert receipt.logs == ((event("Paused", GUARD.address), b""),)
    assert hub.ask("paused") == (True,)
    with pytest.raises(Reverted, match=r"^paused$"):
        hub.send(GATE, "anchor", batch(5).root, 5, DATA_HASH, 1)
    assert hub.verifies(batch(3).proof(0))
    hub.send(JUDGE, "revoke", ROOT, 0, 1)
    assert not hub.verifies(batch(3).proof(0))
    hub.send(JUDGE, "revokeRoot", ROOT)
    assert not hub.verifies(batch(3).proof(1))


def test_unpause_lets_anchor_work_again(hub: Hub) -> None:
    hub.send(GUARD, "pause")
    receipt = hub.send(GUARD, "unpause")
    assert receipt.logs == ((event("Unpaused", GUARD.address), b""),)
    assert hub.ask("paused") == (False,)
    assert hub.verifies(anchored(hub, batch(3).leaves).proof(0))


def test_pause_and_unpause_alternate(hub: Hub) -> None:
    with pytest.raises(Reverted, match=r"^not paused$"):
        hub.send(GUARD, "unpause")
    hub.send(GUARD, "pause")
    with pytest.raises(Reverted, match=r"^paused$"):
        hub.send(GUARD, "pause")


def test_who_becomes_gateway_during_a_pause_waits_too(hub: Hub) -> None:
    hub.send(GUARD, "pause")
    hub.send(OWNER, "setRole", STRANGER.address, GATEWAY)
    hub.send(OWNER, "setRole", GATE.address, 0)
    hub.send(OWNER, "setRole", GATE.address, GATEWAY | REVOKER)
    for account in (STRANGER, GATE):
        with pytest.raises(Reverted, match=r"^paused$"):
            hub.send(account, "anchor", ROOT, 3, DATA_HASH, 1)
    assert hub.ask("roles", GATE.address) == (GATEWAY | REVOKER,)
    hub.send(GUARD, "unpause")
    hub.send(STRANGER, "anchor", ROOT, 3, DATA_HASH, 1)
    hub.send(GATE, "anchor", batch(5).root, 5, DATA_HASH, 1)


def test_pause_reaches_every_gateway_after_others_left(hub: Hub) -> None:
    others = [fresh_account(hub.evm, number) for number in range(13)]
    for other in others:
        hub.send(OWNER, "setRole", other.address, GATEWAY)
    with pytest.raises(Reverted, match=r"^seats$"):
        hub.send(OWNER, "setRole", STRANGER.address, GATEWAY)
    assert hub.ask("roles", STRANGER.address) == (0,)
    hub.send(OWNER, "setRole", others[2].address, 0)
    hub.send(OWNER, "setRole", others[6].address, PAUSER)
    hub.send(OWNER, "setRole", STRANGER.address, GATEWAY)
    hub.send(GUARD, "pause")
    for account in (GATE, STRANGER, *others[:2], *others[3:6], *others[7:]):
        with pytest.raises(Reverted, match=r"^paused$"):
            hub.send(account, "anchor", ROOT, 3, DATA_HASH, 1)
    for account in (others[2], others[6]):
        with pytest.raises(Reverted, match=r"^role$"):
            hub.send(account, "anchor", ROOT, 3, DATA_HASH, 1)


def test_naming_a_gateway_again_takes_no_second_seat(hub: Hub) -> None:
    for _ in range(16):
        hub.send(OWNER, "setRole", GATE.address, GATEWAY)
    hub.send(OWNER, "setRole", STRANGER.address, GATEWAY)
    assert hub.ask("roles", STRANGER.address) == (GATEWAY,)


def test_roles_are_replaced_and_told(hub: Hub) -> None:
    receipt = hub.send(OWNER, "setRole", STRANGER.address, GATEWAY | REVOKER)
    assert receipt.logs == ((event("RoleSet", STRANGER.address), encode(["uint256"], [GATEWAY | REVOKER])),)
    hub.send(STRANGER, "anchor", ROOT, 3, DATA_HASH, 1)
    hub.send(OWNER, "setRole", STRANGER.address, REVOKER)
    assert hub.ask("roles", STRANGER.address) == (REVOKER,)
    with pytest.raises(Reverted, match=r"^role$"):
        hub.send(STRANGER, "anchor", batch(5).root, 5, DATA_HASH, 1)
    hub.send(STRANGER, "revoke", ROOT, 0, 1)


@pytest.mark.parametrize(
    ("account", "roles", "reason"),
    [
        (NOBODY, GATEWAY, "account"),
        (STRANGER.address, 32, "roles"),
        (STRANGER.address, GATEWAY | SIGNER, "roles"),
        (STRANGER.address, 1 << 255, "roles"),
    ],
)
def test_a_role_that_does_not_exist_is_refused(hub: Hub, account: bytes, roles: int, reason: str) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        hub.send(OWNER, "setRole", account, roles)
    assert hub.ask("roles", account) == (0,)


def test_the_owner_changes_in_two_steps(hub: Hub) -> None:
    receipt = hub.send(OWNER, "proposeOwner", STRANGER.address)
    assert receipt.logs == ((event("OwnerProposed", OWNER.address, STRANGER.address), b""),)
    assert hub.ask("owner") == ("0x" + OWNER.address.hex(),)
    with pytest.raises(Reverted, match=r"^proposed$"):
        hub.send(OWNER, "acceptOwner")
    receipt = hub.send(STRANGER, "acceptOwner")
    assert receipt.logs == ((event("OwnerChanged", OWNER.address, STRANGER.address), b""),)
    assert hub.ask("owner") == ("0x" + STRANGER.address.hex(),)
    with pytest.raises(Reverted, match=r"^owner$"):
        hub.send(OWNER, "setRole", OWNER.address, GATEWAY)
    with pytest.raises(Reverted, match=r"^proposed$"):
        hub.send(STRANGER, "acceptOwner")


def test_a_proposal_can_be_withdrawn(hub: Hub) -> None:
    hub.send(OWNER, "proposeOwner", STRANGER.address)
    hub.send(OWNER, "proposeOwner", NOBODY)
    with pytest.raises(Reverted, match=r"^proposed$"):
        hub.send(STRANGER, "acceptOwner")
    assert hub.ask("owner") == ("0x" + OWNER.address.hex(),)


def test_a_successor_changes_nothing_here(hub: Hub) -> None:
    anchored(hub, batch(3).leaves)
    receipt = hub.send(OWNER, "setSuccessor", STRANGER.address)
    assert receipt.logs == ((event("SuccessorSet", STRANGER.address), b""),)
    assert hub.ask("successor") == ("0x" + STRANGER.address.hex(),)
    assert hub.verifies(batch(3).proof(0))
    hub.send(OWNER, "setSuccessor", NOBODY)
    assert hub.ask("successor") == ("0x" + NOBODY.hex(),)


def test_a_hub_is_born_with_owner_and_gateway(hub: Hub) -> None:
    born = hub.evm.send(OWNER, b"", abi.creation("entitlement_hub", OWNER.address, GATE.address))
    assert born.logs == (
        (event("OwnerChanged", NOBODY, OWNER.address), b""),
        (event("RoleSet", GATE.address), encode(["uint256"], [GATEWAY])),
    )
    assert hub.ask("roles", GATE.address) == (GATEWAY,)
    assert hub.ask("roles", OWNER.address) == (0,)
    without = Hub(hub.evm, deploy(hub.evm, "entitlement_hub", OWNER.address, NOBODY))
    assert without.ask("roles", NOBODY) == (0,)
    with pytest.raises(Reverted, match=r"^role$"):
        without.send(GATE, "anchor", ROOT, 3, DATA_HASH, 1)
    with pytest.raises(Reverted, match=r"^owner$"):
        deploy(hub.evm, "entitlement_hub", NOBODY, GATE.address)
