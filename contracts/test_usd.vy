# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title TestUSD: a stablecoin without worth, for the embedded node and for tests
@license Apache-2.0
@author The Tongbao founders
@notice Anybody may make as much of it as they like. What it shares with coins that are worth something is their surface:
        EIP-20 with 6 decimals, EIP-2612 permits, and EIP-3009 authorizations, so that a purchase can be tried whole.
@dev Signatures are EIP-712 over {name, version "1", chainId, verifyingContract}. Only the low half of `s` is taken, and
     the separator follows `chain.id`, so no signature counts twice or on another chain.
"""

# ---------------------------------------------------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------------------------------------------------

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256

event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

event AuthorizationCanceled:
    authorizer: indexed(address)
    nonce: indexed(bytes32)


# ---------------------------------------------------------------------------------------------------------------------
# Constants
# ---------------------------------------------------------------------------------------------------------------------

name: public(constant(String[8])) = "Test USD"
symbol: public(constant(String[4])) = "tUSD"
decimals: public(constant(uint8)) = 6
version: public(constant(String[1])) = "1"

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
PERMIT_TYPE: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_TYPE: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
RECEIVE_TYPE: constant(bytes32) = keccak256(
    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
CANCEL_TYPE: constant(bytes32) = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)")

# Above it lie the twins of signatures, which count as well to a careless reader.
HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)

CHAIN: immutable(uint256)
SEPARATOR: immutable(bytes32)


# ---------------------------------------------------------------------------------------------------------------------
# Storage
# ---------------------------------------------------------------------------------------------------------------------

# @notice What an account holds, in millionths.
balanceOf: public(HashMap[address, uint256])

# @notice What a spender may still take of an owner's coins.
allowance: public(HashMap[address, HashMap[address, uint256]])

# @notice All there is.
totalSupply: public(uint256)

# @notice The nonce that the next permit of an owner has to name.
nonces: public(HashMap[address, uint256])

# @notice Whether an EIP-3009 nonce of an authorizer is used or canceled.
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])


# ---------------------------------------------------------------------------------------------------------------------
# Constructor
# ---------------------------------------------------------------------------------------------------------------------

@deploy
def __init__():
    """
    @notice No coins and no owner.
    """
    CHAIN = chain.id
    SEPARATOR = self._separator()


# ---------------------------------------------------------------------------------------------------------------------
# EIP-20
# ---------------------------------------------------------------------------------------------------------------------

@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice Moves coins of the caller.
    @param to Who gets them, not zero.
    @param amount How many, in millionths.
    @return True; it reverts otherwise.
    """
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice Moves coins of `owner` that the caller may take.
    @param owner Whose coins.
    @param to Who gets them, not zero.
    @param amount How many, in millionths.
    @return True; it reverts otherwise.
    """
    allowed: uint256 = self.allowance[owner][msg.sender]
    if allowed != max_value(uint256):
        assert allowed >= amount, "allowance"
        self.allowance[owner][msg.sender] = allowed - amount
    self._move(owner, to, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Lets `spender` take coins of the caller; replaces what was allowed before.
    @param spender Who may take them.
    @param amount How many, in millionths; 2**256 - 1 for no bound.
    @return True.
    """
    self._approve(msg.sender, spender, amount)
    return True


# ---------------------------------------------------------------------------------------------------------------------
# Faucet
# ---------------------------------------------------------------------------------------------------------------------

@external
def mint(to: address, amount: uint256):
    """
    @notice Makes coins out of nothing, for anybody: they are worth nothing.
    @param to Who gets them, not zero.
    @param amount How many, in millionths.
    """
    assert to != empty(address), "to"
    self.totalSupply += amount
    self.balanceOf[to] += amount
    log Transfer(sender=empty(address), receiver=to, amount=amount)


# ---------------------------------------------------------------------------------------------------------------------
# EIP-2612
# ---------------------------------------------------------------------------------------------------------------------

