# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title EntitlementHub: anchors the orders of a knowledge-payment hub, settles results, and is the token of each right
@license Apache-2.0
@author The Tongbao founders
@notice A batch of orders is one Merkle root. Whoever holds an order's proof can ask `verify`, off chain for nothing or
        from a contract, and needs to trust nobody but this code: the hub cannot change what it has anchored, only
        revoke it, one bit an order, and never take a revocation back. A right that names a wallet can be claimed: it
        becomes a soulbound ERC-1155 token, and `hasAccess` answers for wallet and course without any proof. A single
        order can also be settled directly, by a signed result or by the contract that took the money.
@dev Nothing personal reaches the chain: calldata and events hold roots, counts, hashes, bits, role holders and the
     wallets that buyers chose. A leaf is `keccak256(keccak256(abi.encode(uint256 index, bytes32 orderKey, address to,
     uint256 tokenId, uint64 expiry, bytes32 commitment)))`, as in OpenZeppelin's StandardMerkleTree; pairs are hashed
     sorted. There is no proxy: a newer hub is named by `successor`, while what is anchored and held here stays here.
"""


# ---------------------------------------------------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------------------------------------------------

event Requested:
    orderKey: indexed(bytes32)
    commitment: bytes32

event Settled:
    orderKey: indexed(bytes32)
    commitment: bytes32
    to: indexed(address)
    tokenId: indexed(uint256)
    expiry: uint64

event Anchored:
    root: indexed(bytes32)
    count: uint32
    dataHash: bytes32
    kind: uint8

# The right under a root, or of a settlement (`root` is then the orderKey, `index` 0), is what the wallet holds now.
event Claimed:
    root: indexed(bytes32)
    index: uint32
    to: indexed(address)
    tokenId: indexed(uint256)
    expiry: uint64

# ERC-1155's; minting comes from the zero address, burning goes to it.
event TransferSingle:
    _operator: indexed(address)
    _from: indexed(address)
    _to: indexed(address)
    _id: uint256
    _value: uint256

event Revoked:
    root: indexed(bytes32)
    word: uint256
    mask: uint256

event RootRevoked:
    root: indexed(bytes32)

event OrderRevoked:
    orderKey: indexed(bytes32)

event RoleSet:
    account: indexed(address)
    roles: uint256

event SignerRotated:
    old: indexed(address)
    new: indexed(address)
    graceUntil: uint64

event OwnerProposed:
    owner: indexed(address)
    proposed: indexed(address)

event OwnerChanged:
    previous: indexed(address)
    owner: indexed(address)

event Paused:
    account: indexed(address)

event Unpaused:
    account: indexed(address)

event SuccessorSet:
    successor: indexed(address)

event UriSet:
    uri: String[MAX_URI]


# ---------------------------------------------------------------------------------------------------------------------
# Types
# ---------------------------------------------------------------------------------------------------------------------

# What `anchored` tells of a root; `count` 0 means that the root is unknown. `at` is the Unix second of the block.
struct Anchor:
    count: uint32
    kind: uint8
    at: uint64
    isRevoked: bool

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

# What `held` tells of wallet and token; `expiry` 0 means nothing. `tag` and `index` name the revocation bit.
struct Holding:
    tag: uint160
    index: uint32
    expiry: uint64
    isMinted: bool


# ---------------------------------------------------------------------------------------------------------------------
# Constants
# ---------------------------------------------------------------------------------------------------------------------

# Roles, bits of one word per account.
GATEWAY: public(constant(uint256)) = 1
PAUSER: public(constant(uint256)) = 2
REVOKER: public(constant(uint256)) = 4
SIGNER: public(constant(uint256)) = 8
MINTER: public(constant(uint256)) = 16
ALL_ROLES: constant(uint256) = GATEWAY | PAUSER | REVOKER | SIGNER | MINTER

# The roles whose work a pause stops. It stands as PAUSED in the word of each of their holders, so that `anchor`,
# `settle` and `grantPurchase` learn role and pause from one slot.
PAUSABLE: constant(uint256) = GATEWAY | SIGNER | MINTER
PAUSED: constant(uint256) = 1 << 255

# Pausing writes the word of each holder of such a role, so there is a bound; a worker process has one gateway.
MAX_PAUSABLE: constant(uint256) = 16

# In the word of a SIGNER who was rotated out: the Unix second from which on it signs no more, 64 bits; 0 for no end.
GRACE_SHIFT: constant(uint256) = 64
GRACE_MASK: constant(uint256) = 2 ** 64 - 1

# A rotated signer lives on for results under way, and those live a day; a slip of the pen must not give it a year.
MAX_GRACE: public(constant(uint256)) = 7 * 86_400

# A signed result is used within a day, so that a signature found later is worth nothing.
MAX_DEADLINE: public(constant(uint256)) = 86_400

# EIP-712. Half the group's order: of the two signatures s and n - s only the lower one counts (EIP-2).
DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
RESULT_TYPE: constant(bytes32) = keccak256(
    "PaymentResult(bytes32 orderKey,bytes32 commitment,address to,uint256 tokenId,uint64 expiry,uint64 deadline)"
)
NAME: constant(bytes32) = keccak256("EntitlementHub")
VERSION: constant(bytes32) = keccak256("1")
MAX_S: constant(bytes32) = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

# The one kind of root whose leaves are orders and can be rights; others are recorded only.
KIND_ORDERS: public(constant(uint8)) = 1

# 32 siblings reach every index of 32 bits.
MAX_PROOF: constant(uint256) = 32

# An expiry has 56 bits, the highest meaning "no end".
NO_END: public(constant(uint64)) = 2 ** 56 - 1
NO_END_MASK: constant(uint256) = 2 ** 56 - 1

# The word kept per root: count 32 bits, kind 8, time 64, revoked 1. Vyper does not pack, hence by hand.
COUNT_MASK: constant(uint256) = 2 ** 32 - 1
KIND_SHIFT: constant(uint256) = 32
KIND_MASK: constant(uint256) = 2 ** 8 - 1
TIME_SHIFT: constant(uint256) = 40
TIME_MASK: constant(uint256) = 2 ** 64 - 1
REVOKED_ROOT: constant(uint256) = 1 << 104

# The revocation word, beyond those of all indices, that says of a tag that its whole root is revoked.
WHOLE_ROOT: constant(uint256) = 2 ** 24

# The word kept per settled order: a digest of its right 192 bits, time 56, flags 8.
DIGEST_MASK: constant(uint256) = (2 ** 192 - 1) << 64
SETTLED_SHIFT: constant(uint256) = 8
SETTLED: constant(uint256) = 1
BY_MINTER: constant(uint256) = 2
REVOKED_ORDER: constant(uint256) = 4

# The word kept per wallet and token: tag 160 bits, index 32, expiry 56, flags 8.
TAG_SHIFT: constant(uint256) = 96
TAG_MASK: constant(uint256) = (2 ** 160 - 1) << 96
INDEX_SHIFT: constant(uint256) = 64
EXPIRY_SHIFT: constant(uint256) = 8
MINTED: constant(uint256) = 1

# What a receiver's hook gets: plenty for a smart wallet, and a bound on what a hostile one can burn of a relayer's gas.
HOOK_GAS: constant(uint256) = 100_000

# ERC-1155: what a receiver answers, how many balances one call reads, the longest metadata address.
ACCEPTED: constant(bytes4) = 0xf23a6e61
MAX_BALANCES: constant(uint256) = 128
MAX_DATA: constant(uint256) = 1_024
MAX_URI: constant(uint256) = 256


# ---------------------------------------------------------------------------------------------------------------------
# Storage
# ---------------------------------------------------------------------------------------------------------------------

# @notice Who sets roles and names the successor.
owner: public(address)

# @notice Who may become owner by `acceptOwner`; zero for nobody.
proposedOwner: public(address)

# @notice The hub that carries on after this one; zero while this one does.
successor: public(address)

# @notice Whether recording, settling and claiming are stopped; asking, revoking and burning never are.
paused: public(bool)

# @notice Revoked orders: 256 a word, `word` = index >> 8. `tag` = the first 160 bits of the root; for an order settled
#         directly those of `keccak256(orderKey)`, index 0, since a buyer may choose the key and a hash not.
revoked: public(HashMap[uint160, HashMap[uint256, uint256]])

# @notice The commitment of a request that was recorded ahead of its result; zero for none.
requested: public(HashMap[bytes32, bytes32])

anchors: HashMap[bytes32, uint256]
settlements: HashMap[bytes32, uint256]
holdings: HashMap[address, HashMap[uint256, uint256]]
words: HashMap[address, uint256]
pausables: DynArray[address, MAX_PAUSABLE]
metadata: String[MAX_URI]


# ---------------------------------------------------------------------------------------------------------------------
# Constructor
# ---------------------------------------------------------------------------------------------------------------------

@deploy
def __init__(owner: address, gateway: address):
    """
    @notice Gives the hub its owner and its first gateway in one transaction.
    @param owner Who sets roles; a multisig or timelock in production. Not zero.
    @param gateway Who anchors; zero for nobody yet.
    """
    assert owner != empty(address), "owner"
    self.owner = owner
    log OwnerChanged(previous=empty(address), owner=owner)
    if gateway != empty(address):
        self._set_roles(gateway, GATEWAY)


# ---------------------------------------------------------------------------------------------------------------------
# Recording
# ---------------------------------------------------------------------------------------------------------------------

@external
def recordRequest(orderKey: bytes32, commitment: bytes32):
    """
    @notice Records once that an order's payment was asked for, ahead of its result. Optional: leaves bind requests too.
    @dev GATEWAY only, not while paused.
    @param orderKey What stands for the order, not zero.
    @param commitment Salted hash of the request, not zero.
    """
    self._demand_role(GATEWAY)
    assert orderKey != empty(bytes32), "orderKey"
    assert commitment != empty(bytes32), "commitment"
    assert self.requested[orderKey] == empty(bytes32), "requested"
    self.requested[orderKey] = commitment
    log Requested(orderKey=orderKey, commitment=commitment)


@external
def anchor(root: bytes32, count: uint32, dataHash: bytes32, kind: uint8):
    """
    @notice Records a batch for ever. Its cost does not depend on the number of orders.
    @dev GATEWAY only, not while paused. The root is its own key, so the same batch cannot be recorded twice.
    @param root The Merkle root, not zero.
    @param count Number of leaves, not zero; `verify` refuses any index from there on.
    @param dataHash Hash of the encrypted file of leaves, so that a copy can be recognised; zero for none.
    @param kind 1 orders, 2 requests recorded ahead of their results, 3 heads of the event log; not zero.
    """
    word: uint256 = self.words[msg.sender]
    assert word & GATEWAY != 0, "role"
    assert word & PAUSED == 0, "paused"
    assert root != empty(bytes32), "root"
    assert count != 0, "count"
    assert kind != 0, "kind"
    assert self.anchors[root] == 0, "anchored"
    self.anchors[root] = (
        convert(count, uint256) | (convert(kind, uint256) << KIND_SHIFT) | (block.timestamp << TIME_SHIFT)
    )
    log Anchored(root=root, count=count, dataHash=dataHash, kind=kind)


# ---------------------------------------------------------------------------------------------------------------------
# Settling single orders
# ---------------------------------------------------------------------------------------------------------------------

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
    word: uint256 = self.words[self._signer(keccak256(abi_encode(RESULT_TYPE, r)), sig)]
    assert self._signs(word), "signer"
    assert word & PAUSED == 0, "paused"
    self._settle(r.orderKey, r.to, r.tokenId, r.expiry, r.commitment, SETTLED)


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
    self._demand_role(MINTER)
    self._settle(orderKey, to, tokenId, expiry, commitment, SETTLED | BY_MINTER)


# ---------------------------------------------------------------------------------------------------------------------
# Claiming
# ---------------------------------------------------------------------------------------------------------------------

@external
@nonreentrant
def claim(
    root: bytes32,
    index: uint32,
    orderKey: bytes32,
    to: address,
    tokenId: uint256,
    expiry: uint64,
    commitment: bytes32,
    proof: DynArray[bytes32, MAX_PROOF],
):
    """
    @notice Makes the right of a leaf the one that its wallet holds, and mints the token. Anyone may send it; only the
            wallet in the leaf receives. Repeating it changes nothing, nor does a claim that ends no later than what
            the wallet holds; when that is revoked, the shorter one can be claimed again.
    @dev Not while paused. Reverts "to" for a right without holder and "right" for what `verify` denies.
    @param root The batch; all others as in `verify`.
    @param index The leaf's place.
    @param orderKey What stands for the order.
    @param to The holder, not zero.
    @param tokenId The course.
    @param expiry The right's end.
    @param commitment The leaf's commitment.
    @param proof Siblings from the leaf upwards.
    """
    assert not self.paused, "paused"
    assert to != empty(address), "to"
    assert self._stands(root, index, orderKey, to, tokenId, expiry, commitment, proof), "right"
    was: uint256 = self.holdings[to][tokenId]
    if self._outlasts(expiry, was):
        log Claimed(root=root, index=index, to=to, tokenId=tokenId, expiry=expiry)
        self._hold(to, tokenId, was, root, index, expiry)


@external
@nonreentrant
def claimSettled(orderKey: bytes32, to: address, tokenId: uint256, expiry: uint64):
    """
    @notice Makes the right of a settled order the one that its wallet holds again, after a longer one was revoked.
            Anyone may send it. Changes nothing while what the wallet holds ends no earlier.
    @dev Not while paused. Reverts "right" for another right than the order's, for a revoked and for an expired one.
    @param orderKey The settled order.
    @param to As settled.
    @param tokenId As settled.
    @param expiry As settled.
    """
    assert not self.paused, "paused"
    word: uint256 = self.settlements[orderKey]
    assert word & SETTLED != 0 and word & DIGEST_MASK == self._digest(to, tokenId, expiry), "right"
    assert convert(expiry, uint256) > block.timestamp, "right"
    assert not self._is_revoked(self._tag(keccak256(orderKey)), 0), "right"
    was: uint256 = self.holdings[to][tokenId]
    if self._outlasts(expiry, was):
        log Claimed(root=orderKey, index=0, to=to, tokenId=tokenId, expiry=expiry)
        self._hold(to, tokenId, was, keccak256(orderKey), 0, expiry)


@external
@nonreentrant
def mint(to: address, tokenId: uint256):
    """
    @notice Mints the token of a right whose wallet, a contract, refused it before. Anyone may send it.
    @dev Not while paused. Reverts "right" unless the right stands and has no token, "refused" if the wallet still does.
    @param to The holder.
    @param tokenId The course.
    """
    assert not self.paused, "paused"
    word: uint256 = self.holdings[to][tokenId]
    assert self._is_live(word) and word & MINTED == 0, "right"
    self.holdings[to][tokenId] = word | MINTED
    log TransferSingle(_operator=msg.sender, _from=empty(address), _to=to, _id=tokenId, _value=1)
    assert self._accepts(to, tokenId), "refused"


# ---------------------------------------------------------------------------------------------------------------------
# Revoking and burning
# ---------------------------------------------------------------------------------------------------------------------

@external
def revoke(root: bytes32, word: uint256, mask: uint256):
    """
    @notice Ends up to 256 rights of one batch for ever, claimed or not. Repeating it changes nothing.
    @dev REVOKER only, also while paused. The root need not be anchored yet: a bad batch can be stopped on its way.
    @param root The batch.
    @param word Index of the orders divided by 256.
    @param mask One bit an order: bit `index & 255`; at least one.
    """
    assert self.words[msg.sender] & REVOKER != 0, "role"
    assert mask != 0, "mask"
    assert word < WHOLE_ROOT, "word"
    tag: uint160 = self._tag(root)
    self.revoked[tag][word] |= mask
    log Revoked(root=root, word=word, mask=mask)


@external
def revokeRoot(root: bytes32):
    """
    @notice Ends every right of one batch for ever, claimed or not: the answer to a stolen gateway key. Repeating it
            changes nothing.
    @dev REVOKER only, also while paused. Bits are kept by the first 160 bits of a root, so leave alone a root that
         begins like an honest one: whoever anchored it knows no leaf under it, and revoking it would end the other's.
    @param root An anchored batch.
    """
    assert self.words[msg.sender] & REVOKER != 0, "role"
    word: uint256 = self.anchors[root]
    assert word != 0, "unknown"
    self.anchors[root] = word | REVOKED_ROOT
    tag: uint160 = self._tag(root)
    self.revoked[tag][WHOLE_ROOT] = 1
    log RootRevoked(root=root)


@external
def revokeOrder(orderKey: bytes32):
    """
    @notice Ends the right of one order settled directly, for ever; one not settled yet never will be. Repeating it
            changes nothing. Rights under a root end by `revoke`.
    @dev REVOKER, or MINTER for an order that a MINTER granted; also while paused.
    @param orderKey What stands for the order.
    """
    word: uint256 = self.settlements[orderKey]
    roles: uint256 = self.words[msg.sender]
    assert roles & REVOKER != 0 or (roles & MINTER != 0 and word & BY_MINTER != 0), "role"
    self.settlements[orderKey] = word | REVOKED_ORDER
    tag: uint160 = self._tag(keccak256(orderKey))
    self.revoked[tag][0] |= 1
    log OrderRevoked(orderKey=orderKey)


@external
@nonreentrant
def burnRevoked(to: address, tokenId: uint256):
    """
    @notice Takes a revoked right off its wallet. Anyone may send it, also while paused.
    @dev Reverts "revoked" unless the wallet holds the token by a right that is revoked.
    @param to The holder.
    @param tokenId The course.
    """
    word: uint256 = self.holdings[to][tokenId]
    assert word != 0 and self._is_word_revoked(word), "revoked"
    self._burn(to, tokenId, word)


@external
@nonreentrant
def burnExpired(to: address, tokenId: uint256):
    """
    @notice Takes an expired right off its wallet. Anyone may send it, also while paused.
    @dev Reverts "expired" unless the wallet holds the token by a right that has expired.
    @param to The holder.
    @param tokenId The course.
    """
    word: uint256 = self.holdings[to][tokenId]
    assert word != 0 and convert(self._expiry(word), uint256) <= block.timestamp, "expired"
    self._burn(to, tokenId, word)


# ---------------------------------------------------------------------------------------------------------------------
# Asking
# ---------------------------------------------------------------------------------------------------------------------

@external
@view
def verify(
    root: bytes32,
    index: uint32,
    orderKey: bytes32,
    to: address,
    tokenId: uint256,
    expiry: uint64,
    commitment: bytes32,
    proof: DynArray[bytes32, MAX_PROOF],
) -> bool:
    """
    @notice Whether this leaf is a right that stands now: anchored as an order, neither revoked nor expired.
    @dev Never reverts for a wrong leaf or proof, only for malformed calldata (a proof of more than 32 siblings). A leaf
         with `to` zero is a right without holder and verifies; whose it is shows who can open its commitment.
    @param root The batch.
    @param index The leaf's place in the batch, below the anchored count.
    @param orderKey What stands for the order.
    @param to The holder, zero for none.
    @param tokenId The course. Zero is an order that grants nothing: recorded, but no right, so the answer is false.
    @param expiry First Unix second at which the right no longer stands; 2**56 - 1 for no end; above, no right.
    @param commitment Salted hash that binds payment request and result.
    @param proof Siblings from the leaf upwards.
    @return Whether the right stands.
    """
    return self._stands(root, index, orderKey, to, tokenId, expiry, commitment, proof)


@external
@view
def hasAccess(to: address, tokenId: uint256) -> bool:
    """
    @notice Whether a wallet holds a right to a course that stands now: claimed or settled, neither revoked nor expired.
    @param to Any wallet.
    @param tokenId The course.
    @return Whether it stands, with or without a minted token.
    """
    return self._is_live(self.holdings[to][tokenId])


@external
@view
def expiresAt(to: address, tokenId: uint256) -> uint64:
    """
    @notice When the right that a wallet holds ends, or has ended.
    @param to Any wallet.
    @param tokenId The course.
    @return First Unix second without access, 2**56 - 1 for no end; 0 when nothing is held or what is held is revoked.
    """
    word: uint256 = self.holdings[to][tokenId]
    return empty(uint64) if self._is_word_revoked(word) else self._expiry(word)


@external
@view
def locked(to: address, tokenId: uint256) -> bool:
    """
    @notice Whether a wallet has a token that cannot move; every token here is soulbound.
    @param to Any wallet.
    @param tokenId The course.
    @return The same as whether its balance is 1.
    """
    return self.holdings[to][tokenId] & MINTED != 0


@external
@view
def held(to: address, tokenId: uint256) -> Holding:
    """
    @notice What is kept of wallet and course, revoked and expired rights too.
    @param to Any wallet.
    @param tokenId The course.
    @return Tag and index of the revocation bit, expiry (0 for nothing held), whether the token is minted.
    """
    word: uint256 = self.holdings[to][tokenId]
    return Holding(
        tag=convert(word >> TAG_SHIFT, uint160),
        index=convert((word >> INDEX_SHIFT) & COUNT_MASK, uint32),
        expiry=self._expiry(word),
        isMinted=word & MINTED != 0,
    )


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
        at=convert((word >> SETTLED_SHIFT) & NO_END_MASK, uint64),
        isByMinter=word & BY_MINTER != 0,
        isRevoked=word & REVOKED_ORDER != 0,
    )


@external
@view
def anchored(root: bytes32) -> Anchor:
    """
    @notice What is recorded of a batch.
    @param root The batch.
    @return Count (0 for an unknown root), kind, time in Unix seconds, and whether the whole batch is revoked.
    """
    word: uint256 = self.anchors[root]
    return Anchor(
        count=convert(word & COUNT_MASK, uint32),
        kind=convert((word >> KIND_SHIFT) & KIND_MASK, uint8),
        at=convert((word >> TIME_SHIFT) & TIME_MASK, uint64),
        isRevoked=word & REVOKED_ROOT != 0,
    )


@external
@view
def roles(account: address) -> uint256:
    """
    @notice The roles of an account.
    @param account Anybody.
    @return Sum of GATEWAY 1, PAUSER 2, REVOKER 4, SIGNER 8, MINTER 16; without SIGNER when its grace is over.
    """
    word: uint256 = self.words[account]
    return word & ALL_ROLES if self._signs(word) else word & (ALL_ROLES ^ SIGNER)


@external
@view
def graceUntil(account: address) -> uint64:
    """
    @notice When a signer who was rotated out signs no more.
    @param account Anybody.
    @return First Unix second without the role; 0 for no such end.
    """
    return convert((self.words[account] >> GRACE_SHIFT) & GRACE_MASK, uint64)


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice The EIP-712 domain of signed results: name "EntitlementHub", version "1", this chain and this contract.
    @return Its hash, of the chain as it is now.
    """
    return self._domain()


