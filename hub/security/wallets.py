"""Who signed a text with an Ethereum wallet (EIP-191): the account is recovered from the signature alone."""

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

SIGNATURE = 65  # bytes: r, s, v
# Of secp256k1. Each signature has a twin with the other s; one of the two counts, as EIP-2 says of transactions.
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def signer_of(text: str, signature: bytes) -> str | None:
    """The address (EIP-55) whose key signed `text`; None for bytes that are no signature of an account."""
    if len(signature) != SIGNATURE or signature[64] not in (27, 28):
        return None
    if not 0 < int.from_bytes(signature[32:64]) <= HALF_ORDER:
        return None
    try:
        return str(Account.recover_message(encode_defunct(text=text), signature=signature))
    except (BadSignature, ValidationError, ValueError):
        return None


def digest_of(text: str) -> bytes:
    """The 32 bytes that a wallet signs for `text`, and that a contract wallet is asked about (EIP-1271)."""
    message = encode_defunct(text=text)
    return keccak(b"\x19" + message.version + message.header + message.body)
