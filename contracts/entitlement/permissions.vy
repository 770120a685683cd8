# pragma version 0.4.3
"""
@title Permissions: who may do what at the hub, and whether it is paused
@license Apache-2.0
@dev One word an account, so that a caller's role and the pause are learned from one slot: `pausables` names the
     accounts whose words a pause changes.
"""

from ..shared import ownership

uses: ownership


event RoleSet:
    account: indexed(address)
    roles: uint256

event SignerRotated:
    old: indexed(address)
    new: indexed(address)
    graceUntil: uint64

event Paused:
    account: indexed(address)

event Unpaused:
    account: indexed(address)


# Bits of the word of an account.
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


# @notice Whether recording, settling and claiming are stopped; asking, revoking and burning never are.
paused: public(bool)

words: HashMap[address, uint256]
pausables: DynArray[address, MAX_PAUSABLE]


@external
def setRole(account: address, roles: uint256):
    """
    @notice Replaces all roles of an account.
    @dev OWNER only. At most 16 accounts are GATEWAY, SIGNER or MINTER at a time, and nobody is GATEWAY and SIGNER: who
         steals one key gets one of the two.
    @param account Who gets or loses roles, not zero.
    @param roles Sum of GATEWAY 1, PAUSER 2, REVOKER 4, SIGNER 8, MINTER 16; 0 takes all away, a grace too.
    """
    ownership._demand_owner()
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
    ownership._demand_owner()
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