# ---------------------------------------------------------------------------------------------------------------------
# ERC-1155, soulbound
# ---------------------------------------------------------------------------------------------------------------------

@external
@view
def balanceOf(account: address, id: uint256) -> uint256:
    """
    @notice The number of tokens of a course that a wallet has. It changes together with a transfer event alone: a
            revoked or expired token counts until it is burned. Whether there is access is told by `hasAccess`.
    @param account Any wallet.
    @param id The course.
    @return 0 or 1.
    """
    return self.holdings[account][id] & MINTED


@external
@view
def balanceOfBatch(
    accounts: DynArray[address, MAX_BALANCES], ids: DynArray[uint256, MAX_BALANCES]
) -> DynArray[uint256, MAX_BALANCES]:
    """
    @notice Several balances at once.
    @param accounts At most 128 wallets.
    @param ids As many courses.
    @return The balance of each wallet and course, in their order.
    """
    assert len(accounts) == len(ids), "length"
    balances: DynArray[uint256, MAX_BALANCES] = []
    for i: uint256 in range(len(ids), bound=MAX_BALANCES):
        balances.append(self.holdings[accounts[i]][ids[i]] & MINTED)
    return balances


@external
@view
def uri(id: uint256) -> String[MAX_URI]:
    """
    @notice Where a course's metadata is; nothing of its holders is there.
    @param id Any course; the address is the same for all, with `{id}` in it for clients to fill in.
    @return The address, empty until the owner has set it.
    """
    return self.metadata


