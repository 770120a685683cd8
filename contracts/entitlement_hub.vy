# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title EntitlementHub: anchors the orders of a knowledge-payment hub and answers whether a right stands
@license Apache-2.0
@author The Tongbao founders
@notice A batch of orders is one Merkle root. Whoever holds an order's proof can ask `verify`, off chain for nothing or
        from a contract, and needs to trust nobody but this code: the hub cannot change what it has anchored, only
        revoke it, one bit an order, and never take a revocation back.
@dev Nothing personal reaches the chain: calldata and events hold roots, counts, hashes, bits and role holders. A leaf is
     `keccak256(keccak256(abi.encode(uint256 index, bytes32 orderKey, address to, uint256 tokenId, uint64 expiry,
     bytes32 commitment)))`, as in OpenZeppelin's StandardMerkleTree; pairs are hashed sorted. There is no proxy: a newer
     hub is named by `successor`, while the roots anchored here stay verifiable here.
"""


# ---------------------------------------------------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------------------------------------------------

event Anchored:
    root: indexed(bytes32)
    count: uint32
    dataHash: bytes32
    kind: uint8

event Revoked:
    root: indexed(bytes32)
    word: uint256
    mask: uint256

event RootRevoked:
    root: indexed(bytes32)

event RoleSet:
    account: indexed(address)
    roles: uint256

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


# ---------------------------------------------------------------------------------------------------------------------
# Types
# ---------------------------------------------------------------------------------------------------------------------

# What `anchored` tells of a root; `count` 0 means that the root is unknown. `at` is the Unix second of the block.
struct Anchor:
    count: uint32
    kind: uint8
    at: uint64
    isRevoked: bool


# ---------------------------------------------------------------------------------------------------------------------
# Constants
# ---------------------------------------------------------------------------------------------------------------------

# Roles, bits of one word per account.
GATEWAY: public(constant(uint256)) = 1
PAUSER: public(constant(uint256)) = 2
REVOKER: public(constant(uint256)) = 4
ALL_ROLES: constant(uint256) = GATEWAY | PAUSER | REVOKER

# Stands in the word of every gateway while the hub is paused, so that `anchor` learns role and pause from one slot.
PAUSED: constant(uint256) = 1 << 255

# Pausing writes each gateway's word, so there is a bound; a worker process has one.
MAX_GATEWAYS: constant(uint256) = 8

# The one kind of root whose leaves are orders and can be rights; others are recorded only.
KIND_ORDERS: public(constant(uint8)) = 1

# 32 siblings reach every index of 32 bits.
MAX_PROOF: constant(uint256) = 32

# An expiry has 56 bits, the highest meaning "no end".
NO_END: public(constant(uint64)) = 2 ** 56 - 1

# The word kept per root: count 32 bits, kind 8, time 64, revoked 1. Vyper does not pack, hence by hand.
COUNT_MASK: constant(uint256) = 2 ** 32 - 1
KIND_SHIFT: constant(uint256) = 32
KIND_MASK: constant(uint256) = 2 ** 8 - 1
TIME_SHIFT: constant(uint256) = 40
TIME_MASK: constant(uint256) = 2 ** 64 - 1
REVOKED_ROOT: constant(uint256) = 1 << 104


# ---------------------------------------------------------------------------------------------------------------------
# Storage
# ---------------------------------------------------------------------------------------------------------------------

# @notice Who sets roles and names the successor.
owner: public(address)

# @notice Who may become owner by `acceptOwner`; zero for nobody.
proposedOwner: public(address)

# @notice The hub that carries on after this one; zero while this one does.
successor: public(address)

# @notice Whether `anchor` is stopped; `verify` and `revoke` never are.
paused: public(bool)

# @notice Revoked orders: 256 a word, `word` = index >> 8; `tag` = the first 160 bits of the root.
revoked: public(HashMap[uint160, HashMap[uint256, uint256]])

anchors: HashMap[bytes32, uint256]
words: HashMap[address, uint256]
gateways: DynArray[address, MAX_GATEWAYS]


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
# Anchoring and revoking
# ---------------------------------------------------------------------------------------------------------------------

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


@external
def revoke(root: bytes32, word: uint256, mask: uint256):
    """
    @notice Ends up to 256 rights of one batch for ever. Repeating it changes nothing.
    @dev REVOKER only, also while paused. The root need not be anchored yet: a bad batch can be stopped on its way.
    @param root The batch.
    @param word Index of the orders divided by 256.
    @param mask One bit an order: bit `index & 255`; at least one.
    """
    assert self.words[msg.sender] & REVOKER != 0, "role"
    assert mask != 0, "mask"
    tag: uint160 = self._tag(root)
    self.revoked[tag][word] |= mask
    log Revoked(root=root, word=word, mask=mask)


@external
def revokeRoot(root: bytes32):
    """
    @notice Ends every right of one batch for ever: the answer to a stolen gateway key. Repeating it changes nothing.
    @dev REVOKER only, also while paused.
    @param root An anchored batch.
    """
    assert self.words[msg.sender] & REVOKER != 0, "role"
    word: uint256 = self.anchors[root]
    assert word != 0, "unknown"
    self.anchors[root] = word | REVOKED_ROOT
    log RootRevoked(root=root)


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
    @return Sum of GATEWAY 1, PAUSER 2, REVOKER 4.
    """
    return self.words[account] & ALL_ROLES


