"""Measures the gas table; `python -m tests.contracts.gas` writes contracts/gas.json anew."""

import json
from importlib import resources
from pathlib import Path
from typing import cast

from eth_abi import decode, encode
from eth_utils import keccak
from vyper.compiler import compile_code  # type: ignore[import-untyped]  # the compiler ships no types

from tests.contracts import checkout_gas
from tests.contracts.evm import (
    DATA_HASH,
    GATE,
    GUARD,
    JUDGE,
    OWNER,
    STRANGER,
    Hub,
    batch,
    calldata,
    fresh_hub,
    verify_arguments,
)

TABLE = Path(str(resources.files("contracts").joinpath("gas.json")))
SIZES = (1, 16, 64, 256, 1_024)
WHOLE_WORD = 2**256 - 1  # 256 orders revoked at once

# A contract that relies on a right: what the question costs it, everything touched for the first time.
RELYING = """
# pragma version 0.4.3
@external
def ask(hub: address, question: Bytes[2048]) -> (bool, uint256):
    before: uint256 = msg.gas
    answer: Bytes[32] = raw_call(hub, question, max_outsize=32, is_static_call=True)
    spent: uint256 = before - msg.gas
    return convert(answer, uint256) == 1, spent
"""


def measure() -> dict[str, object]:
    """Gas under Prague rules: of whole transactions, and of `verify` as a call inside another contract."""
    deployed = fresh_hub()
    anchor = {size: anchor_gas(deployed, size) for size in SIZES}
    return {
        "rules": "prague",
        "anchor": [{"orders": n, "gas": gas, "gas_per_order": round(gas / n, 1)} for n, gas in anchor.items()],
        "verify_inside_a_contract": [{"orders": n, "gas": verify_gas(deployed, n)} for n in SIZES],
        "revoke_256_orders": revoke_gas(deployed, WHOLE_WORD),
        "revoke_1_order": revoke_gas(deployed, 1),
        "pause": deployed.copy().send(GUARD, "pause").gas_used,
        "checkout": checkout_gas.measure(deployed),
    }


def anchor_gas(deployed: Hub, size: int) -> int:
    return deployed.copy().send(GATE, "anchor", batch(size).root, size, DATA_HASH, 1).gas_used


def verify_gas(deployed: Hub, size: int) -> int:
    """The first leaf of a batch, whose path is as long as any."""
    hub = deployed.copy()
    hub.send(GATE, "anchor", batch(size).root, size, DATA_HASH, 1)
    relying = hub.evm.send(OWNER, b"", bytes.fromhex(compile_code(RELYING)["bytecode"].removeprefix("0x"))).contract
    question = calldata("verify", *verify_arguments(batch(size).proof(0)))
    call = keccak(b"ask(address,bytes)")[:4] + encode(["address", "bytes"], [hub.address, question])
    stands, gas = decode(["bool", "uint256"], hub.evm.send(STRANGER, relying, call).output)
    assert stands
    return cast(int, gas)


def revoke_gas(deployed: Hub, mask: int) -> int:
    return deployed.copy().send(JUDGE, "revoke", batch(256).root, 0, mask).gas_used


def table() -> str:
    """The text of contracts/gas.json."""
    return json.dumps(measure(), indent=1) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8", newline="\n")