@external
@pure
def isApprovedForAll(account: address, operator: address) -> bool:
    """
    @notice Soulbound: nobody may move another's tokens.
    @param account Anybody.
    @param operator Anybody.
    @return Always false.
    """
    return False


@external
@pure
def setApprovalForAll(operator: address, approved: bool):
    """
    @notice Soulbound: always reverts.
    @param operator Anybody.
    @param approved Anything.
    """
    raise "soulbound"


@external
@pure
def safeTransferFrom(owner: address, to: address, id: uint256, amount: uint256, data: Bytes[MAX_DATA]):
    """
    @notice Soulbound: always reverts.
    @param owner Anybody.
    @param to Anybody.
    @param id Anything.
    @param amount Anything.
    @param data Anything.
    """
    raise "soulbound"


@external
@pure
def safeBatchTransferFrom(
    owner: address,
    to: address,
    ids: DynArray[uint256, MAX_BALANCES],
    amounts: DynArray[uint256, MAX_BALANCES],
    data: Bytes[MAX_DATA],
):
    """
    @notice Soulbound: always reverts.
    @param owner Anybody.
    @param to Anybody.
    @param ids Anything.
    @param amounts Anything.
    @param data Anything.
    """
    raise "soulbound"


@external
@pure
def supportsInterface(interfaceId: bytes4) -> bool:
    """
    @notice ERC-165.
    @param interfaceId Any interface.
    @return True for ERC-165, ERC-1155 and its metadata.
    """
    return interfaceId in [0x01ffc9a7, 0xd9b67a26, 0x0e89341c]


