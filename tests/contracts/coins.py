"""Tokens that misbehave, as Vyper sources: each has the functions of TestUSD that buying needs, and does them wrong."""

import functools

from eth_abi import encode
from eth_utils import keccak
from vyper.compiler import compile_code  # type: ignore[import-untyped]  # the compiler ships no types

from tests.contracts.evm import OWNER, STRANGER
from tests.contracts.evm import Hub as EntitlementHub
from tests.contracts.splitter import Contract, Shop, fresh_shop


def shop_with(deployed: EntitlementHub, source: str) -> Shop:
    """A shop that sells for that coin."""
    hub = deployed.copy()
    return fresh_shop(hub, Contract(hub.evm, hub.evm.send(OWNER, b"", _creation(source)).contract, "test_usd"))


def blacklist(coin: Contract, account: bytes) -> None:
    """A coin that refuses moves no more to that account, nor from it."""
    _tell(coin, "list(address,bool)", ["address", "bool"], [account, True])


def charge(coin: Contract, percent: int) -> None:
    """A FEE_COIN moves so much less from now on; more, if it is negative."""
    _tell(coin, "charge(int256)", ["int256"], [percent])


def arm(coin: Contract, target: bytes, call: bytes) -> None:
    """A REENTRANT_COIN calls that in the middle of each transfer."""
    _tell(coin, "arm(address,bytes)", ["address", "bytes"], [target, call])


def is_in(coin: Contract) -> bool:
    """Whether the call of a REENTRANT_COIN got through."""
    return bool(int.from_bytes(coin.evm.call(coin.address, keccak(b"isIn()")[:4])))


def _tell(coin: Contract, signature: str, types: list[str], arguments: list[object]) -> None:
    coin.evm.send(STRANGER, coin.address, keccak(text=signature)[:4] + encode(types, arguments))


@functools.cache
def _creation(source: str) -> bytes:
    return bytes.fromhex(compile_code(source)["bytecode"].removeprefix("0x"))


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

_SENDS = "self._move(msg.sender, to, amount)"
_TAKES = "self._spend(owner, amount); self._move(owner, to, amount)"


def _coin(sends: str = _SENDS, takes: str = _TAKES, *, answers: str = " -> bool", also: str = "") -> str:
    """A coin that does so in `transfer` and `transferFrom`, and then says yes unless it `answers` nothing; `also` is
    what else it has."""
    yes = "return True" if answers else "pass"
    return f"""{_PLAIN_COIN}{also}
@external
def transfer(to: address, amount: uint256){answers}:
    {_lines(sends)}
    {yes}
@external
def transferFrom(owner: address, to: address, amount: uint256){answers}:
    {_lines(takes)}
    {yes}
"""


def _lines(statements: str) -> str:
    return statements.replace("; ", "\n    ")


# Moves less than was asked, or more, as soon as it is told to.
FEE_COIN = _coin(
    "self._move(msg.sender, to, self._left(amount))",
    "self._spend(owner, amount); self._move(owner, to, self._left(amount))",
    also="""
percent: int256
@external
def charge(percent: int256):
    self.percent = percent
@internal
def _left(amount: uint256) -> uint256:
    return convert(convert(amount, int256) * (100 - self.percent) // 100, uint256)
""",
)

# Says yes and moves nothing.
LYING_COIN = _coin("pass", "pass")

# Returns nothing at all, as some old coins do, and knows no permits.
SILENT_COIN = _coin(answers="")


def _refusing(how: str) -> str:
    """Refuses, in that way, to send to whom it has listed, or to take from them."""
    return _coin(
        f"if self.listed[to]: {how}; {_SENDS}",
        f"if self.listed[owner]: {how}; {_TAKES}",
        also="""
listed: HashMap[address, bool]
@external
def list(account: address, isListed: bool):
    self.listed[account] = isListed
""",
    )


BLACKLISTING_COIN = _refusing('raise "listed"')
# The coins that refuse, and the reason with which our transfer then fails.
REFUSING_COINS = {BLACKLISTING_COIN: "listed", _refusing("raise"): "", _refusing("return False"): "transfer"}

# Calls what it was told to in the middle of the next transfer, once, and remembers whether that worked. It believes
# every authorization.
REENTRANT_COIN = _coin(
    f"{_SENDS}; self._call_back()",
    f"{_TAKES}; self._call_back()",
    also="""
target: address
call: Bytes[1024]
isIn: public(bool)
@external
def arm(target: address, call: Bytes[1024]):
    self.target = target
    self.call = call
@internal
def _call_back():
    target: address = self.target
    if target != empty(address):
        self.target = empty(address)
        self.isIn = raw_call(target, self.call, revert_on_failure=False)
@external
def receiveWithAuthorization(
    owner: address, to: address, amount: uint256, a: uint256, b: uint256, n: bytes32, v: uint8, r: bytes32, s: bytes32
):
    self._move(owner, to, amount)
    self._call_back()
""",
)
