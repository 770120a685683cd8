# pragma version 0.4.3
"""
@title Permissions: who may sell, give back and pause at the splitter
@license Apache-2.0
"""

from ..shared import ownership

uses: ownership


event RoleSet:
    account: indexed(address)
    roles: uint256


# Bits of one word per account.
SELLER: public(constant(uint256)) = 1
REFUNDER: public(constant(uint256)) = 2
PAUSER: public(constant(uint256)) = 4
ALL_ROLES: constant(uint256) = SELLER | REFUNDER | PAUSER


# @notice The roles of an account: sum of SELLER 1, REFUNDER 2, PAUSER 4.
roles: public(HashMap[address, uint256])


@external
def setRole(account: address, roles: uint256):
    """
    @notice Replaces all roles of an account.
    @dev OWNER only.
    @param account Who gets or loses roles, not zero.
    @param roles Sum of SELLER 1, REFUNDER 2, PAUSER 4; 0 takes all away.
    """
    ownership._demand_owner()
    assert account != empty(address), "account"
    assert roles & ~ALL_ROLES == 0, "roles"
    self._set_roles(account, roles)


@internal
@view
def _demand_role(role: uint256):
    assert self.roles[msg.sender] & role != 0, "role"


@internal
def _set_roles(account: address, roles: uint256):
    self.roles[account] = roles
    log RoleSet(account=account, roles=roles)