# ---------------------------------------------------------------------------------------------------------------------
# Running the hub
# ---------------------------------------------------------------------------------------------------------------------

@external
def pause():
    """
    @notice Stops `recordRequest`, `anchor`, `settle`, `grantPurchase`, `claim`, `claimSettled` and `mint`. What is there
            can still be asked for, revoked and burned.
    @dev PAUSER only.
    """
    assert self.words[msg.sender] & PAUSER != 0, "role"
    assert not self.paused, "paused"
    self.paused = True
    for account: address in self.pausables:
        self.words[account] |= PAUSED
    log Paused(account=msg.sender)


@external
def unpause():
    """
    @notice Lets go on what `pause` stopped.
    @dev PAUSER only.
    """
    assert self.words[msg.sender] & PAUSER != 0, "role"
    assert self.paused, "not paused"
    self.paused = False
    for account: address in self.pausables:
        self.words[account] &= ~PAUSED
    log Unpaused(account=msg.sender)


@external
def setRole(account: address, roles: uint256):
    """
    @notice Replaces all roles of an account.
    @dev OWNER only. At most 16 accounts are GATEWAY, SIGNER or MINTER at a time, and nobody is GATEWAY and SIGNER: who
         steals one key gets one of the two.
    @param account Who gets or loses roles, not zero.
    @param roles Sum of GATEWAY 1, PAUSER 2, REVOKER 4, SIGNER 8, MINTER 16; 0 takes all away, a grace too.
    """
    assert msg.sender == self.owner, "owner"
    self._set_roles(account, roles)


