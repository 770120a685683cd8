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
"""


# ---------------------------------------------------------------------------------------------------------------------
# Interfaces
# ---------------------------------------------------------------------------------------------------------------------

interface Token:
    def balanceOf(account: address) -> uint256: view
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def transferFrom(owner: address, to: address, amount: uint256) -> bool: nonpayable
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


# ---------------------------------------------------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------------------------------------------------

event Purchased:
    orderKey: indexed(bytes32)
    offerId: indexed(bytes32)
    payer: indexed(address)
    token: address
    price: uint256

event Divided:
    token: indexed(address)
    splitId: indexed(bytes32)
    amount: uint256

event Refunded:
    orderKey: indexed(bytes32)
    offerId: indexed(bytes32)
    payer: indexed(address)
    token: address
    price: uint256

event Withdrawn:
    token: indexed(address)
    payee: indexed(address)
    receiver: address
    amount: uint256

event Swept:
    token: indexed(address)
    to: indexed(address)
    amount: uint256

event SplitSet:
    splitId: indexed(bytes32)
    parts: DynArray[Part, MAX_PAYEES]

event OfferSet:
    offerId: indexed(bytes32)
    terms: Terms

event OfferClosed:
    offerId: indexed(bytes32)

event TokenSet:
    token: indexed(address)
    isTaken: bool

event PayeeAddressSet:
    payee: indexed(address)
    receiver: address

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


# ---------------------------------------------------------------------------------------------------------------------
# Types
# ---------------------------------------------------------------------------------------------------------------------

# One payee's part in basis points. A split is 1 to 16 of them, 10,000 basis points together.
struct Part:
    payee: address
    bps: uint16

# What an offer's name stands for: a price in units of a token, the right that it buys and for how many seconds from the
# purchase (0: without end), and the split that gets the money.
struct Terms:
    token: address
    price: uint128
    tokenId: uint256
    term: uint64
    splitId: bytes32

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


# ---------------------------------------------------------------------------------------------------------------------
# Constants
# ---------------------------------------------------------------------------------------------------------------------

# Roles, bits of one word per account.
SELLER: public(constant(uint256)) = 1
REFUNDER: public(constant(uint256)) = 2
PAUSER: public(constant(uint256)) = 4
ALL_ROLES: constant(uint256) = SELLER | REFUNDER | PAUSER

# Dividing writes a word per payee.
MAX_PAYEES: constant(uint256) = 16
FULL_BPS: constant(uint256) = 10_000

# Pausing writes each token's word, so that buying learns from one slot whether a token is taken now; hence a bound.
MAX_TOKENS: constant(uint256) = 8
TAKEN: constant(uint256) = 1
PAUSED: constant(uint256) = 2

# `sweep` looks at each split, so there is a bound; a version of an agreement has one.
MAX_SPLITS: constant(uint256) = 1_024

# The expiry of a right without end, as the EntitlementHub has it; a term is shorter.
NO_END: constant(uint256) = 2 ** 56 - 1
TERM_BOUND: constant(uint256) = 2 ** 48

HUB: immutable(EntitlementHub)


# ---------------------------------------------------------------------------------------------------------------------
# Storage
# ---------------------------------------------------------------------------------------------------------------------

# @notice Who sets tokens and roles.
owner: public(address)

# @notice Who may become owner by `acceptOwner`; zero for nobody.
proposedOwner: public(address)

# @notice Whether buying is stopped; `withdraw` and `refund` never are.
paused: public(bool)

# @notice What came in for a split in a token and is not divided among its payees yet.
undivided: public(HashMap[address, HashMap[bytes32, uint256]])

# @notice What is owed to a payee in a token, besides their parts of what is undivided.
due: public(HashMap[address, HashMap[address, uint256]])

# @notice Where a payee wants their money; zero for their own address.
receiverOf: public(HashMap[address, address])

# @notice Whether a split is set: it stays so.
isSplit: public(HashMap[bytes32, bool])

# @notice Whether an offer can be bought.
isOpen: public(HashMap[bytes32, bool])

# @notice Whether a purchase was given back.
isRefunded: public(HashMap[bytes32, bool])

# @notice The roles of an account: sum of SELLER 1, REFUNDER 2, PAUSER 4.
roles: public(HashMap[address, uint256])

# What is due in a token to all payees together.
credited: HashMap[address, uint256]
tokens: HashMap[address, uint256]
listed: DynArray[address, MAX_TOKENS]
splits: DynArray[bytes32, MAX_SPLITS]


# ---------------------------------------------------------------------------------------------------------------------
# Constructor
# ---------------------------------------------------------------------------------------------------------------------

@deploy
def __init__(owner: address, hub: address, seller: address):
    """
    @notice Gives the splitter its owner, its hub and its first seller in one transaction.
    @dev The hub has to give this contract its role MINTER before anything can be bought.
    @param owner Who sets tokens and roles; a multisig or timelock in production. Not zero.
    @param hub The EntitlementHub that records the rights, for good. Not zero.
    @param seller Who may make offers, refund and pause; zero for nobody yet.
    """
    assert owner != empty(address), "owner"
    assert hub != empty(address), "hub"
    HUB = EntitlementHub(hub)
    self.owner = owner
    log OwnerChanged(previous=empty(address), owner=owner)
    if seller != empty(address):
        self.roles[seller] = ALL_ROLES
        log RoleSet(account=seller, roles=ALL_ROLES)


# ---------------------------------------------------------------------------------------------------------------------
# Buying
# ---------------------------------------------------------------------------------------------------------------------

@external
@nonreentrant
def buy(order: Order, terms: Terms):
    """
    @notice Buys with coins that the caller has approved; the right is `order.to`'s in the same transaction.
    @dev Not while paused. The way for tokens without signatures. Reverts with late, paused, token, offer, transfer,
         received, to, and "settled" for what is bought already or was called off.
    @param order Which purchase this is.
    @param terms Those of an open offer.
    """
    offer_id: bytes32 = keccak256(abi_encode(terms))
    key: bytes32 = self._opened(offer_id, terms.token, order, msg.sender)
    held: uint256 = self._held(terms.token)
    self._take(terms.token, msg.sender, convert(terms.price, uint256))
    self._close(key, offer_id, msg.sender, order.to, terms, held)


@external
@nonreentrant
def buyWithPermit(order: Order, terms: Terms, v: uint8, r: bytes32, s: bytes32):
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
    held: uint256 = self._held(terms.token)
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
    self._take(terms.token, msg.sender, convert(terms.price, uint256))
    self._close(key, offer_id, msg.sender, order.to, terms, held)


@external
@nonreentrant
def buyWithAuthorization(order: Order, terms: Terms, payer: address, v: uint8, r: bytes32, s: bytes32):
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
    held: uint256 = self._held(terms.token)
    extcall Token(terms.token).receiveWithAuthorization(
        payer, self, convert(terms.price, uint256), 0, convert(order.deadline, uint256) + 1, key, v, r, s
    )
    self._close(key, offer_id, payer, order.to, terms, held)


# ---------------------------------------------------------------------------------------------------------------------
# Paying out and giving back
# ---------------------------------------------------------------------------------------------------------------------

@external
@nonreentrant
def divide(token: address, parts: DynArray[Part, MAX_PAYEES]):
    """
    @notice Divides among the payees of a split all that came in for it. Anybody may ask for it; never paused.
    @dev Parts are rounded down; the last payee gets what is left, so that they sum to what came in.
    @param token Which coin.
    @param parts Those of the split.
    """
    self._divide(token, keccak256(abi_encode(parts)), parts)


@external
@nonreentrant
def withdraw(token: address, payee: address) -> uint256:
    """
    @notice Pays a payee all that is due to them, where they want it; `divide` comes before. Anybody may ask for it; never paused.
    @param token Which coin.
    @param payee Who is owed something.
    @return How much it was, in units of the token.
    """
    amount: uint256 = self.due[token][payee]
    assert amount != 0, "nothing"
    self.due[token][payee] = 0
    self.credited[token] -= amount
    receiver: address = self._receiver(payee)
    assert extcall Token(token).transfer(receiver, amount, default_return_value=True), "transfer"
    log Withdrawn(token=token, payee=payee, receiver=receiver, amount=amount)
    return amount


@external
def setPayeeAddress(receiver: address):
    """
    @notice Sends what is and will be owed to the caller elsewhere: the way out for who cannot receive a token.
    @param receiver Where to; zero for the caller's own address again.
    """
    self.receiverOf[msg.sender] = receiver
    log PayeeAddressSet(payee=msg.sender, receiver=receiver)


@external
@nonreentrant
def refund(order: Order, terms: Terms, payer: address, parts: DynArray[Part, MAX_PAYEES]):
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
    assert self.roles[msg.sender] & REFUNDER != 0, "role"
    offer_id: bytes32 = keccak256(abi_encode(terms))
    key: bytes32 = self._key(offer_id, order, payer)
    settlement: Settlement = staticcall HUB.settled(key)
    assert settlement.at != 0 and settlement.isByMinter, "unknown"
    assert not self.isRefunded[key], "refunded"
    assert terms.splitId == keccak256(abi_encode(parts)), "split"
    self.isRefunded[key] = True
    price: uint256 = convert(terms.price, uint256)
    self._divide(terms.token, terms.splitId, parts)
    missing: uint256 = self._uncredit(terms.token, price, parts)
    if missing != 0:
        held: uint256 = self._held(terms.token)
        self._take(terms.token, msg.sender, missing)
        assert self._held(terms.token) == held + missing, "received"
    extcall HUB.revokeOrder(key)
    log Refunded(orderKey=key, offerId=offer_id, payer=payer, token=terms.token, price=price)
    receiver: address = self._receiver(payer)
    if self._is_paid(terms.token, receiver, price):
        log Withdrawn(token=terms.token, payee=payer, receiver=receiver, amount=price)
    else:
        self.due[terms.token][payer] += price
        self.credited[terms.token] += price


@external
@nonreentrant
def sweep(token: address, to: address) -> uint256:
    """
    @notice Sends on coins that came here without buying anything: nothing that a payee or a payer is owed.
    @dev OWNER only, who finds outside who sent them by mistake. Buying keeps no total, which would cost each buyer, so
         this looks at every split.
    @param token Any coin.
    @param to Who gets them, not zero.
    @return How many, in units of the token.
    """
    assert msg.sender == self.owner, "owner"
    assert to != empty(address), "to"
    owed: uint256 = self.credited[token]
    for split_id: bytes32 in self.splits:
        owed += self.undivided[token][split_id]
    amount: uint256 = self._held(token) - owed
    assert amount != 0, "nothing"
    assert extcall Token(token).transfer(to, amount, default_return_value=True), "transfer"
    log Swept(token=token, to=to, amount=amount)
    return amount


# ---------------------------------------------------------------------------------------------------------------------
# Selling
# ---------------------------------------------------------------------------------------------------------------------

@external
def setSplit(splitId: bytes32, parts: DynArray[Part, MAX_PAYEES]):
    """
    @notice Records who gets what of a price, for good. Repeating it changes nothing.
    @dev SELLER only.
    @param splitId `keccak256(abi.encode(parts))`, so that a mistake in the parts is found here.
    @param parts Payees, not zero, with at least one basis point each, 10,000 together.
    """
    assert self.roles[msg.sender] & SELLER != 0, "role"
    assert splitId == keccak256(abi_encode(parts)), "id"
    total: uint256 = 0
    for part: Part in parts:
        assert part.payee != empty(address), "payee"
        assert part.bps != 0, "bps"
        total += convert(part.bps, uint256)
    assert total == FULL_BPS, "bps"
    if not self.isSplit[splitId]:
        assert len(self.splits) < MAX_SPLITS, "splits"
        self.splits.append(splitId)
        self.isSplit[splitId] = True
        log SplitSet(splitId=splitId, parts=parts)


@external
def setOffer(offerId: bytes32, terms: Terms):
    """
    @notice Puts something on sale, or again after `closeOffer`. Repeating it changes nothing.
    @dev SELLER only.
    @param offerId `keccak256(abi.encode(terms))`, so that a mistake in the terms is found here and not by a buyer.
    @param terms Price and tokenId are not zero, the term is below 2**48 seconds, the token is taken, the split is set.
    """
    assert self.roles[msg.sender] & SELLER != 0, "role"
    assert offerId == keccak256(abi_encode(terms)), "id"
    assert terms.price != 0, "price"
    assert terms.tokenId != 0, "tokenId"
    assert convert(terms.term, uint256) < TERM_BOUND, "term"
    assert self.tokens[terms.token] & TAKEN != 0, "token"
    assert self.isSplit[terms.splitId], "split"
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
    assert self.roles[msg.sender] & SELLER != 0, "role"
    if self.isOpen[offerId]:
        self.isOpen[offerId] = False
        log OfferClosed(offerId=offerId)


# ---------------------------------------------------------------------------------------------------------------------
# Asking
# ---------------------------------------------------------------------------------------------------------------------

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
def isTaken(token: address) -> bool:
    """
    @notice Whether a token is on the list.
    @param token Any address.
    @return True while it can be paid with, pauses aside.
    """
    return self.tokens[token] & TAKEN != 0


@external
@view
def hub() -> address:
    """
    @notice Where the rights are recorded.
    @return The EntitlementHub.
    """
    return HUB.address


# ---------------------------------------------------------------------------------------------------------------------
# Running the splitter
# ---------------------------------------------------------------------------------------------------------------------

@external
def setToken(token: address, isTaken: bool):
    """
    @notice Puts a token on the list or takes it off; offers in it cannot be bought meanwhile.
    @dev OWNER only. At most 8 tokens are on it at a time. Rebasing tokens must not be: what is owed would not follow.
    @param token An EIP-20 contract, not zero.
    @param isTaken Whether it can be paid with.
    """
    assert msg.sender == self.owner, "owner"
    assert token != empty(address), "token"
    was_taken: bool = self.tokens[token] != 0
    if isTaken and not was_taken:
        assert len(self.listed) < MAX_TOKENS, "tokens"
        self.listed.append(token)
        self.tokens[token] = TAKEN | PAUSED if self.paused else TAKEN
    elif was_taken and not isTaken:
        last: address = self.listed.pop()
        for i: uint256 in range(len(self.listed), bound=MAX_TOKENS):
            if self.listed[i] == token:
                self.listed[i] = last
                break
        self.tokens[token] = 0
    log TokenSet(token=token, isTaken=isTaken)


@external
def pause():
    """
    @notice Stops buying. Paying out and giving back go on.
    @dev PAUSER only.
    """
    assert self.roles[msg.sender] & PAUSER != 0, "role"
    assert not self.paused, "paused"
    self.paused = True
    for token: address in self.listed:
        self.tokens[token] |= PAUSED
    log Paused(account=msg.sender)


@external
def unpause():
    """
    @notice Lets buying go on.
    @dev PAUSER only.
    """
    assert self.roles[msg.sender] & PAUSER != 0, "role"
    assert self.paused, "not paused"
    self.paused = False
    for token: address in self.listed:
        self.tokens[token] &= ~PAUSED
    log Unpaused(account=msg.sender)


@external
def setRole(account: address, roles: uint256):
    """
    @notice Replaces all roles of an account.
    @dev OWNER only.
    @param account Who gets or loses roles, not zero.
    @param roles Sum of SELLER 1, REFUNDER 2, PAUSER 4; 0 takes all away.
    """
    assert msg.sender == self.owner, "owner"
    assert account != empty(address), "account"
    assert roles & ~ALL_ROLES == 0, "roles"
    self.roles[account] = roles
    log RoleSet(account=account, roles=roles)


@external
def proposeOwner(account: address):
    """
    @notice First step of a change of owner; zero withdraws a proposal.
    @dev OWNER only. Nothing changes until `account` accepts, so a mistyped address cannot lose the splitter.
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


