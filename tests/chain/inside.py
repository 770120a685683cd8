"""The node's backend in this process, for what needs a hand on its clock or inside."""

import random
import threading
from pathlib import Path
from typing import Any

from hub.chain.node.backend import Backend
from hub.chain.node.rpc import Methods
from tests.chain.nodes import SENDERS, creation, signed, write_genesis

ALICE = SENDERS[0]
NOW = 1_900_000_000
NOTHING = "0x" + "00" * 32


class Clock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Chain:
    """The backend in this process, for what needs a hand on the clock or inside."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        write_genesis(folder)
        self.backend = Backend(folder, clock=self.clock, draw=random.Random(7).randbytes)
        self.methods = Methods(self.backend, has_test_hooks=True)

    def rpc(self, method: str, *params: Any) -> Any:
        return self.methods.answer(method, params)

    def send(self, raw: str) -> str:
        return "0x" + self.submit(raw).result(30).hex()

    def submit(self, raw: str) -> Any:
        return self.backend.submit(self.backend.admit(bytes.fromhex(raw[2:])))

    def mined(self, raw: str) -> Any:
        return self.rpc("eth_getTransactionReceipt", self.send(raw))

    def deploy(self, runtime: bytes) -> str:
        nonce = int(self.rpc("eth_getTransactionCount", ALICE.address), 16)
        raw = signed(ALICE, nonce, to=None, data=creation(runtime), gas=1_000_000)
        address: str = self.mined(raw)["contractAddress"]
        return address

    def held(self, raws: list[str]) -> list[Any]:
        """Sends all of them so that they wait together when the writer looks."""
        gate = threading.Event()
        self.backend.miner.command(lambda: int(gate.wait(30)))
        futures = [self.submit(raw) for raw in raws]
        gate.set()
        return futures