@external
def rotateSigner(old: address, new: address, graceUntil: uint64):
    """
    @notice Makes `new` a SIGNER, and `old` one for a while yet, so that results under way still settle.
    @dev OWNER only. `setRole` ends a grace early and gives the seat of the old signer free.
    @param old A SIGNER who was not rotated out before; keeps its other roles.
    @param new Another account, which keeps its roles.
    @param graceUntil Unix second from which on `old` signs no more, at most MAX_GRACE seconds ahead; the present or
           any time before it takes the role away at once.
    """
    assert msg.sender == self.owner, "owner"
    assert old != new, "new"
    word: uint256 = self.words[old]
    assert word & SIGNER != 0 and word >> GRACE_SHIFT & GRACE_MASK == 0, "old"
    end: uint256 = convert(graceUntil, uint256)
    assert end <= block.timestamp + MAX_GRACE, "grace"
    if end > block.timestamp:
        self.words[old] = word | (end << GRACE_SHIFT)
    else:
        self._set_roles(old, word & (ALL_ROLES ^ SIGNER))
    self._set_roles(new, (self.words[new] & ALL_ROLES) | SIGNER)
    log SignerRotated(old=old, new=new, graceUntil=graceUntil)


@external
def proposeOwner(account: address):
    """
    @notice First step of a change of owner; zero withdraws a proposal.
    @dev OWNER only. Nothing changes until `account` accepts, so a mistyped address cannot lose the hub.
    @param account Who may accept.
    """
    assert msg.sender == self.owner, "owner"
    self.proposedOwner = account
    log OwnerProposed(owner=msg.sender, proposed=account)