# ---------------------------------------------------------------------------------------------------------------------
# Internal
# ---------------------------------------------------------------------------------------------------------------------

@internal
@view
def _opened(offer_id: bytes32, token: address, order: Order, payer: address) -> bytes32:
    """
    @dev All that can be refused before money moves; gives the order key.
    """
    assert block.timestamp <= convert(order.deadline, uint256), "late"
    word: uint256 = self.tokens[token]
    assert word & PAUSED == 0, "paused"
    assert word & TAKEN != 0, "token"
    assert self.isOpen[offer_id], "offer"
    return self._key(offer_id, order, payer)


@internal
def _take(token: address, payer: address, amount: uint256):
    """
    @dev Pulls what is allowed; whether it arrived is looked at by the caller.
    """
    assert extcall Token(token).transferFrom(payer, self, amount, default_return_value=True), "transfer"


@internal
def _close(key: bytes32, offer_id: bytes32, payer: address, to: address, terms: Terms, held: uint256):
    """
    @dev The money is here, all of it: it is put down for the split, and the right is recorded, once. The offer stands
         where a batched order has its commitment: whoever knows the one knows what was bought.
    """
    price: uint256 = convert(terms.price, uint256)
    assert self._held(terms.token) == held + price, "received"
    self.undivided[terms.token][terms.splitId] += price
    expiry: uint256 = NO_END if terms.term == 0 else block.timestamp + convert(terms.term, uint256)
    extcall HUB.grantPurchase(key, to, terms.tokenId, convert(expiry, uint64), offer_id)
    log Purchased(orderKey=key, offerId=offer_id, payer=payer, token=terms.token, price=price)


