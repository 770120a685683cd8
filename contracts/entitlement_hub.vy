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
     wallets that buyers chose. There is no proxy: a newer hub is named by `successor`, while what is anchored and held
     here stays here. The functions are in `entitlement/`, a module for each thing that the hub does.
"""

from .entitlement import anchoring
from .entitlement import claiming
from .entitlement import holdings
from .entitlement import permissions
from .entitlement import revocations
from .entitlement import settling
from .entitlement import signatures
from .entitlement import soulbound
from .shared import ownership

initializes: ownership
initializes: permissions[ownership := ownership]
initializes: revocations
initializes: anchoring[permissions := permissions, revocations := revocations]
initializes: holdings[permissions := permissions, revocations := revocations]
initializes: soulbound[ownership := ownership, holdings := holdings]
initializes: settling[holdings := holdings, permissions := permissions, revocations := revocations]
initializes: claiming[
    anchoring := anchoring,
    holdings := holdings,
    permissions := permissions,
    revocations := revocations,
    settling := settling,
]

exports: (
    anchoring.__interface__,
    claiming.__interface__,
    holdings.__interface__,
    ownership.__interface__,
    permissions.__interface__,
    revocations.__interface__,
    settling.__interface__,
    signatures.__interface__,
    soulbound.__interface__,
)


event SuccessorSet:
    successor: indexed(address)


# @notice The hub that carries on after this one; zero while this one does.
successor: public(address)


@deploy
def __init__(owner: address, gateway: address):
    """
    @notice Gives the hub its owner and its first gateway in one transaction.
    @param owner Who sets roles; a multisig or timelock in production. Not zero.
    @param gateway Who anchors; zero for nobody yet.
    """
    ownership.__init__(owner)
    if gateway != empty(address):
        permissions._set_roles(gateway, permissions.GATEWAY)


@external
def setSuccessor(account: address):
    """
    @notice Names the hub that carries on; what is anchored here stays valid here.
    @dev OWNER only.
    @param account The newer hub, zero for none.
    """
    ownership._demand_owner()
    self.successor = account
    log SuccessorSet(successor=account)
