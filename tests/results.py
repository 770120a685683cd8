"""Results as a SIGNER's own wallet signs them and anybody checks them, over the typed data that the hub shows."""

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from hub.chain.results import PaymentResult, typed_data


def sign(result: PaymentResult, chain_id: int, contract: str, signer: LocalAccount) -> bytes:
    """65 bytes as `settle` takes them: r, s in the lower half, v 27 or 28."""
    return bytes(signer.sign_message(_signable(result, chain_id, contract)).signature)


def signer_of(result: PaymentResult, chain_id: int, contract: str, signature: bytes) -> str:
    """Whose signature it is, checksummed."""
    return str(Account.recover_message(_signable(result, chain_id, contract), signature=signature))


def digest(result: PaymentResult, chain_id: int, contract: str) -> bytes:
    """The 32 bytes under the signature: of this result, for this contract on this chain."""
    message = _signable(result, chain_id, contract)
    return keccak(b"\x19" + message.version + message.header + message.body)


def _signable(result: PaymentResult, chain_id: int, contract: str) -> SignableMessage:
    return encode_typed_data(full_message=typed_data(result, chain_id, contract))