@internal
def _divide(token: address, split_id: bytes32, parts: DynArray[Part, MAX_PAYEES]):
    amount: uint256 = self.undivided[token][split_id]
    if amount == 0:
        return
    self.undivided[token][split_id] = 0
    self.credited[token] += amount
    left: uint256 = amount
    last: uint256 = len(parts) - 1
    for i: uint256 in range(last, bound=MAX_PAYEES):
        part: uint256 = amount * convert(parts[i].bps, uint256) // FULL_BPS
        self.due[token][parts[i].payee] += part
        left -= part
    self.due[token][parts[last].payee] += left
    log Divided(token=token, splitId=split_id, amount=amount)


@internal
def _uncredit(token: address, price: uint256, parts: DynArray[Part, MAX_PAYEES]) -> uint256:
    """
    @dev Takes each payee's part of a price from what is due to them; gives what they have been paid already.
    """
    left: uint256 = price
    missing: uint256 = 0
    last: uint256 = len(parts) - 1
    for i: uint256 in range(len(parts), bound=MAX_PAYEES):
        part: uint256 = left if i == last else price * convert(parts[i].bps, uint256) // FULL_BPS
        taken: uint256 = min(part, self.due[token][parts[i].payee])
        self.due[token][parts[i].payee] -= taken
        missing += part - taken
        left -= part
    self.credited[token] -= price - missing
    return missing


@internal
def _is_paid(token: address, receiver: address, amount: uint256) -> bool:
    """
    @dev Whether a token took a transfer: false for one that reverts or answers no.
    """
    is_done: bool = False
    answer: Bytes[32] = b""
    is_done, answer = raw_call(
        token,
        abi_encode(receiver, amount, method_id=method_id("transfer(address,uint256)")),
        max_outsize=32,
        revert_on_failure=False,
    )
    return is_done and (len(answer) == 0 or convert(answer, uint256) == 1)


@internal
@view
def _key(offer_id: bytes32, order: Order, payer: address) -> bytes32:
    return keccak256(abi_encode(chain.id, self, offer_id, order, payer))


@internal
@view
def _held(token: address) -> uint256:
    return staticcall Token(token).balanceOf(self)


@internal
@view
def _receiver(payee: address) -> address:
    receiver: address = self.receiverOf[payee]
    return payee if receiver == empty(address) else receiver
