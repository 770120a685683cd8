"""A CheckoutSplitter with its hub, a coin and a buyer on the small EVM, and Vyper sources of tokens that misbehave."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from eth_abi import decode, encode
from eth_account import Account as Wallet
from eth_utils import keccak
from vyper.compiler import compile_code  # type: ignore[import-untyped]  # the compiler ships no types

from contracts import artifact
from tests.contracts.evm import CHAIN_ID, GATE, NOW, OWNER, STRANGER, TOKEN, Account, Evm, Receipt, fresh_account
from tests.contracts.evm import Hub as EntitlementHub

SELLER, REFUNDER, PAUSER = 1, 2, 4
PRICE = 12_340_000  # 12.34 of the coin
DEADLINE = NOW + 1_800
NO_BOUND = 2**256 - 1
REFERENCE = keccak(b"reference of an attempt")

Json = dict[str, Any]
Terms = tuple[object, ...]  # token, price, token id, term, split's id
TERMS = "(address,uint128,uint256,uint64,bytes32)"
PARTS = "(address,uint16)[]"
Signature = tuple[int, bytes, bytes]  # v, r, s


class Contract:
    """Any deployed contract: functions by name, arguments in the ABI's order, addresses as bytes."""

    def __init__(self, evm: Evm, address: bytes, abi: Sequence[Json]) -> None:
        self.evm, self.address, self.abi = evm, address, abi

    def on(self, evm: Evm) -> "Contract":
        return Contract(evm, self.address, self.abi)

    def send(self, sender: Account, function: str, *arguments: object) -> Receipt:
        return self.evm.send(sender, self.address, self.calldata(function, *arguments))

    def ask(self, function: str, *arguments: object) -> Any:
        """What a view answers, alone or as a tuple; whatever it did to the state is forgotten."""
        answer = self.evm.copy().send(STRANGER, self.address, self.calldata(function, *arguments)).output
        found = decode(_types(self._entry(function), "outputs"), answer)
        return found[0] if len(found) == 1 else found

    def calldata(self, function: str, *arguments: object) -> bytes:
        kinds = _types(self._entry(function), "inputs")
        return keccak(f"{function}({','.join(kinds)})".encode())[:4] + encode(kinds, [_plain(a) for a in arguments])

    def logs(self, receipt: Receipt, event: str) -> list[tuple[Any, ...]]:
        """What this contract said under an event's name: its arguments in the ABI's order."""
        (entry,) = (e for e in self.abi if e["type"] == "event" and e["name"] == event)
        topic = keccak(f"{event}({','.join(_types(entry, 'inputs'))})".encode())
        return [_said(entry, topics, data) for topics, data in receipt.logs if topics[0] == topic]

    def _entry(self, name: str) -> Json:
        (found,) = (e for e in self.abi if e["type"] == "function" and e["name"] == name)
        return found


