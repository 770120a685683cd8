# pragma version 0.4.3
"""
@title Refunds: a purchase given back whole, once, and its right ended in the same transaction
@license Apache-2.0
"""

from . import dues
from . import offers
from . import permissions
from . import purchases
from . import splits
from . import transfers

uses: dues
uses: permissions
uses: purchases


event Refunded:
    orderKey: indexed(bytes32)
    offerId: indexed(bytes32)
    payer: indexed(address)
    token: address
    price: uint256


# @notice Whether a purchase was given back.
isRefunded: public(HashMap[bytes32, bool])


@external
@nonreentrant
def refund(order: purchases.Order, terms: offers.Terms, payer: address, parts: DynArray[splits.Part, splits.MAX_PAYEES]):
    """
    @notice Gives a whole price back to who paid it, once, and ends the right that was bought with it.
    @dev REFUNDER only, also while paused and after the offer is closed. Each payee's part is taken from what is due to
         them; what they have been paid already the caller tops up, and must have approved. A payer whom the token
         refuses is owed the money like a payee, and can `setPayeeAddress`.
    @param order What was bought, as it was bought.
    @param terms Likewise.
    @param payer Who paid.
    @param parts Those of the split.
    """
    permissions._demand_role(permissions.REFUNDER)
    offer_id: bytes32 = keccak256(abi_encode(terms))
    key: bytes32 = purchases._key(offer_id, order, payer)
    settlement: purchases.Settlement = staticcall purchases.HUB.settled(key)
    assert settlement.isByMinter, "unknown"
    assert not self.isRefunded[key], "refunded"
    assert terms.splitId == keccak256(abi_encode(parts)), "split"
    self.isRefunded[key] = True
    price: uint256 = convert(terms.price, uint256)
    dues._divide(terms.token, terms.splitId, parts)
    missing: uint256 = dues._uncredit(terms.token, price, parts)
    if missing != 0:
        held: uint256 = transfers._held(terms.token)
        transfers._take(terms.token, msg.sender, missing)
        assert transfers._held(terms.token) == held + missing, "received"
    extcall purchases.HUB.revokeOrder(key)
    log Refunded(orderKey=key, offerId=offer_id, payer=payer, token=terms.token, price=price)
    dues._give_back(terms.token, payer, price)
