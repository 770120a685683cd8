# pragma version 0.4.3
"""
@title Settling: single orders, each once, by a signed result or on the word of the contract that took the money
@license Apache-2.0
"""

from . import anchoring
from . import holdings
from . import permissions
from . import revocations
from . import signatures

uses: holdings
uses: permissions
uses: revocations


event Settled:
    orderKey: indexed(bytes32)
    commitment: bytes32
    to: indexed(address)
    tokenId: indexed(uint256)
    expiry: uint64

event OrderRevoked:
    orderKey: indexed(bytes32)


# What a SIGNER signs: that this order has ended in this right. The same fields in the same order as its EIP-712 type.
struct PaymentResult:
    orderKey: bytes32
    commitment: bytes32
    to: address
    tokenId: uint256
    expiry: uint64
    deadline: uint64

# What `settled` tells of an order; `at` 0 means that it was not settled here (it may be revoked nevertheless).
struct Settlement:
    at: uint64
    isByMinter: bool
    isRevoked: bool


RESULT_TYPE: constant(bytes32) = keccak256(
    "PaymentResult(bytes32 orderKey,bytes32 commitment,address to,uint256 tokenId,uint64 expiry,uint64 deadline)"
)

# A signed result is used within a day, so that a signature found later is worth nothing.
MAX_DEADLINE: public(constant(uint256)) = 86_400

# The word kept per settled order: a digest of its right 192 bits, time 56, flags 8.
DIGEST_MASK: constant(uint256) = (2 ** 192 - 1) << 64
TIME_SHIFT: constant(uint256) = 8
TIME_MASK: constant(uint256) = 2 ** 56 - 1
BY_MINTER: constant(uint256) = 1
REVOKED_ORDER: constant(uint256) = 2


settlements: HashMap[bytes32, uint256]


@external
@nonreentrant
def settle(r: PaymentResult, sig: Bytes[65]):
    """
    @notice Settles one order once by its signed result: the right is held by `r.to` and minted. Anyone may send it.
    @dev Not while paused. Reverts "settled" for an order settled before or revoked. A receiver contract that refuses
         the token holds the right all the same, without the token: see `mint`. If the wallet holds the same token for
         at least as long already, the order is settled and the holding stays: see `claimSettled`.
    @param r The result; `expiry` as in `verify` and in the future, `to` and `tokenId` not zero, `deadline` the last
           Unix second at which it settles, at most MAX_DEADLINE seconds ahead.
    @param sig r, s, v of a SIGNER's EIP-712 signature of the result; 65 bytes, s in the lower half, v 27 or 28.
    """
    assert unsafe_sub(convert(r.deadline, uint256), block.timestamp) <= MAX_DEADLINE, "deadline"  # past ones wrap
    word: uint256 = permissions.words[signatures._signer(keccak256(abi_encode(RESULT_TYPE, r)), sig)]
    assert permissions._signs(word), "signer"
    assert word & permissions.PAUSED == 0, "paused"
    self._settle(r.orderKey, r.to, r.tokenId, r.expiry, r.commitment, 0)


@external
@nonreentrant
def grantPurchase(orderKey: bytes32, to: address, tokenId: uint256, expiry: uint64, commitment: bytes32):
    """
    @notice Settles one order once, on the word of the contract that has just taken the money for it.
    @dev MINTER only, not while paused; otherwise as `settle`, whose event it logs. Reverts with role, paused, settled,
         orderKey, to, tokenId, expiry. May call `onERC1155Received` of `to`, so the caller guards its own state; a
         receiver that refuses does not make it revert. `revokeOrder` takes the purchase back.
    @param orderKey What stands for the order, not zero.
    @param to The holder, not zero.
    @param tokenId The course, not zero.
    @param expiry First Unix second at which the right no longer stands; in the future; 2**56 - 1 for no end.
    @param commitment Salted hash that binds payment request and result; zero for none.
    """
    permissions._demand_role(permissions.MINTER)
    self._settle(orderKey, to, tokenId, expiry, commitment, BY_MINTER)


@external
def revokeOrder(orderKey: bytes32):
    """
    @notice Ends the right of one order settled directly, for ever; one not settled yet never will be. Repeating it
            changes nothing. Rights under a root end by `revoke`.
    @dev REVOKER, or MINTER for an order that a MINTER granted; also while paused.
    @param orderKey What stands for the order.
    """
    word: uint256 = self.settlements[orderKey]
    office: uint256 = permissions.words[msg.sender]
    assert office & permissions.REVOKER != 0 or (office & permissions.MINTER != 0 and word & BY_MINTER != 0), "role"
    self.settlements[orderKey] = word | REVOKED_ORDER
    tag: uint160 = revocations._tag(keccak256(orderKey))
    revocations.revoked[tag][0] |= 1
    log OrderRevoked(orderKey=orderKey)


@external
@view
def settled(orderKey: bytes32) -> Settlement:
    """
    @notice Whether and how an order was settled directly.
    @param orderKey What stands for the order.
    @return Time in Unix seconds (0 for not settled), whether by a MINTER, and whether `revokeOrder` ended it.
    """
    word: uint256 = self.settlements[orderKey]
    return Settlement(
        at=convert((word >> TIME_SHIFT) & TIME_MASK, uint64),
        isByMinter=word & BY_MINTER != 0,
        isRevoked=word & REVOKED_ORDER != 0,
    )


@internal
def _settle(orderKey: bytes32, to: address, tokenId: uint256, expiry: uint64, commitment: bytes32, flags: uint256):
    """
    @dev Once per order: its word is written before anything else happens.
    """
    assert orderKey != empty(bytes32), "orderKey"
    assert to != empty(address), "to"
    assert tokenId != 0, "tokenId"
    assert convert(expiry, uint256) > block.timestamp and expiry <= anchoring.NO_END, "expiry"
    assert self.settlements[orderKey] == 0, "settled"
    self.settlements[orderKey] = self._digest(to, tokenId, expiry) | (block.timestamp << TIME_SHIFT) | flags
    log Settled(orderKey=orderKey, commitment=commitment, to=to, tokenId=tokenId, expiry=expiry)
    was: uint256 = holdings.words[to][tokenId]
    if holdings._outlasts(expiry, was):
        holdings._hold(to, tokenId, was, keccak256(orderKey), 0, expiry)


@internal
@pure
def _digest(to: address, tokenId: uint256, expiry: uint64) -> uint256:
    """
    @dev What an order's word keeps of its right: 192 bits, too many for two rights to share them.
    """
    return convert(keccak256(abi_encode(to, tokenId, expiry)), uint256) & DIGEST_MASK