@dataclass(frozen=True)
class Shop:
    """A splitter that sells one right at PRICE for two payees. A copy is free."""

    evm: Evm
    hub: Contract
    splitter: Contract
    coin: Contract
    buyer: Account
    terms: Terms

    def copy(self) -> "Shop":
        evm = self.evm.copy()
        return replace(self, evm=evm, hub=self.hub.on(evm), splitter=self.splitter.on(evm), coin=self.coin.on(evm))

    def order(self, reference: bytes = REFERENCE, **changes: object) -> tuple[object, ...]:
        """reference, to, deadline."""
        plain = {"reference": reference, "to": self.buyer.address, "deadline": DEADLINE}
        return tuple((plain | changes).values())

    def key(self, reference: bytes = REFERENCE, *, payer: bytes | None = None, **changes: object) -> bytes:
        order = self.order(reference, **changes)
        return cast(bytes, self.splitter.ask("keyOf", offer_id(self.terms), order, payer or self.buyer.address))

    def approve(self, amount: int = PRICE, owner: Account | None = None) -> None:
        self.coin.send(owner or self.buyer, "approve", self.splitter.address, amount)

    def buy(self, reference: bytes = REFERENCE) -> Receipt:
        self.approve(cast(int, self.terms[1]))
        return self.splitter.send(self.buyer, "buy", self.order(reference), self.terms)

    def permit(self, **changes: object) -> Signature:
        """The signature that `buyWithPermit` takes."""
        message = {
            "owner": self.buyer.address,
            "spender": self.splitter.address,
            "value": self.terms[1],
            "nonce": self.coin.ask("nonces", self.buyer.address),
            "deadline": DEADLINE,
        }
        return signed(self.buyer, self.coin, PERMIT, message | changes)

    def authorization(self, kind: str = "ReceiveWithAuthorization", **changes: object) -> Signature:
        """The signature that `buyWithAuthorization` takes."""
        message = {
            "from": self.buyer.address,
            "to": self.splitter.address,
            "value": self.terms[1],
            "validAfter": 0,
            "validBefore": DEADLINE + 1,
            "nonce": self.key(),
        }
        return signed(self.buyer, self.coin, {kind: AUTHORIZATION}, message | changes)

    def due(self, payee: bytes) -> int:
        return cast(int, self.splitter.ask("due", self.coin.address, payee))

    def holds(self, account: bytes) -> int:
        return cast(int, self.coin.ask("balanceOf", account))

    def is_bought(self, reference: bytes = REFERENCE) -> bool:
        at, is_by_minter, _ = self.hub.ask("settled", self.key(reference))
        return at != 0 and cast(bool, is_by_minter)

    def has_right(self, holder: bytes | None = None) -> bool:
        return cast(bool, self.hub.ask("hasAccess", holder or self.buyer.address, TOKEN))


PAYEES = tuple(keccak(name)[:20] for name in (b"publisher", b"operator"))
SHARES = ((PAYEES[0], 9_000), (PAYEES[1], 1_000))

_UINT, _ADDRESS = "uint256", "address"
PERMIT = {
    "Permit": [("owner", _ADDRESS), ("spender", _ADDRESS), ("value", _UINT), ("nonce", _UINT), ("deadline", _UINT)]
}
AUTHORIZATION = [
    ("from", _ADDRESS), ("to", _ADDRESS), ("value", _UINT), ("validAfter", _UINT), ("validBefore", _UINT),
    ("nonce", "bytes32"),
]  # fmt: skip


def signed(signer: Account, coin: Contract, types: Json, message: Json) -> Signature:
    """v, r and s over a coin's typed data, as a wallet makes them."""
    domain = {"name": "Test USD", "version": "1", "chainId": CHAIN_ID, "verifyingContract": "0x" + coin.address.hex()}
    fields = {name: [{"name": n, "type": t} for n, t in members] for name, members in types.items()}
    plain = {name: _plain(value) for name, value in message.items()}
    made = Wallet.sign_typed_data(signer.key.to_bytes(), domain, fields, plain)
    return made.v, made.r.to_bytes(32, "big"), made.s.to_bytes(32, "big")


def fresh_shop(hub: EntitlementHub, coin_source: str | None = None) -> Shop:
    """A shop beside a hub that is there; `coin_source` is a token that misbehaves, instead of TestUSD."""
    evm = hub.evm
    rights = Contract(evm, hub.address, _abi("entitlement_hub"))
    splitter = deployed(evm, "checkout_splitter", OWNER.address, hub.address, GATE.address)
    coin = deployed_source(evm, coin_source) if coin_source else deployed(evm, "test_usd")
    rights.send(OWNER, "setRole", splitter.address, rights.ask("MINTER"))
    splitter.send(OWNER, "setToken", coin.address, True)
    terms = terms_of(coin)
    splitter.send(GATE, "setSplit", split_id(SHARES), SHARES)
    splitter.send(GATE, "setOffer", offer_id(terms), terms)
    buyer = fresh_account(evm, 7)
    coin.send(OWNER, "mint", buyer.address, 100 * PRICE)
    return Shop(evm, rights, splitter, coin, buyer, terms)


def terms_of(
    coin: Contract,
    *,
    price: int = PRICE,
    token_id: int = TOKEN,
    term: int = 0,
    parts: Sequence[tuple[bytes, int]] = SHARES,
) -> Terms:
    return (coin.address, price, token_id, term, split_id(parts))


def split_id(parts: Sequence[tuple[bytes, int]]) -> bytes:
    return keccak(encode([PARTS], [_plain(parts)]))


