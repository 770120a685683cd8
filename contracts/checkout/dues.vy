# pragma version 0.4.3
"""
@title Dues: what came in for a split, what each payee is owed of it, and how they get it
@license Apache-2.0
"""

from ..shared import ownership
from . import splits
from . import transfers

uses: ownership
uses: splits


event Divided:
    token: indexed(address)
    splitId: indexed(bytes32)
    amount: uint256

event Withdrawn:
    token: indexed(address)
    payee: indexed(address)
    receiver: address
    amount: uint256

event Swept:
    token: indexed(address)
    to: indexed(address)
    amount: uint256

event PayeeAddressSet:
    payee: indexed(address)
    receiver: address


# @notice What came in for a split in a token and is not divided among its payees yet.
undivided: public(HashMap[address, HashMap[bytes32, uint256]])

# @notice What is owed to a payee in a token, besides their parts of what is undivided.
due: public(HashMap[address, HashMap[address, uint256]])

# @notice Where a payee wants their money; zero for their own address.
receiverOf: public(HashMap[address, address])

# What is due in a token to all payees together.
credited: HashMap[address, uint256]


@external
@nonreentrant
def divide(token: address, parts: DynArray[splits.Part, splits.MAX_PAYEES]):
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
    @notice Pays a payee all that is due to them, where they want it; `divide` comes before. Anybody may ask for it;
            never paused.
    @param token Which coin.
    @param payee Who is owed something.
    @return How much it was, in units of the token.
    """
    amount: uint256 = self.due[token][payee]
    assert amount != 0, "nothing"
    self.due[token][payee] = 0
    self.credited[token] -= amount
    receiver: address = self._receiver(payee)
    transfers._pay(token, receiver, amount)
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
def sweep(token: address, to: address) -> uint256:
    """
    @notice Sends on coins that came here without buying anything: nothing that a payee or a payer is owed.
    @dev OWNER only, who finds outside who sent them by mistake. Buying keeps no total, which would cost each buyer, so
         this looks at every split.
    @param token Any coin.
    @param to Who gets them, not zero.
    @return How many, in units of the token.
    """
    ownership._demand_owner()
    assert to != empty(address), "to"
    owed: uint256 = self.credited[token]
    for split_id: bytes32 in splits.ids:
        owed += self.undivided[token][split_id]
    amount: uint256 = transfers._held(token) - owed
    assert amount != 0, "nothing"
    transfers._pay(token, to, amount)
    log Swept(token=token, to=to, amount=amount)
    return amount


@internal
def _divide(token: address, split_id: bytes32, parts: DynArray[splits.Part, splits.MAX_PAYEES]):
    amount: uint256 = self.undivided[token][split_id]
    if amount == 0:
        return
    self.undivided[token][split_id] = 0
    self.credited[token] += amount
    left: uint256 = amount
    last: uint256 = len(parts) - 1
    for i: uint256 in range(last, bound=splits.MAX_PAYEES):
        part: uint256 = amount * convert(parts[i].bps, uint256) // splits.FULL_BPS
        self.due[token][parts[i].payee] += part
        left -= part
    self.due[token][parts[last].payee] += left
    log Divided(token=token, splitId=split_id, amount=amount)


@internal
def _uncredit(token: address, price: uint256, parts: DynArray[splits.Part, splits.MAX_PAYEES]) -> uint256:
    """
    @dev Takes each payee's part of a price from what is due to them; gives what they have been paid already.
    """
    left: uint256 = price
    missing: uint256 = 0
    last: uint256 = len(parts) - 1
    for i: uint256 in range(len(parts), bound=splits.MAX_PAYEES):
        part: uint256 = left if i == last else price * convert(parts[i].bps, uint256) // splits.FULL_BPS
        taken: uint256 = min(part, self.due[token][parts[i].payee])
        self.due[token][parts[i].payee] -= taken
        missing += part - taken
        left -= part
    self.credited[token] -= price - missing
    return missing


@internal
def _give_back(token: address, payer: address, amount: uint256):
    """
    @dev Pays at once, if the token lets it, what was not due to anybody any more; else it is due to the payer.
    """
    receiver: address = self._receiver(payer)
    if transfers._is_paid(token, receiver, amount):
        log Withdrawn(token=token, payee=payer, receiver=receiver, amount=amount)
    else:
        self.due[token][payer] += amount
        self.credited[token] += amount


@internal
@view
def _receiver(payee: address) -> address:
    receiver: address = self.receiverOf[payee]
    return payee if receiver == empty(address) else receiver
