# pragma version 0.4.3
"""
@title Signatures: who signed a struct for this contract on this chain (EIP-712)
@license Apache-2.0
"""


DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
NAME: constant(bytes32) = keccak256("EntitlementHub")
VERSION: constant(bytes32) = keccak256("1")

# Half the group's order: of the two signatures s and n - s only the lower one counts (EIP-2).
MAX_S: constant(bytes32) = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice The EIP-712 domain of signed results: name "EntitlementHub", version "1", this chain and this contract.
    @return Its hash, of the chain as it is now.
    """
    return self._domain()


@internal
@view
def _signer(result: bytes32, sig: Bytes[65]) -> address:
    """
    @dev Who signed the struct with this hash for this contract on this chain.
    """
    assert len(sig) == 65, "signature"
    s: uint256 = convert(extract32(sig, 32), uint256)
    v: uint256 = convert(extract32(sig, 33), uint256) & 255
    assert s <= convert(MAX_S, uint256) and (v == 27 or v == 28), "signature"
    signer: address = ecrecover(
        keccak256(concat(x"1901", self._domain(), result)), v, convert(extract32(sig, 0), uint256), s
    )
    assert signer != empty(address), "signature"
    return signer


@internal
@view
def _domain() -> bytes32:
    """
    @dev Hashed afresh each time, for less than reading a kept one costs: after a fork of the chain it is right by
         itself.
    """
    return keccak256(abi_encode(DOMAIN_TYPE, NAME, VERSION, chain.id, self))
