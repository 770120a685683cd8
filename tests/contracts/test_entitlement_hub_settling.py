"""EntitlementHub: single orders settled by a signed result, once each, and who signs."""

from dataclasses import replace

import pytest
from eth_abi import encode
from eth_keys.constants import SECPK1_N
from eth_utils import keccak

from hub.chain.results import MAX_DEADLINE_S
from hub.domain.anchors import NO_END, NO_HOLDER
from tests.contracts.evm import (
    CHAIN_ID,
    GATE,
    GATEWAY,
    GUARD,
    JUDGE,
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
    as_arguments,
    deploy,
    event,
    fresh_account,
    fresh_hub,
    result_of,
    settled,
    signed,
)
from tests.contracts.holders import ALICE, BOB, order_tag, purchase
from tests.results import digest, signer_of

RESULT = result_of(1, to=ALICE)
UNSETTLED = ((0, False, False),)
DAY = 86_400


# ---- requests --------------------------------------------------------------------------------------------------------


def test_a_request_is_recorded_once_ahead_of_its_result(hub: Hub) -> None:
    receipt = hub.send(GATE, "recordRequest", RESULT.order_key, RESULT.commitment)
    assert receipt.logs == ((event("Requested", RESULT.order_key), RESULT.commitment),)
    assert hub.ask("requested", RESULT.order_key) == (RESULT.commitment,)
    with pytest.raises(Reverted, match=r"^requested$"):
        hub.send(GATE, "recordRequest", RESULT.order_key, keccak(b"other"))
    assert hub.ask("requested", RESULT.order_key) == (RESULT.commitment,)


@pytest.mark.parametrize(
    ("order_key", "commitment", "reason"),
    [(bytes(32), RESULT.commitment, "orderKey"), (RESULT.order_key, bytes(32), "commitment")],
)
def test_a_request_of_nothing_is_refused(hub: Hub, order_key: bytes, commitment: bytes, reason: str) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        hub.send(GATE, "recordRequest", order_key, commitment)
    assert hub.ask("requested", order_key) == (bytes(32),)


# ---- settle ----------------------------------------------------------------------------------------------------------


def test_a_signed_result_settles_its_order_and_gives_the_token(hub: Hub) -> None:
    receipt = settled(hub, RESULT)
    assert receipt.logs == (
        (
            event("Settled", RESULT.order_key, ALICE, TOKEN.to_bytes(32)),
            encode(["bytes32", "uint64"], [RESULT.commitment, NO_END]),
        ),
        (
            event("TransferSingle", STRANGER.address, NOBODY, ALICE),
            encode(["uint256", "uint256"], [TOKEN, 1]),
        ),
    )
    assert hub.ask("settled", RESULT.order_key) == ((NOW, False, False),)
    assert hub.ask("held", ALICE, TOKEN) == ((order_tag(RESULT.order_key), 0, NO_END, True),)
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)
    assert hub.ask("balanceOf", ALICE, TOKEN) == (1,)
    assert hub.ask("hasAccess", BOB, TOKEN) == (False,)
    assert hub.ask("hasAccess", ALICE, TOKEN + 1) == (False,)


