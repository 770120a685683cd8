"""Wallets that are contracts: one that takes tokens, and those that refuse, lie, burn gas, or call the hub back."""

import functools

from eth_abi import encode
from eth_utils import keccak
from vyper.compiler import compile_code  # type: ignore[import-untyped]  # the compiler ships no types

from tests.contracts.evm import OWNER, STRANGER, Evm, Hub

# Its hook notes what it sees, then does as it was told by `behave`.
SOURCE = """
# pragma version 0.4.3
# pragma evm-version prague
interface Hub:
    def balanceOf(account: address, id: uint256) -> uint256: view
    def hasAccess(to: address, tokenId: uint256) -> bool: view

mode: uint256
payload: Bytes[4096]
calls: public(uint256)
balance_seen: public(uint256)
access_seen: public(bool)
came_back: public(bool)

@external
def behave(mode: uint256, payload: Bytes[4096]):
    self.mode = mode
    self.payload = payload

@external
def onERC1155Received(operator: address, sender: address, id: uint256, amount: uint256, data: Bytes[64]) -> bytes4:
    mode: uint256 = self.mode
    assert mode != 1, "no tokens here"
    assert mode != 6 or msg.gas > 90_000, "too little gas"
    assert sender == empty(address) and amount == 1 and len(data) == 0, "not a mint"
    self.calls += 1
    self.balance_seen = staticcall Hub(msg.sender).balanceOf(self, id)
    self.access_seen = staticcall Hub(msg.sender).hasAccess(self, id)
    if mode == 2:
        return 0xdeadbeef
    if mode == 3:
        for i: uint256 in range(1_000_000):
            self.mode = i
    if mode == 4:
        self.came_back = raw_call(msg.sender, self.payload, revert_on_failure=False)
    if mode == 5:
        raw_call(msg.sender, self.payload)
    return 0xf23a6e61
"""
MUTE = """
# pragma version 0.4.3
@external
@payable
def __default__():
    pass
"""

RETURN, REVERT = 0xF3, 0xFD  # opcodes
ACCEPT, REFUSE, WRONG, GREEDY, COME_BACK, INSIST, NEEDY = range(7)


class Receiver:
    """A wallet of that code on a chain."""

    def __init__(self, evm: Evm, mode: int = ACCEPT) -> None:
        self.evm = evm
        self.address = evm.send(OWNER, b"", _creation(SOURCE)).contract
        self.behave(mode)

    def behave(self, mode: int, payload: bytes = b"") -> None:
        """From now on: take, refuse, answer nonsense, burn all gas, or call the hub with `payload` from the hook."""
        arguments = encode(["uint256", "bytes"], [mode, payload])
        self.evm.send(STRANGER, self.address, keccak(b"behave(uint256,bytes)")[:4] + arguments)

    def seen(self, name: str) -> int:
        """A number or truth that the hook has noted."""
        return int.from_bytes(self.evm.call(self.address, keccak(text=f"{name}()")[:4]))


def mute(hub: Hub) -> bytes:
    """A wallet without the hook, which answers everything with nothing."""
    return hub.evm.send(OWNER, b"", _creation(MUTE)).contract


def terse(hub: Hub) -> bytes:
    """A wallet that answers everything with the four right bytes, and not with the word of 32 that the ABI wants."""
    return hub.evm.send(OWNER, b"", _answering(4, RETURN)).contract


def furious(hub: Hub) -> bytes:
    """A wallet that reverts with the very word that would accept."""
    return hub.evm.send(OWNER, b"", _answering(32, REVERT)).contract


def _answering(size: int, how: int) -> bytes:
    """Creates 16 bytes of code: so many of 0xf23a6e61 and zeros, returned or reverted with."""
    code = bytes.fromhex("63f23a6e6160e01b600052") + bytes([0x60, size, 0x60, 0, how])
    return b"\x6f" + code + bytes.fromhex("60005260106010f3")


@functools.cache
def _creation(source: str) -> bytes:
    return bytes.fromhex(compile_code(source)["bytecode"].removeprefix("0x"))