@external
def acceptOwner():
    """
    @notice Second step: the proposed account becomes owner.
    """
    assert msg.sender == self.proposedOwner, "proposed"
    log OwnerChanged(previous=self.owner, owner=msg.sender)
    self.owner = msg.sender
    self.proposedOwner = empty(address)


@external
def setSuccessor(account: address):
    """
    @notice Names the hub that carries on; what is anchored here stays valid here.
    @dev OWNER only.
    @param account The newer hub, zero for none.
    """
    assert msg.sender == self.owner, "owner"
    self.successor = account
    log SuccessorSet(successor=account)


@external
def setUri(uri: String[MAX_URI]):
    """
    @notice Says where wallets find the metadata of courses.
    @dev OWNER only.
    @param uri An address with `{id}` in it, as ERC-1155 has it; at most 256 bytes.
    """
    assert msg.sender == self.owner, "owner"
    self.metadata = uri
    log UriSet(uri=uri)


# ---------------------------------------------------------------------------------------------------------------------
# Internal
# ---------------------------------------------------------------------------------------------------------------------

@internal
@view
def _demand_role(role: uint256):
    """
    @dev That the sender holds a role that a pause stops, and nothing is paused. `anchor`, whose gas is counted, has
         these lines in place.
    """
    word: uint256 = self.words[msg.sender]
    assert word & role != 0, "role"
    assert word & PAUSED == 0, "paused"