def offer_id(terms: Terms) -> bytes:
    return keccak(encode([TERMS], [_plain(terms)]))


def deployed(evm: Evm, name: str, *addresses: bytes) -> Contract:
    compiled = artifact(name)
    code = compiled.bytecode + encode(["address"] * len(addresses), addresses)
    return Contract(evm, evm.send(OWNER, b"", code).contract, _abi(name))


def deployed_source(evm: Evm, source: str) -> Contract:
    bytecode, abi = _compiled(source)
    return Contract(evm, evm.send(OWNER, b"", bytecode).contract, abi)


@functools.cache
def _compiled(source: str) -> tuple[bytes, tuple[Json, ...]]:
    made = compile_code(source, output_formats=("abi", "bytecode"))
    return bytes.fromhex(made["bytecode"].removeprefix("0x")), tuple(made["abi"])


@functools.cache
def _abi(name: str) -> tuple[Json, ...]:
    return artifact(name).abi


def _types(entry: Json, side: str) -> list[str]:
    return [_type(part) for part in entry.get(side, ())]


def _type(part: Json) -> str:
    kind = cast(str, part["type"])
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(_type(one) for one in part["components"]) + ")" + kind.removeprefix("tuple")


def _said(entry: Json, topics: Sequence[bytes], data: bytes) -> tuple[Any, ...]:
    indexed = iter(topics[1:])
    others = iter(decode([_type(part) for part in entry["inputs"] if not part["indexed"]], data))
    return tuple(
        decode([_type(part)], next(indexed))[0] if part["indexed"] else next(others) for part in entry["inputs"]
    )


def _plain(value: object) -> Any:
    """Addresses (20 bytes) as text, in lists and tuples too."""
    if isinstance(value, bytes) and len(value) == 20:
        return "0x" + value.hex()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


# ---- coins that misbehave --------------------------------------------------------------------------------------------

_PLAIN_COIN = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount
@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True
@internal
def _move(owner: address, to: address, amount: uint256):
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
@internal
def _spend(owner: address, amount: uint256):
    self.allowance[owner][msg.sender] -= amount
"""

# Keeps a hundredth of every transfer.
FEE_COIN = (
    _PLAIN_COIN
    + """
@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount - amount // 100)
    return True
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self._spend(owner, amount)
    self._move(owner, to, amount - amount // 100)
    return True
"""
)

# Answers False instead of reverting.
NO_COIN = (
    _PLAIN_COIN
    + """
@external
def transfer(to: address, amount: uint256) -> bool:
    return False
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    return False
"""
)

# Says yes and moves nothing.
LYING_COIN = (
    _PLAIN_COIN
    + """
@external
def transfer(to: address, amount: uint256) -> bool:
    return True
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    return True
"""
)

# Returns nothing at all, as some old coins do, and knows no permits.
SILENT_COIN = (
    _PLAIN_COIN
    + """
@external
def transfer(to: address, amount: uint256):
    self._move(msg.sender, to, amount)
@external
def transferFrom(owner: address, to: address, amount: uint256):
    self._spend(owner, amount)
    self._move(owner, to, amount)
"""
)

# Refuses to send to whom it has listed.
BLACKLISTING_COIN = (
    _PLAIN_COIN
    + """
listed: HashMap[address, bool]
@external
def list(account: address, isListed: bool):
    self.listed[account] = isListed
@external
def transfer(to: address, amount: uint256) -> bool:
    assert not self.listed[to], "listed"
    self._move(msg.sender, to, amount)
    return True
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    assert not self.listed[owner], "listed"
    self._spend(owner, amount)
    self._move(owner, to, amount)
    return True
"""
)

# Calls whatever it was told to in the middle of a transfer, and remembers whether that worked.
REENTRANT_COIN = (
    _PLAIN_COIN
    + """
target: address
call: Bytes[1024]
isIn: public(bool)
@external
def arm(target: address, call: Bytes[1024]):
    self.target = target
    self.call = call
@internal
def _call_back():
    if self.target != empty(address):
        self.isIn = raw_call(self.target, self.call, revert_on_failure=False)
@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount)
    self._call_back()
    return True
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self._spend(owner, amount)
    self._move(owner, to, amount)
    self._call_back()
    return True
"""
)