def test_an_order_settles_once_whatever_is_signed(hub: Hub) -> None:
    settled(hub, RESULT)
    for again in (RESULT, replace(RESULT, to="0x" + BOB.hex()), replace(RESULT, token_id=TOKEN + 1)):
        with pytest.raises(Reverted, match=r"^settled$"):
            settled(hub, again)
    with pytest.raises(Reverted, match=r"^settled$"):
        hub.send(TILL, "grantPurchase", *purchase(1, BOB))
    assert hub.ask("hasAccess", BOB, TOKEN) == (False,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"order_key": bytes(32)}, "orderKey"),
        ({"to": "0x" + NO_HOLDER.hex()}, "to"),
        ({"token_id": 0}, "tokenId"),
        ({"expiry": NOW}, "expiry"),
        ({"expiry": NO_END + 1}, "expiry"),
        ({"deadline": NOW - 1}, "deadline"),
        ({"deadline": 0}, "deadline"),
        ({"deadline": NOW + DAY + 1}, "deadline"),
        ({"deadline": 2**64 - 1}, "deadline"),
    ],
)
def test_a_result_that_is_no_right_or_out_of_its_time_is_refused(
    hub: Hub, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        settled(hub, replace(RESULT, **change))
    assert hub.ask("settled", RESULT.order_key) == UNSETTLED
    assert hub.ask("hasAccess", ALICE, TOKEN) == (False,)


@pytest.mark.parametrize("change", [{"deadline": NOW}, {"deadline": NOW + MAX_DEADLINE_S}, {"expiry": NOW + 1}])
def test_a_result_settles_up_to_the_edge_of_its_time(hub: Hub, change: dict[str, object]) -> None:
    settled(hub, replace(RESULT, **change))
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)


def test_a_signature_found_after_its_deadline_is_worth_nothing(hub: Hub) -> None:
    signature = signed(hub, RESULT)
    hub.evm.at(NOW + 3_601)
    with pytest.raises(Reverted, match=r"^deadline$"):
        hub.send(STRANGER, "settle", as_arguments(RESULT), signature)
    assert hub.ask("settled", RESULT.order_key) == UNSETTLED