@internal
@view
def _signs(word: uint256) -> bool:
    """
    @dev Whether the account with this word is a SIGNER now.
    """
    end: uint256 = (word >> GRACE_SHIFT) & GRACE_MASK
    return word & SIGNER != 0 and (end == 0 or block.timestamp < end)


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


@internal
def _settle(orderKey: bytes32, to: address, tokenId: uint256, expiry: uint64, commitment: bytes32, flags: uint256):
    """
    @dev Once per order: its word is written before anything else happens.
    """
    assert orderKey != empty(bytes32), "orderKey"
    assert to != empty(address), "to"
    assert tokenId != 0, "tokenId"
    assert convert(expiry, uint256) > block.timestamp and expiry <= NO_END, "expiry"
    assert self.settlements[orderKey] == 0, "settled"
    self.settlements[orderKey] = self._digest(to, tokenId, expiry) | (block.timestamp << SETTLED_SHIFT) | flags
    log Settled(orderKey=orderKey, commitment=commitment, to=to, tokenId=tokenId, expiry=expiry)
    was: uint256 = self.holdings[to][tokenId]
    if self._outlasts(expiry, was):
        self._hold(to, tokenId, was, keccak256(orderKey), 0, expiry)


@internal
@pure
def _digest(to: address, tokenId: uint256, expiry: uint64) -> uint256:
    """
    @dev What an order's word keeps of its right: 192 bits, too many for two rights to share them.
    """
    return convert(keccak256(abi_encode(to, tokenId, expiry)), uint256) & DIGEST_MASK


@internal
@view
def _outlasts(expiry: uint64, was: uint256) -> bool:
    """
    @dev Whether a right with this end is to replace what the wallet holds: nothing, a shorter or a revoked one.
    """
    return self._expiry(was) < expiry or self._is_word_revoked(was)


@internal
def _hold(to: address, tokenId: uint256, was: uint256, source: bytes32, index: uint32, expiry: uint64):
    """
    @dev Writes what the wallet holds, by a right of `source` (a root, or a hashed orderKey), and mints its token if
         it has none, as `was`, the word so far, tells. A wallet that refuses the token keeps the
         right: mint and burn are both told, since the hook may have looked at the balance.
    """
    word: uint256 = (
        (convert(source, uint256) & TAG_MASK)
        | (convert(index, uint256) << INDEX_SHIFT)
        | (convert(expiry, uint256) << EXPIRY_SHIFT)
    )
    self.holdings[to][tokenId] = word | MINTED
    if was & MINTED != 0:
        return
    log TransferSingle(_operator=msg.sender, _from=empty(address), _to=to, _id=tokenId, _value=1)
    if not self._accepts(to, tokenId):
        self.holdings[to][tokenId] = word
        log TransferSingle(_operator=msg.sender, _from=to, _to=empty(address), _id=tokenId, _value=1)


