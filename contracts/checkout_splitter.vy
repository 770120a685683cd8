# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title CheckoutSplitter: a course bought with a stablecoin, its price split and its right recorded in one transaction
@license Apache-2.0
@author The Tongbao founders
@notice Nobody holds the money between buyer and payees but this code. What comes in for a split is divided among its
        payees, and they are paid out, when they or anybody for them ask; a payee who cannot be paid holds up nobody
        else. So buying costs the same however many share.
@dev Splits and offers are named by the hash of their terms, so that price, payees and right never change under a name;
     whoever buys brings the terms along, which is cheaper than to keep them. A purchase is named by its order key,
     `keccak256(abi.encode(chain.id, this, offerId, reference, to, deadline, payer))`: under the key that a hub waits
     for, nothing can be bought but that offer, at its price, by that payer for that holder, in time, once. Only the
     tokens on the list are taken, and only where what arrives is what was asked. There is no proxy.
     The functions are in `checkout/`, a module for each thing that the splitter does.
"""

from .checkout import coins
from .checkout import dues
from .checkout import offers
from .checkout import permissions
from .checkout import purchases
from .checkout import refunds
from .checkout import splits
from .shared import ownership

initializes: ownership
initializes: permissions[ownership := ownership]
initializes: coins[ownership := ownership, permissions := permissions]
initializes: splits[permissions := permissions]
initializes: offers[coins := coins, permissions := permissions, splits := splits]
initializes: dues[ownership := ownership, splits := splits]
initializes: purchases[coins := coins, dues := dues, offers := offers]
initializes: refunds[dues := dues, permissions := permissions, purchases := purchases]

exports: (
    coins.__interface__,
    dues.__interface__,
    offers.__interface__,
    ownership.__interface__,
    permissions.__interface__,
    purchases.__interface__,
    refunds.__interface__,
    splits.__interface__,
)


@deploy
def __init__(owner: address, hub: address, seller: address):
    """
    @notice Gives the splitter its owner, its hub and its first seller in one transaction.
    @dev The hub has to give this contract its role MINTER before anything can be bought.
    @param owner Who sets tokens and roles; a multisig or timelock in production. Not zero.
    @param hub The EntitlementHub that records the rights, for good. Not zero.
    @param seller Who may make offers, refund and pause; zero for nobody yet.
    """
    ownership.__init__(owner)
    purchases.__init__(hub)
    if seller != empty(address):
        permissions._set_roles(seller, permissions.ALL_ROLES)