# ---------------------------------------------------------------------------------------------------------------------
# Running the hub
# ---------------------------------------------------------------------------------------------------------------------

@external
def pause():
    """
    @notice Stops `anchor`. What is anchored stays verifiable and revocable.
    @dev PAUSER only.
    """
    assert self.words[msg.sender] & PAUSER != 0, "role"
    assert not self.paused, "paused"
    self.paused = True
    for gateway: address in self.gateways:
        self.words[gateway] |= PAUSED
    log Paused(account=msg.sender)


@external
def unpause():
    """
    @notice Lets `anchor` work again.
    @dev PAUSER only.
    """
    assert self.words[msg.sender] & PAUSER != 0, "role"
    assert self.paused, "not paused"
    self.paused = False
    for gateway: address in self.gateways:
        self.words[gateway] &= ~PAUSED
    log Unpaused(account=msg.sender)


@external
def setRole(account: address, roles: uint256):
    """
    @notice Replaces all roles of an account.
    @dev OWNER only. At most 8 accounts are GATEWAY at a time.
    @param account Who gets or loses roles, not zero.
    @param roles Sum of GATEWAY 1, PAUSER 2, REVOKER 4; 0 takes all away.
    """
    assert msg.sender == self.owner, "owner"
    assert account != empty(address), "account"
    assert roles & ~ALL_ROLES == 0, "roles"
    self._set_roles(account, roles)


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


# ---------------------------------------------------------------------------------------------------------------------
# Internal
# ---------------------------------------------------------------------------------------------------------------------

@internal
def _set_roles(account: address, roles: uint256):
    """
    @dev Keeps two promises for `anchor`: whoever is GATEWAY stands in `gateways`, and their word says whether the hub
         is paused.
    """
    was_gateway: bool = self.words[account] & GATEWAY != 0
    is_gateway: bool = roles & GATEWAY != 0
    if is_gateway and not was_gateway:
        assert len(self.gateways) < MAX_GATEWAYS, "gateways"
        self.gateways.append(account)
    elif was_gateway and not is_gateway:
        last: address = self.gateways.pop()
        for i: uint256 in range(len(self.gateways), bound=MAX_GATEWAYS):
            if self.gateways[i] == account:
                self.gateways[i] = last
                break
    self.words[account] = (roles | PAUSED) if is_gateway and self.paused else roles
    log RoleSet(account=account, roles=roles)


@internal
@pure
def _tag(root: bytes32) -> uint160:
    """
    @dev The first 160 bits of a root.
    """
    return convert(convert(root, uint256) >> 96, uint160)