@internal
def _accepts(to: address, tokenId: uint256) -> bool:
    """
    @dev The receiver's hook of ERC-1155, for a wallet that is a contract. Nobody can starve it: with too little gas
         left for it all reverts.
    """
    if not to.is_contract:
        return True
    assert msg.gas > HOOK_GAS * 65 // 64 + 10_000, "gas"
    success: bool = False
    answer: Bytes[32] = b""
    success, answer = raw_call(
        to,
        abi_encode(
            msg.sender,
            empty(address),
            tokenId,
            convert(1, uint256),
            b"",
            method_id=method_id("onERC1155Received(address,address,uint256,uint256,bytes)"),
        ),
        max_outsize=32,
        gas=HOOK_GAS,
        revert_on_failure=False,
    )
    return success and len(answer) == 32 and convert(answer, bytes32) == convert(ACCEPTED, bytes32)


@internal
def _burn(to: address, tokenId: uint256, word: uint256):
    """
    @dev Takes off the right and, if it was minted, its token.
    """
    self.holdings[to][tokenId] = 0
    if word & MINTED != 0:
        log TransferSingle(_operator=msg.sender, _from=to, _to=empty(address), _id=tokenId, _value=1)


@internal
@view
def _stands(
    root: bytes32,
    index: uint32,
    orderKey: bytes32,
    to: address,
    tokenId: uint256,
    expiry: uint64,
    commitment: bytes32,
    proof: DynArray[bytes32, MAX_PROOF],
) -> bool:
    """
    @dev What `verify` answers.
    """
    if tokenId == 0 or convert(expiry, uint256) <= block.timestamp or expiry > NO_END:
        return False
    word: uint256 = self.anchors[root]
    place: uint256 = convert(index, uint256)
    if place >= word & COUNT_MASK:
        return False
    if (word >> KIND_SHIFT) & KIND_MASK != convert(KIND_ORDERS, uint256) or word & REVOKED_ROOT != 0:
        return False
    if (self.revoked[self._tag(root)][place >> 8] >> (place & 255)) & 1 != 0:
        return False
    node: bytes32 = keccak256(keccak256(abi_encode(index, orderKey, to, tokenId, expiry, commitment)))
    for sibling: bytes32 in proof:
        if convert(node, uint256) < convert(sibling, uint256):
            node = keccak256(concat(node, sibling))
        else:
            node = keccak256(concat(sibling, node))
    return node == root


@internal
@view
def _is_live(word: uint256) -> bool:
    """
    @dev Whether what a wallet holds stands now.
    """
    return convert(self._expiry(word), uint256) > block.timestamp and not self._is_word_revoked(word)


@internal
@view
def _is_word_revoked(word: uint256) -> bool:
    """
    @dev Whether what a wallet holds is revoked.
    """
    return self._is_revoked(convert(word >> TAG_SHIFT, uint160), (word >> INDEX_SHIFT) & COUNT_MASK)


@internal
@view
def _is_revoked(tag: uint160, index: uint256) -> bool:
    """
    @dev By its own bit or with its whole root.
    """
    return (self.revoked[tag][index >> 8] >> (index & 255)) & 1 != 0 or self.revoked[tag][WHOLE_ROOT] != 0


@internal
@pure
def _expiry(word: uint256) -> uint64:
    """
    @dev The end of what a wallet holds; 0 for nothing.
    """
    return convert((word >> EXPIRY_SHIFT) & NO_END_MASK, uint64)


@internal
def _set_roles(account: address, roles: uint256):
    """
    @dev Keeps two promises for who asks a word: whoever holds a role that a pause stops stands in `pausables`, and
         their word says whether the hub is paused.
    """
    assert account != empty(address), "account"
    assert roles & ~ALL_ROLES == 0 and roles & (GATEWAY | SIGNER) != GATEWAY | SIGNER, "roles"
    was_pausable: bool = self.words[account] & PAUSABLE != 0
    is_pausable: bool = roles & PAUSABLE != 0
    if is_pausable and not was_pausable:
        assert len(self.pausables) < MAX_PAUSABLE, "seats"
        self.pausables.append(account)
    elif was_pausable and not is_pausable:
        last: address = self.pausables.pop()
        for i: uint256 in range(len(self.pausables), bound=MAX_PAUSABLE):
            if self.pausables[i] == account:
                self.pausables[i] = last
                break
    self.words[account] = (roles | PAUSED) if is_pausable and self.paused else roles
    log RoleSet(account=account, roles=roles)


@internal
@pure
def _tag(root: bytes32) -> uint160:
    """
    @dev The first 160 bits of a root or of a hashed orderKey. A plain orderKey would not do: a buyer may choose one
         whose revocation ends a right under a root, or another order's.
    """
    return convert(convert(root, uint256) >> TAG_SHIFT, uint160)

