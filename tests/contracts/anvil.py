"""The small EVM's face on Foundry's node, and both side by side: the same contracts by the same transactions."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from eth_abi import decode
from eth_utils import keccak, to_checksum_address

from tests.chain.nodes import Peer, Refused, anvil_running
from tests.contracts.evm import (
    ACCOUNTS,
    CHAIN_ID,
    GAS_LIMIT,
    GAS_PRICE,
    NOW,
    STRANGER,
    Account,
    Evm,
    Hub,
    Receipt,
    Reverted,
    fresh_hub,
    house_rules,
)

MINED_WITHIN_S = 30


class OnEvm(Protocol):
    """Contracts on a machine."""

    @property
    def evm(self) -> Evm: ...


Built = TypeVar("Built", bound=OnEvm)
Told = TypeVar("Told")


@dataclass
class Pair(Generic[Built]):
    """The same contracts on both machines, at the same addresses; each step happens a second after the one before."""

    here: Built
    there: Built
    now: int = NOW

    def does(self, step: Callable[[Built], Receipt]) -> str | None:
        """Takes the step on both, with the same gas and logs; the reason for which both refuse it."""
        self.now += 1
        told = []
        for built in (self.here, self.there):
            built.evm.at(self.now)
            try:
                receipt = step(built)
            except Reverted as refusal:
                told.append((str(refusal), 0, ()))
            else:
                told.append((None, receipt.gas_used, receipt.logs))
        assert told[0] == told[1]
        return told[0][0]

    def says(self, question: Callable[[Built], Told]) -> Told:
        """What both answer."""
        here, there = question(self.here), question(self.there)
        assert here == there
        return here


@contextmanager
def paired(build: Callable[[Hub], Built]) -> Iterator[Pair[Built]]:
    """What `build` makes of a hub with one account in each role, on either machine."""
    funded = ["0x" + account.address.hex() for account in ACCOUNTS]
    with anvil_running(chain_id=CHAIN_ID, funded=funded, options=("--timestamp", str(NOW - 3_600))) as node:
        yield Pair(build(fresh_hub()), build(house_rules(cast(Evm, AnvilEvm(node)))))


class AnvilEvm:
    """See `tests.contracts.evm.Evm`. A failed transaction is mined here, so its sender's nonce grows."""

    def __init__(self, node: Peer) -> None:
        self.node = node

    def at(self, timestamp: int) -> None:
        """The time of the next block."""
        self.node.rpc("evm_setNextBlockTimestamp", timestamp)

    def send(self, sender: Account, to: bytes, data: bytes, *, value: int = 0, gas: int = GAS_LIMIT) -> Receipt:
        transaction = {
            "chainId": int(self.node.rpc("eth_chainId"), 16),
            "nonce": self.node.nonce(sender.local),
            "gasPrice": GAS_PRICE,
            "gas": gas,
            "value": value,
            "data": data,
            **({"to": to_checksum_address(to)} if to else {}),
        }
        raw = "0x" + bytes(sender.local.sign_transaction(transaction).raw_transaction).hex()
        told = self._mined(raw)
        if told["status"] == "0x0":
            self.call(to, data, sender)  # in the block that has just failed: it fails again, and says why
            raise AssertionError("a transaction failed whose call does not")
        logs = tuple(
            (tuple(bytes.fromhex(topic[2:]) for topic in log["topics"]), bytes.fromhex(log["data"][2:]))
            for log in told["logs"]
        )
        created = bytes.fromhex((told["contractAddress"] or "0x")[2:])
        return Receipt(int(told["gasUsed"], 16), b"", logs, created)

    def _mined(self, raw: str) -> dict[str, Any]:
        """The receipt; a loaded machine answers the sending before it has mined."""
        told, deadline = self.node.mined(raw), time.monotonic() + MINED_WITHIN_S
        while told is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            told = self.node.rpc("eth_getTransactionReceipt", "0x" + keccak(hexstr=raw).hex())
        return told

    def call(self, to: bytes, data: bytes, sender: Account = STRANGER) -> bytes:
        asked = {
            "from": "0x" + sender.address.hex(),
            "to": "0x" + to.hex(),
            "data": "0x" + data.hex(),
            "gas": hex(GAS_LIMIT),
        }
        try:
            return bytes.fromhex(self.node.rpc("eth_call", asked, "latest")[2:])
        except Refused as refusal:
            output = bytes.fromhex((refusal.data or "0x")[2:])
            is_reason = output[:4] == keccak(b"Error(string)")[:4]
            raise Reverted(decode(["string"], output[4:])[0] if is_reason else "") from refusal

    def code(self, address: bytes) -> bytes:
        return bytes.fromhex(self.node.rpc("eth_getCode", "0x" + address.hex(), "latest")[2:])
