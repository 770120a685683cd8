# pragma version 0.4.3
"""
@title Coins: which tokens are taken, and whether they are now
@license Apache-2.0
"""

from ..shared import ownership
from . import permissions

uses: ownership
uses: permissions


event TokenSet:
    token: indexed(address)
    isTaken: bool

event Paused:
    account: indexed(address)

event Unpaused:
    account: indexed(address)


# Pausing writes each token's word, so that buying learns from one slot whether a token is taken now; hence a bound.
MAX_TOKENS: constant(uint256) = 8
TAKEN: constant(uint256) = 1
PAUSED: constant(uint256) = 2


# @notice Whether buying is stopped; `withdraw` and `refund` never are.
paused: public(bool)

words: HashMap[address, uint256]
listed: DynArray[address, MAX_TOKENS]


@external
def setToken(token: address, isTaken: bool):
    """
    @notice Puts a token on the list or takes it off; offers in it cannot be bought meanwhile.
    @dev OWNER only. At most 8 tokens are on it at a time. Rebasing tokens must not be: what is owed would not follow.
    @param token An EIP-20 contract, not zero.
    @param isTaken Whether it can be paid with.
    """
    ownership._demand_owner()
    assert token != empty(address), "token"
    was_taken: bool = self.words[token] != 0
    if isTaken and not was_taken:
        assert len(self.listed) < MAX_TOKENS, "tokens"
        self.listed.append(token)
        self.words[token] = TAKEN | PAUSED if self.paused else TAKEN
    elif was_taken and not isTaken:
        last: address = self.listed.pop()
        for i: uint256 in range(len(self.listed), bound=MAX_TOKENS):
            if self.listed[i] == token:
                self.listed[i] = last
                break
        self.words[token] = 0
    log TokenSet(token=token, isTaken=isTaken)


@external
def pause():
    """
    @notice Stops buying. Paying out and giving back go on.
    @dev PAUSER only.
    """
    permissions._demand_role(permissions.PAUSER)
    assert not self.paused, "paused"
    self.paused = True
    for token: address in self.listed:
        self.words[token] |= PAUSED
    log Paused(account=msg.sender)


@external
def unpause():
    """
    @notice Lets buying go on.
    @dev PAUSER only.
    """
    permissions._demand_role(permissions.PAUSER)
    assert self.paused, "not paused"
    self.paused = False
    for token: address in self.listed:
        self.words[token] &= ~PAUSED
    log Unpaused(account=msg.sender)


@external
@view
def isTaken(token: address) -> bool:
    """
    @notice Whether a token is on the list.
    @param token Any address.
    @return True while it can be paid with, pauses aside.
    """
    return self.words[token] & TAKEN != 0
