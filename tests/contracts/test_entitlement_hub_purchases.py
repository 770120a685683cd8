"""EntitlementHub: orders settled by the contract that took the money, orders on two paths at once, and their ends."""

import pytest
from eth_abi import encode

from hub.domain.anchors import NO_END
from tests.contracts.evm import (
    GATE,
    GATEWAY,
    GUARD,
    JUDGE,
    MINTER,
    NOBODY,
    NOW,
    OWNER,
    REVOKER,
    SEAL,
    SIGNER,
    STRANGER,
    TILL,
    TOKEN,
    Hub,
    Reverted,
    anchored,
    as_arguments,
    claimed,
    event,
    fresh_account,
    result_of,
    right,
    settled,
    signed,
)
from tests.contracts.holders import ALICE, BOB, purchase

RESULT = result_of(1, to=ALICE)
UNSETTLED = ((0, False, False),)
DAY = 86_400


# ---- grantPurchase ---------------------------------------------------------------------------------------------------


def test_a_purchase_settles_as_a_signed_result_does(hub: Hub) -> None:
    receipt = hub.send(TILL, "grantPurchase", *purchase())
    assert receipt.logs == (
        (
            event("Settled", RESULT.order_key, ALICE, TOKEN.to_bytes(32)),
            encode(["bytes32", "uint64"], [RESULT.commitment, NO_END]),
        ),
        (event("TransferSingle", TILL.address, NOBODY, ALICE), encode(["uint256", "uint256"], [TOKEN, 1])),
    )
    assert hub.ask("settled", RESULT.order_key) == ((NOW, True, False),)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)
    with pytest.raises(Reverted, match=r"^settled$"):
        hub.send(TILL, "grantPurchase", *purchase(1, BOB))
    with pytest.raises(Reverted, match=r"^settled$"):
        settled(hub, RESULT)
    assert hub.ask("hasAccess", BOB, TOKEN) == (False,)


def test_only_a_minter_grants_a_purchase(hub: Hub) -> None:
    for account in (OWNER, GATE, GUARD, JUDGE, SEAL, STRANGER):
        with pytest.raises(Reverted, match=r"^role$"):
            hub.send(account, "grantPurchase", *purchase())
    assert hub.ask("settled", RESULT.order_key) == UNSETTLED


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((bytes(32), ALICE, TOKEN, NO_END, bytes(32)), "orderKey"),
        (purchase(1, NOBODY), "to"),
        (purchase(1, ALICE, 0), "tokenId"),
        (purchase(1, ALICE, TOKEN, NOW), "expiry"),
        (purchase(1, ALICE, TOKEN, NO_END + 1), "expiry"),
    ],
)
def test_a_purchase_of_no_right_is_refused(hub: Hub, arguments: tuple[object, ...], reason: str) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        hub.send(TILL, "grantPurchase", *arguments)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (False,)


# ---- the other path --------------------------------------------------------------------------------------------------


def test_claiming_an_order_that_was_settled_too_changes_nothing(hub: Hub) -> None:
    settled(hub, RESULT)
    before = hub.ask("held", ALICE, TOKEN)
    receipt = claimed(hub, anchored(hub, [right(1, to=ALICE), right(2)]).proof(0))
    assert receipt.logs == ()
    assert hub.ask("held", ALICE, TOKEN) == before
    assert hub.ask("balanceOf", ALICE, TOKEN) == (1,)


def test_settling_an_order_that_was_claimed_changes_nothing_for_its_wallet(hub: Hub) -> None:
    claimed(hub, anchored(hub, [right(1, to=ALICE), right(2)]).proof(0))
    before = hub.ask("held", ALICE, TOKEN)
    receipt = settled(hub, RESULT)
    assert [topics[0] for topics, _ in receipt.logs] == [event("Settled")[0]]
    assert hub.ask("held", ALICE, TOKEN) == before


def test_two_gateways_two_relayers_and_two_minters_have_one_effect(hub: Hub) -> None:
    for account in (other_gateway := fresh_account(hub.evm, 1), other_minter := fresh_account(hub.evm, 2)):
        hub.send(OWNER, "setRole", account.address, GATEWAY if account is other_gateway else MINTER)
    tree = anchored(hub, [right(1, to=ALICE), right(2)])
    signature = signed(hub, result_of(3, BOB))
    hub.send(STRANGER, "settle", as_arguments(result_of(3, BOB)), signature)
    hub.send(TILL, "grantPurchase", *purchase(4, BOB, TOKEN + 1))
    before = hub.evm.header.state_root
    for account, name, arguments, reason in (
        (other_gateway, "anchor", (tree.root, 2, bytes(32), 1), "anchored"),
        (other_gateway, "settle", (as_arguments(result_of(3, BOB)), signature), "settled"),
        (other_minter, "grantPurchase", purchase(4, ALICE, TOKEN + 1), "settled"),
        (other_minter, "grantPurchase", purchase(3, ALICE, TOKEN + 1), "settled"),
    ):
        with pytest.raises(Reverted, match=f"^{reason}$"):
            hub.send(account, name, *arguments)
    assert hub.evm.header.state_root == before
    assert hub.ask("anchored", tree.root) == ((2, 1, NOW, False),)


# ---- revokeOrder -----------------------------------------------------------------------------------------------------


