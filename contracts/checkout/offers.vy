# pragma version 0.4.3
"""
@title Offers: what is on sale, named by the hash of its terms, so that price, payees and right never change under it
@license Apache-2.0
"""

from . import coins
from . import permissions
from . import splits

uses: coins
uses: permissions
uses: splits


event OfferSet:
    offerId: indexed(bytes32)
    terms: Terms

event OfferClosed:
    offerId: indexed(bytes32)


# What an offer's name stands for: a price in units of a token, the right that it buys and for how many seconds from the
# purchase (0: without end), and the split that gets the money.
struct Terms:
    token: address
    price: uint128
    tokenId: uint256
    term: uint64
    splitId: bytes32


# A term is shorter than what an expiry of the EntitlementHub can hold.
TERM_BOUND: constant(uint256) = 2 ** 48


# @notice Whether an offer can be bought.
isOpen: public(HashMap[bytes32, bool])


@external
def setOffer(offerId: bytes32, terms: Terms):
    """
    @notice Puts something on sale, or again after `closeOffer`. Repeating it changes nothing.
    @dev SELLER only.
    @param offerId `keccak256(abi.encode(terms))`, so that a mistake in the terms is found here and not by a buyer.
    @param terms Price and tokenId are not zero, the term is below 2**48 seconds, the token is taken, the split is set.
    """
    permissions._demand_role(permissions.SELLER)
    assert offerId == keccak256(abi_encode(terms)), "id"
    assert terms.price != 0, "price"
    assert terms.tokenId != 0, "tokenId"
    assert convert(terms.term, uint256) < TERM_BOUND, "term"
    assert coins.words[terms.token] & coins.TAKEN != 0, "token"
    assert splits.isSplit[terms.splitId], "split"
    if not self.isOpen[offerId]:
        self.isOpen[offerId] = True
        log OfferSet(offerId=offerId, terms=terms)


@external
def closeOffer(offerId: bytes32):
    """
    @notice Takes something off sale. What was bought stays bought. Repeating it changes nothing.
    @dev SELLER only.
    @param offerId An offer.
    """
    permissions._demand_role(permissions.SELLER)
    if self.isOpen[offerId]:
        self.isOpen[offerId] = False
        log OfferClosed(offerId=offerId)
