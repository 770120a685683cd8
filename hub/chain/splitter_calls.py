"""CheckoutSplitter and its coin as bytes: what deploying and reading them needs."""

from typing import Final

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from contracts import abi
from hub.domain.checkout import Part, Terms
from hub.ports import ChainUnavailable, Paid

SPLITTER: Final = "checkout_splitter"
TEST_USD: Final = "test_usd"
HUB: Final = "entitlement_hub"
ROLE_SELLER: Final = 1
ROLE_REFUNDER: Final = 2
ROLE_PAUSER: Final = 4
ROLE_MINTER: Final = 16  # of the EntitlementHub: what the splitter needs there

PARTS: Final = "(address,uint16)[]"
TERMS: Final = "(address,uint128,uint256,uint64,bytes32)"
DOMAIN: Final = keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
PURCHASED: Final = keccak(text="Purchased(bytes32,bytes32,address,address,uint256)")
OFFER_SET: Final = keccak(text=f"OfferSet(bytes32,{TERMS})")
SPLIT_SET: Final = keccak(text=f"SplitSet(bytes32,{PARTS})")


def separator(name: str, version: str, chain_id: int, token: bytes) -> bytes:
    """What a token answers to DOMAIN_SEPARATOR if it signs as EIP-712 has it."""
    words = DOMAIN + keccak(text=name) + keccak(text=version) + chain_id.to_bytes(32, "big") + token.rjust(32, b"\0")
    return keccak(words)


def paid_in(topics: list[bytes], data: bytes) -> Paid:
    """A Purchased log."""
    return Paid(topics[2], topics[3][12:], data[12:32], int.from_bytes(data[32:64]))


def terms_in(data: bytes) -> Terms:
    """An OfferSet log."""
    ((token, price, token_id, term, split_id),) = decode([TERMS], data)
    return Terms(bytes.fromhex(token[2:]), price, token_id, term, split_id)


def parts_in(data: bytes) -> tuple[Part, ...]:
    """A SplitSet log."""
    (parts,) = decode([PARTS], data)
    return tuple(Part(bytes.fromhex(payee[2:]), bps) for payee, bps in parts)


def said(contract: str, function: str, octets: bytes) -> object:
    """A view's answer; what does not fit is no answer at all."""
    try:
        return abi.answer(contract, function, octets)
    except abi.Misread as misread:
        raise ChainUnavailable(f"the node's answer makes no sense: {misread}") from misread