@pytest.mark.parametrize(
    "change",
    [
        {"order_key": keccak(b"other")},
        {"commitment": keccak(b"other")},
        {"to": "0x" + BOB.hex()},
        {"token_id": TOKEN + 1},
        {"expiry": NO_END - 1},
        {"deadline": NOW + 3_599},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_signature_is_for_one_result(hub: Hub, change: dict[str, object]) -> None:
    other = replace(RESULT, **change)
    with pytest.raises(Reverted, match=r"^signer$"):
        hub.send(STRANGER, "settle", as_arguments(other), signed(hub, RESULT))
    assert hub.ask("settled", other.order_key) == UNSETTLED


def test_a_signature_is_for_one_hub_and_one_chain(hub: Hub) -> None:
    twin = Hub(hub.evm, deploy(hub.evm, "entitlement_hub", OWNER.address, GATE.address))
    twin.send(OWNER, "setRole", SEAL.address, SIGNER)
    for signature in (signed(twin, RESULT), signed(hub, RESULT, chain_id=CHAIN_ID + 1)):
        with pytest.raises(Reverted, match=r"^signer$"):
            hub.send(STRANGER, "settle", as_arguments(RESULT), signature)
    hub.send(STRANGER, "settle", as_arguments(RESULT), signed(hub, RESULT))
    with pytest.raises(Reverted, match=r"^signer$"):
        twin.send(STRANGER, "settle", as_arguments(RESULT), signed(hub, RESULT))
    assert twin.ask("settled", RESULT.order_key) == UNSETTLED


def test_after_a_fork_of_the_chain_only_signatures_for_the_new_one_count() -> None:
    here = fresh_hub()
    there = Hub(here.evm.forked(CHAIN_ID + 1), here.address)
    assert here.ask("DOMAIN_SEPARATOR") != there.ask("DOMAIN_SEPARATOR")
    with pytest.raises(Reverted, match=r"^signer$"):
        there.send(STRANGER, "settle", as_arguments(RESULT), signed(here, RESULT))
    there.send(STRANGER, "settle", as_arguments(RESULT), signed(here, RESULT, chain_id=CHAIN_ID + 1))
    assert there.ask("hasAccess", ALICE, TOKEN) == (True,)
    assert here.ask("hasAccess", ALICE, TOKEN) == (False,)


def test_only_a_signer_settles(hub: Hub) -> None:
    for account in (OWNER, GATE, GUARD, JUDGE, TILL, STRANGER):
        with pytest.raises(Reverted, match=r"^signer$"):
            hub.send(SEAL, "settle", as_arguments(RESULT), signed(hub, RESULT, account))
    assert hub.ask("settled", RESULT.order_key) == UNSETTLED


def test_a_malformed_signature_is_refused(hub: Hub) -> None:
    signature = signed(hub, RESULT)
    r, s, v = signature[:32], int.from_bytes(signature[32:64]), signature[64]
    high = r + (SECPK1_N - s).to_bytes(32) + bytes([55 - v])  # recovers to the same signer where nobody looks
    malformed = {
        "empty": b"",
        "short": signature[:64],
        "compact": r + (s | (v - 27) << 255).to_bytes(32),  # EIP-2098
        "high s": high,
        "s = 0": r + bytes(32) + bytes([v]),
        "s = n": r + SECPK1_N.to_bytes(32) + bytes([v]),
        "r = 0": bytes(32) + signature[32:],
        "r = n": SECPK1_N.to_bytes(32) + signature[32:],
        "all zero": bytes(65),
        "v = 0": signature[:64] + bytes([v - 27]),
        "v = 29": signature[:64] + bytes([29]),
        "v = 255": signature[:64] + bytes([255]),
    }
    for name, bad in malformed.items():
        with pytest.raises(Reverted, match=r"^signature$"):
            hub.send(STRANGER, "settle", as_arguments(RESULT), bad)
        assert hub.ask("settled", RESULT.order_key) == UNSETTLED, name
    with pytest.raises(Reverted, match=r"^$"):  # more than 65 bytes are malformed calldata
        hub.send(STRANGER, "settle", as_arguments(RESULT), signature + b"\0")
    hub.send(STRANGER, "settle", as_arguments(RESULT), signature)


def test_nobody_can_be_made_the_zero_signer(hub: Hub) -> None:
    with pytest.raises(Reverted, match=r"^account$"):
        hub.send(OWNER, "setRole", NOBODY, SIGNER)
    with pytest.raises(Reverted, match=r"^account$"):
        hub.send(OWNER, "rotateSigner", SEAL.address, NOBODY, NOW)
    assert hub.ask("roles", SEAL.address) == (SIGNER,)


def test_our_digest_is_what_the_contract_recovers(hub: Hub) -> None:
    address = "0x" + hub.address.hex()
    recovered = signer_of(RESULT, CHAIN_ID, address, signed(hub, RESULT))
    assert recovered == SEAL.local.address
    assert signer_of(replace(RESULT, expiry=1), CHAIN_ID, address, signed(hub, RESULT)) != recovered
    (domain,) = hub.ask("DOMAIN_SEPARATOR")
    assert isinstance(domain, bytes)
    kinds = ["bytes32", "bytes32", "bytes32", "address", "uint256", "uint64", "uint64"]
    kind = keccak(
        b"PaymentResult(bytes32 orderKey,bytes32 commitment,address to,uint256 tokenId,uint64 expiry,uint64 deadline)"
    )
    by_hand = keccak(b"\x19\x01" + domain + keccak(encode(kinds, [kind, *as_arguments(RESULT)])))
    assert digest(RESULT, CHAIN_ID, address) == by_hand


# ---- who signs -------------------------------------------------------------------------------------------------------


def test_two_signers_live_until_the_grace_is_over(hub: Hub) -> None:
    new = fresh_account(hub.evm, 1)
    receipt = hub.send(OWNER, "rotateSigner", SEAL.address, new.address, NOW + 60)
    assert receipt.logs == (
        (event("RoleSet", new.address), encode(["uint256"], [SIGNER])),
        (event("SignerRotated", SEAL.address, new.address), encode(["uint64"], [NOW + 60])),
    )
    assert hub.ask("graceUntil", SEAL.address) == (NOW + 60,)
    hub.evm.at(NOW + 59)
    settled(hub, RESULT)
    hub.send(STRANGER, "settle", as_arguments(result_of(2, to=BOB)), signed(hub, result_of(2, to=BOB), new))
    assert hub.ask("roles", SEAL.address) == (SIGNER,)
    hub.evm.at(NOW + 60)
    assert hub.ask("roles", SEAL.address) == (0,)
    with pytest.raises(Reverted, match=r"^signer$"):
        settled(hub, result_of(3, to=ALICE))
    hub.send(STRANGER, "settle", as_arguments(result_of(3, to=BOB)), signed(hub, result_of(3, to=BOB), new))


def test_a_removed_signer_signs_no_more_at_once(hub: Hub) -> None:
    new = fresh_account(hub.evm, 1)
    receipt = hub.send(OWNER, "rotateSigner", SEAL.address, new.address, NOW)
    assert receipt.logs[0] == (event("RoleSet", SEAL.address), encode(["uint256"], [0]))  # its seat is free
    with pytest.raises(Reverted, match=r"^signer$"):
        settled(hub, RESULT)
    hub.send(OWNER, "rotateSigner", new.address, SEAL.address, NOW + DAY)
    hub.send(OWNER, "setRole", new.address, 0)  # a grace ends early
    with pytest.raises(Reverted, match=r"^signer$"):
        hub.send(STRANGER, "settle", as_arguments(RESULT), signed(hub, RESULT, new))
    assert hub.ask("graceUntil", new.address) == (0,)
    settled(hub, RESULT)


def test_who_is_rotated_back_in_has_no_end(hub: Hub) -> None:
    new = fresh_account(hub.evm, 1)
    hub.send(OWNER, "rotateSigner", SEAL.address, new.address, NOW + 60)
    hub.send(OWNER, "rotateSigner", new.address, SEAL.address, NOW)
    hub.evm.at(NOW + 61)
    settled(hub, RESULT)
    assert hub.ask("graceUntil", SEAL.address) == (0,)


def test_other_roles_survive_a_rotation(hub: Hub) -> None:
    new = fresh_account(hub.evm, 1)
    hub.send(OWNER, "setRole", SEAL.address, SIGNER | REVOKER)
    hub.send(OWNER, "setRole", new.address, REVOKER)
    hub.send(OWNER, "rotateSigner", SEAL.address, new.address, NOW)
    assert hub.ask("roles", SEAL.address) == (REVOKER,)
    assert hub.ask("roles", new.address) == (SIGNER | REVOKER,)


@pytest.mark.parametrize(
    ("old", "new", "grace_until", "reason"),
    [
        (STRANGER.address, TILL.address, NOW, "old"),
        (SEAL.address, SEAL.address, NOW, "new"),
        (SEAL.address, GATE.address, NOW, "roles"),
        (SEAL.address, STRANGER.address, NOW + 7 * DAY + 1, "grace"),
        (SEAL.address, STRANGER.address, 2**64 - 1, "grace"),
    ],
)
def test_a_rotation_that_makes_no_sense_is_refused(
    hub: Hub, old: bytes, new: bytes, grace_until: int, reason: str
) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        hub.send(OWNER, "rotateSigner", old, new, grace_until)
    assert hub.ask("roles", SEAL.address) == (SIGNER,)
    assert hub.ask("roles", STRANGER.address) == (0,)


def test_a_grace_is_not_prolonged(hub: Hub) -> None:
    hub.send(OWNER, "rotateSigner", SEAL.address, STRANGER.address, NOW + 7 * DAY)
    with pytest.raises(Reverted, match=r"^old$"):
        hub.send(OWNER, "rotateSigner", SEAL.address, JUDGE.address, NOW + 7 * DAY)
    assert hub.ask("roles", JUDGE.address) == (REVOKER,)


def test_nobody_is_gateway_and_signer(hub: Hub) -> None:
    with pytest.raises(Reverted, match=r"^roles$"):
        hub.send(OWNER, "setRole", GATE.address, GATEWAY | SIGNER)
    assert hub.ask("roles", GATE.address) == (GATEWAY,)
