# pragma version 0.4.3
"""
@title Purchases: an open offer bought once, paid and its right recorded in one transaction
@license Apache-2.0
"""

from . import coins
from . import dues
from . import offers
from . import transfers

uses: coins
uses: dues
uses: offers


interface Authorizing:
    def receiveWithAuthorization(
        owner: address,
        to: address,
        amount: uint256,
        validAfter: uint256,
        validBefore: uint256,
        nonce: bytes32,
        v: uint8,
        r: bytes32,
        s: bytes32,
    ): nonpayable

interface EntitlementHub:
    def grantPurchase(
        orderKey: bytes32, to: address, tokenId: uint256, expiry: uint64, commitment: bytes32
    ): nonpayable
    def revokeOrder(orderKey: bytes32): nonpayable
    def settled(orderKey: bytes32) -> Settlement: view


event Purchased:
    orderKey: indexed(bytes32)
    offerId: indexed(bytes32)
    payer: indexed(address)
    token: address
    price: uint256


# Which purchase of an offer this is: the seller's own word for it, who gets the right, and the last Unix second at which
# it can be bought.
struct Order:
    reference: bytes32
    to: address
    deadline: uint64

# What the EntitlementHub tells of an order key; `at` 0: not settled.
struct Settlement:
    at: uint64
    isByMinter: bool
    isRevoked: bool


# The expiry of a right without end, as the EntitlementHub has it.
NO_END: constant(uint256) = 2 ** 56 - 1

HUB: immutable(EntitlementHub)


@deploy
def __init__(hub: address):
    assert hub != empty(address), "hub"
    HUB = EntitlementHub(hub)


@external
@nonreentrant
def buy(order: Order, terms: offers.Terms):
    """
    @notice Buys with coins that the caller has approved; the right is `order.to`'s in the same transaction.
    @dev Not while paused. The way for tokens without signatures. Reverts with late, paused, token, offer, transfer,
         received, to, and "settled" for what is bought already or was called off.
    @param order Which purchase this is.
    @param terms Those of an open offer.
    """
    offer_id: bytes32 = keccak256(abi_encode(terms))
    key: bytes32 = self._opened(offer_id, terms.token, order, msg.sender)
    held: uint256 = transfers._held(terms.token)
    transfers._take(terms.token, msg.sender, convert(terms.price, uint256))
    self._close(key, offer_id, msg.sender, order.to, terms, held)


@external
@nonreentrant
def buyWithPermit(order: Order, terms: offers.Terms, v: uint8, r: bytes32, s: bytes32):
    """
    @notice The same with an EIP-2612 permit of the caller's.
    @dev A permit can be sent ahead by anybody who sees it. It has then done its work, so its failure here says nothing:
         what counts is the allowance.
    @param order Which purchase this is.
    @param terms Those of an open offer.
    @param v Part of the signature of Permit(caller, this, price, nonce, order.deadline).
    @param r Part of the signature.
    @param s Part of the signature.
    """
    offer_id: bytes32 = keccak256(abi_encode(terms))
    key: bytes32 = self._opened(offer_id, terms.token, order, msg.sender)
    held: uint256 = transfers._held(terms.token)
    is_new: bool = raw_call(
        terms.token,
        abi_encode(
            msg.sender,
            self,
            convert(terms.price, uint256),
            convert(order.deadline, uint256),
            v,
            r,
            s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"),
        ),
        revert_on_failure=False,
    )
    transfers._take(terms.token, msg.sender, convert(terms.price, uint256))
    self._close(key, offer_id, msg.sender, order.to, terms, held)


@external
@nonreentrant
def buyWithAuthorization(order: Order, terms: offers.Terms, payer: address, v: uint8, r: bytes32, s: bytes32):
    """
    @notice The same with an EIP-3009 authorization, which anybody may bring: the payer needs nothing for gas.
    @dev The payer signs ReceiveWithAuthorization(payer, this, price, 0, deadline + 1, orderKey). The nonce is the order
         key, so the signature buys this and nothing else. `receive…` and not `transfer…`: that could be sent ahead
         without this contract, and would leave coins here that bought nothing.
    @param order Which purchase this is.
    @param terms Those of an open offer.
    @param payer Who signed, and whose coins they are.
    @param v Part of the signature.
    @param r Part of the signature.
    @param s Part of the signature.
    """
    offer_id: bytes32 = keccak256(abi_encode(terms))
    key: bytes32 = self._opened(offer_id, terms.token, order, payer)
    held: uint256 = transfers._held(terms.token)
    extcall Authorizing(terms.token).receiveWithAuthorization(
        payer, self, convert(terms.price, uint256), 0, convert(order.deadline, uint256) + 1, key, v, r, s
    )
    self._close(key, offer_id, payer, order.to, terms, held)


@external
@view
def keyOf(offerId: bytes32, order: Order, payer: address) -> bytes32:
    """
    @notice The order key of a purchase: what `settled` of the hub knows it by.
    @param offerId The offer.
    @param order Which purchase.
    @param payer Who pays.
    @return The order key.
    """
    return self._key(offerId, order, payer)


@external
@view
def hub() -> address:
    """
    @notice Where the rights are recorded.
    @return The EntitlementHub.
    """
    return HUB.address


@internal
@view
def _opened(offer_id: bytes32, token: address, order: Order, payer: address) -> bytes32:
    """
    @dev All that can be refused before money moves; gives the order key.
    """
    assert block.timestamp <= convert(order.deadline, uint256), "late"
    word: uint256 = coins.words[token]
    assert word & coins.PAUSED == 0, "paused"
    assert word & coins.TAKEN != 0, "token"
    assert offers.isOpen[offer_id], "offer"
    return self._key(offer_id, order, payer)


@internal
def _close(key: bytes32, offer_id: bytes32, payer: address, to: address, terms: offers.Terms, held: uint256):
    """
    @dev The money is here, all of it: it is put down for the split, and the right is recorded, once. The offer stands
         where a batched order has its commitment: whoever knows the one knows what was bought.
    """
    price: uint256 = convert(terms.price, uint256)
    assert transfers._held(terms.token) == held + price, "received"
    dues.undivided[terms.token][terms.splitId] += price
    expiry: uint256 = NO_END if terms.term == 0 else block.timestamp + convert(terms.term, uint256)
    extcall HUB.grantPurchase(key, to, terms.tokenId, convert(expiry, uint64), offer_id)
    log Purchased(orderKey=key, offerId=offer_id, payer=payer, token=terms.token, price=price)


@internal
@view
def _key(offer_id: bytes32, order: Order, payer: address) -> bytes32:
    return keccak256(abi_encode(chain.id, self, offer_id, order, payer))