def test_a_revoked_order_gives_no_access_and_its_token_can_be_burned(hub: Hub) -> None:
    settled(hub, RESULT)
    receipt = hub.send(JUDGE, "revokeOrder", RESULT.order_key)
    assert receipt.logs == ((event("OrderRevoked", RESULT.order_key), b""),)
    assert hub.ask("settled", RESULT.order_key) == ((NOW, False, True),)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (False,)
    assert hub.ask("expiresAt", ALICE, TOKEN) == (0,)
    assert hub.ask("balanceOf", ALICE, TOKEN) == (1,)
    hub.send(JUDGE, "revokeOrder", RESULT.order_key)
    hub.send(STRANGER, "burnRevoked", ALICE, TOKEN)
    assert hub.ask("balanceOf", ALICE, TOKEN) == (0,)


def test_an_order_revoked_before_it_is_settled_never_is(hub: Hub) -> None:
    hub.send(JUDGE, "revokeOrder", RESULT.order_key)
    with pytest.raises(Reverted, match=r"^settled$"):
        settled(hub, RESULT)
    with pytest.raises(Reverted, match=r"^settled$"):
        hub.send(TILL, "grantPurchase", *purchase())
    assert hub.ask("settled", RESULT.order_key) == ((0, False, True),)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (False,)


def test_a_minter_revokes_what_minters_granted_and_nothing_else(hub: Hub) -> None:
    settled(hub, RESULT)
    hub.send(TILL, "grantPurchase", *purchase(2, BOB))
    for order_key in (RESULT.order_key, right(3).order_key):
        with pytest.raises(Reverted, match=r"^role$"):
            hub.send(TILL, "revokeOrder", order_key)
    hub.send(TILL, "revokeOrder", right(2).order_key)
    assert hub.ask("hasAccess", BOB, TOKEN) == (False,)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)


def test_who_neither_revokes_nor_mints_revokes_no_order(hub: Hub) -> None:
    hub.send(TILL, "grantPurchase", *purchase())
    for account in (OWNER, GATE, GUARD, SEAL, STRANGER):
        with pytest.raises(Reverted, match=r"^role$"):
            hub.send(account, "revokeOrder", RESULT.order_key)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)


def test_an_order_key_that_looks_like_a_root_revokes_nothing_under_it(hub: Hub) -> None:
    tree = anchored(hub, [right(1, to=ALICE), right(2)])
    for order_key in (tree.root, tree.root[:20] + bytes(12)):
        hub.send(TILL, "grantPurchase", order_key, BOB, TOKEN, NO_END, bytes(32))
        hub.send(TILL, "revokeOrder", order_key)
    assert hub.verifies(tree.proof(0))


def test_order_keys_that_begin_alike_are_revoked_apart(hub: Hub) -> None:
    settled(hub, RESULT)
    alike = RESULT.order_key[:31] + bytes([RESULT.order_key[31] ^ 1])
    hub.send(TILL, "grantPurchase", alike, BOB, TOKEN, NO_END, bytes(32))
    hub.send(TILL, "revokeOrder", alike)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)
    assert hub.ask("hasAccess", BOB, TOKEN) == (False,)


# ---- pause -----------------------------------------------------------------------------------------------------------


def test_pause_stops_settling_and_not_revoking(hub: Hub) -> None:
    settled(hub, RESULT)
    hub.send(TILL, "grantPurchase", *purchase(2, BOB))
    hub.send(GUARD, "pause")
    before = hub.evm.header.state_root
    stopped = (
        lambda: settled(hub, result_of(3, to=ALICE)),
        lambda: hub.send(TILL, "grantPurchase", *purchase(3)),
        lambda: hub.send(GATE, "recordRequest", *purchase(3)[::4]),
        lambda: hub.send(STRANGER, "claimSettled", RESULT.order_key, ALICE, TOKEN, NO_END),
    )
    for action in stopped:
        with pytest.raises(Reverted, match=r"^paused$"):
            action()
        assert hub.evm.header.state_root == before
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)
    hub.send(TILL, "revokeOrder", right(2).order_key)
    hub.send(JUDGE, "revokeOrder", RESULT.order_key)
    hub.send(STRANGER, "burnRevoked", ALICE, TOKEN)
    assert hub.ask("hasAccess", BOB, TOKEN) == (False,)
    hub.send(GUARD, "unpause")
    for action in stopped[:3]:
        before = hub.evm.header
        action()
        hub.evm.header = before


def test_a_signer_who_comes_during_a_pause_waits_too(hub: Hub) -> None:
    new = fresh_account(hub.evm, 1)
    hub.send(GUARD, "pause")
    hub.send(OWNER, "rotateSigner", SEAL.address, new.address, NOW + 60)
    for account in (SEAL, new):
        assert hub.ask("roles", account.address) == (SIGNER,)
        with pytest.raises(Reverted, match=r"^paused$"):
            hub.send(STRANGER, "settle", as_arguments(RESULT), signed(hub, RESULT, account))
    hub.send(GUARD, "unpause")
    hub.send(STRANGER, "settle", as_arguments(RESULT), signed(hub, RESULT, new))
    settled(hub, result_of(2, to=BOB))


def test_roles_of_new_kinds_are_given_like_others(hub: Hub) -> None:
    hub.send(OWNER, "setRole", STRANGER.address, MINTER | REVOKER)
    assert hub.ask("roles", STRANGER.address) == (MINTER | REVOKER,)
    hub.send(STRANGER, "grantPurchase", *purchase())
    hub.send(OWNER, "setRole", STRANGER.address, 0)
    with pytest.raises(Reverted, match=r"^role$"):
        hub.send(STRANGER, "grantPurchase", *purchase(2))