@external
def permit(owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    """
    @notice `approve` by signature. Anybody may send it.
    @param owner Who signed.
    @param spender Who may take coins.
    @param amount How many, in millionths.
    @param deadline The last Unix second at which it counts.
    @param v Part of the signature, 27 or 28.
    @param r Part of the signature.
    @param s Part of the signature, of the lower half.
    """
    assert block.timestamp <= deadline, "late"
    nonce: uint256 = self.nonces[owner]
    self.nonces[owner] = nonce + 1
    self._demand_signed(owner, keccak256(abi_encode(PERMIT_TYPE, owner, spender, amount, nonce, deadline)), v, r, s)
    self._approve(owner, spender, amount)


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice What binds a signature to this coin on this chain.
    @return The EIP-712 separator.
    """
    return self._domain()


# ---------------------------------------------------------------------------------------------------------------------
# EIP-3009
# ---------------------------------------------------------------------------------------------------------------------

@external
def transferWithAuthorization(
    owner: address,
    to: address,
    amount: uint256,
    validAfter: uint256,
    validBefore: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @notice Moves coins by signature. Anybody may send it.
    @param owner Who signed, and whose coins they are.
    @param to Who gets them, not zero.
    @param amount How many, in millionths.
    @param validAfter It counts after this Unix second.
    @param validBefore It counts before this Unix second.
    @param nonce Counts once for each owner.
    @param v Part of the signature, 27 or 28.
    @param r Part of the signature.
    @param s Part of the signature, of the lower half.
    """
    self._use(TRANSFER_TYPE, owner, to, amount, validAfter, validBefore, nonce, v, r, s)


@external
def receiveWithAuthorization(
    owner: address,
    to: address,
    amount: uint256,
    validAfter: uint256,
    validBefore: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @notice The same, sent by the receiver alone: nobody can take it out of a purchase and send it ahead.
    @param owner Who signed, and whose coins they are.
    @param to The caller.
    @param amount How many, in millionths.
    @param validAfter It counts after this Unix second.
    @param validBefore It counts before this Unix second.
    @param nonce Counts once for each owner.
    @param v Part of the signature, 27 or 28.
    @param r Part of the signature.
    @param s Part of the signature, of the lower half.
    """
    assert to == msg.sender, "receiver"
    self._use(RECEIVE_TYPE, owner, to, amount, validAfter, validBefore, nonce, v, r, s)


@external
def cancelAuthorization(authorizer: address, nonce: bytes32, v: uint8, r: bytes32, s: bytes32):
    """
    @notice Uses up a nonce without moving anything. Anybody may send it.
    @param authorizer Who signed.
    @param nonce The nonce, not used yet.
    @param v Part of the signature, 27 or 28.
    @param r Part of the signature.
    @param s Part of the signature, of the lower half.
    """
    assert not self.authorizationState[authorizer][nonce], "used"
    self._demand_signed(authorizer, keccak256(abi_encode(CANCEL_TYPE, authorizer, nonce)), v, r, s)
    self.authorizationState[authorizer][nonce] = True
    log AuthorizationCanceled(authorizer=authorizer, nonce=nonce)


# ---------------------------------------------------------------------------------------------------------------------
# Internal
# ---------------------------------------------------------------------------------------------------------------------

@internal
def _use(
    kind: bytes32,
    owner: address,
    to: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    assert block.timestamp > valid_after, "early"
    assert block.timestamp < valid_before, "late"
    assert not self.authorizationState[owner][nonce], "used"
    struct_hash: bytes32 = keccak256(abi_encode(kind, owner, to, amount, valid_after, valid_before, nonce))
    self._demand_signed(owner, struct_hash, v, r, s)
    self.authorizationState[owner][nonce] = True
    log AuthorizationUsed(authorizer=owner, nonce=nonce)
    self._move(owner, to, amount)


@internal
@view
def _demand_signed(signer: address, struct_hash: bytes32, v: uint8, r: bytes32, s: bytes32):
    assert signer != empty(address), "signer"
    assert convert(s, uint256) <= HALF_ORDER, "signature"
    assert v == 27 or v == 28, "signature"
    digest: bytes32 = keccak256(concat(x"1901", self._domain(), struct_hash))
    assert ecrecover(digest, v, r, s) == signer, "signature"


@internal
@view
def _domain() -> bytes32:
    """
    @dev After a fork of the chain the separator is another one.
    """
    return SEPARATOR if chain.id == CHAIN else self._separator()


@internal
@view
def _separator() -> bytes32:
    return keccak256(abi_encode(DOMAIN_TYPE, keccak256(name), keccak256(version), chain.id, self))


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log Approval(owner=owner, spender=spender, amount=amount)


@internal
def _move(owner: address, to: address, amount: uint256):
    assert to != empty(address), "to"
    assert self.balanceOf[owner] >= amount, "balance"
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
    log Transfer(sender=owner, receiver=to, amount=amount)
