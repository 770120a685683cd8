# pragma version 0.4.3
"""
@title Ownership: who sets roles, handed over in two steps so that a mistyped address cannot lose the contract
@license Apache-2.0
"""


event OwnerProposed:
    owner: indexed(address)
    proposed: indexed(address)

event OwnerChanged:
    previous: indexed(address)
    owner: indexed(address)


# @notice Who sets roles.
owner: public(address)

# @notice Who may become owner by `acceptOwner`; zero for nobody.
proposedOwner: public(address)


@deploy
def __init__(owner: address):
    """
    @param owner The first, not zero.
    """
    assert owner != empty(address), "owner"
    self.owner = owner
    log OwnerChanged(previous=empty(address), owner=owner)


@external
def proposeOwner(account: address):
    """
    @notice First step of a change of owner; zero withdraws a proposal.
    @dev OWNER only. Nothing changes until `account` accepts, so a mistyped address cannot lose the contract.
    @param account Who may accept.
    """
    self._demand_owner()
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


@internal
@view
def _demand_owner():
    assert msg.sender == self.owner, "owner"
