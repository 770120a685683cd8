"""A Receipt is no PaymentResult: what the hub signs for a buyer settles nothing at the contract, however it is cut,
padded, or signed again with the very key whose results do settle."""

import base64
from collections.abc import Callable, Iterator

import pytest
from eth_account.messages import encode_defunct
from eth_utils import keccak

from hub.chain.results import PaymentResult
from hub.domain.anchors import NO_END, commitment
from hub.domain.entitlements import Opening, Receipt
from hub.security.keys import Key
from hub.security.signing import SignedReceipts
from tests.contracts.evm import NOW, SEAL, STRANGER, TOKEN, Hub, Reverted, as_arguments, calldata, settled
from tests.contracts.holders import ALICE

OPENING = Opening(b"q" * 32, b"p" * 32, b"s" * 32)
RECEIPT = Receipt(
    order_key=keccak(b"order"),
    to="0x" + ALICE.hex(),
    token_id=TOKEN,
    expiry=NO_END,
    commitment=commitment(1, OPENING.request_hash, OPENING.result_hash, OPENING.salt, keccak),
    issued_at_us=NOW * 10**6,
    opening=OPENING,
)
JWS = SignedReceipts(Key(b"r" * 32, is_development=True)).sign(RECEIPT)
# The result of the same right: what would settle, were it signed as such.
RESULT = PaymentResult(
    RECEIPT.order_key, RECEIPT.commitment, RECEIPT.to, RECEIPT.token_id, RECEIPT.expiry, deadline=NOW + 3_600
)
SIGNATURE_REFUSED = r"^(signature|signer)$"


def cut_and_padded() -> Iterator[bytes]:
    """The receipt's own signature, 64 bytes of ES256, in every way to 65, and the texts around it."""
    raw = base64.urlsafe_b64decode(JWS.rpartition(".")[2] + "==")
    assert len(raw) == 64
    yield raw
    yield from (raw + bytes([v]) for v in (0, 1, 27, 28))
    yield from (raw[:32] + smaller(raw[32:]) + bytes([v]) for v in (27, 28))
    yield from (b"\0" + raw, raw[:63].rjust(65, b"\0"), JWS.encode()[:65], JWS.encode()[-65:])


def smaller(s: bytes) -> bytes:
    """The half that the contract takes, so that the signature is looked at and not its form alone."""
    return (int.from_bytes(s) >> 1).to_bytes(32)


def signed_by_the_signer() -> Iterator[bytes]:
    """SEAL, whose results settle, over the receipt as text, as bytes and as their hashes."""
    for said in (JWS.encode(), JWS.rpartition(".")[0].encode(), RECEIPT.commitment, RECEIPT.order_key):
        yield bytes(SEAL.local.unsafe_sign_hash(keccak(said)).signature)
        yield bytes(SEAL.local.sign_message(encode_defunct(said)).signature)
    yield bytes(SEAL.local.unsafe_sign_hash(RECEIPT.commitment).signature)


@pytest.mark.parametrize("signatures", [cut_and_padded, signed_by_the_signer], ids=["receipts key", "signers key"])
def test_06_13_a_receipt_settles_nothing(hub: Hub, signatures: Callable[[], Iterator[bytes]]) -> None:
    for number, signature in enumerate(signatures()):
        with pytest.raises(Reverted, match=SIGNATURE_REFUSED):
            hub.send(STRANGER, "settle", as_arguments(RESULT), signature)
        assert hub.ask("settled", RESULT.order_key) == ((0, False, False),), number
    assert hub.ask("hasAccess", ALICE, TOKEN) == (False,)
    settled(hub, RESULT)  # what is signed as a result does
    assert hub.ask("hasAccess", ALICE, TOKEN) == (True,)


def test_06_13_a_receipt_in_the_place_of_the_result_is_none(hub: Hub) -> None:
    """The bytes of the receipt behind the selector, where the six words and the signature should be."""
    selector = calldata("settle", as_arguments(RESULT), b"")[:4]
    for said in (JWS.encode(), base64.urlsafe_b64decode(JWS.split(".")[1] + "==")):
        with pytest.raises(Reverted):
            hub.evm.send(STRANGER, hub.address, selector + said)
    assert hub.ask("settled", RESULT.order_key) == ((0, False, False),)
