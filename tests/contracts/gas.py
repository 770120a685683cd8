"""Measures the gas table; `python -m tests.contracts.gas` writes contracts/gas.json anew."""

import functools
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import cast

from eth_abi import decode, encode
from eth_utils import keccak
from vyper.compiler import compile_code  # type: ignore[import-untyped]  # the compiler ships no types

from contracts import artifact
from hub.domain.anchors import NO_END, Leaf
from tests.contracts import checkout_gas
from tests.contracts.evm import (
    DATA_HASH,
    GATE,
    GUARD,
    JUDGE,
    NOW,
    OWNER,
    STRANGER,
    TILL,
    TOKEN,
    Hub,
    anchored,
    batch,
    calldata,
    claimed,
    fresh_hub,
    result_of,
    right,
    settled,
    verify_arguments,
)

TABLE = Path(str(resources.files("contracts").joinpath("gas.json")))
SIZES = (1, 16, 64, 256, 1_024)
WHOLE_WORD = 2**256 - 1  # 256 orders revoked at once
HOLDER = keccak(b"holder")[:20]
RESULT = result_of(1, HOLDER)
PURCHASE = (RESULT.order_key, HOLDER, TOKEN, NO_END, RESULT.commitment)

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
        "has_access_inside_a_contract": has_access_gas(deployed),
        "claim": [{"orders": n, "gas": claim_gas(deployed, n)} for n in SIZES],
        "claim_of_a_renewal_at_256": renewal_gas(deployed),
        "claim_of_what_is_held_at_256": second_claim_gas(deployed),
        "settle": settled(deployed.copy(), RESULT).gas_used,
        "grant_purchase": deployed.copy().send(TILL, "grantPurchase", *PURCHASE).gas_used,
        "revoke_256_orders": revoke_gas(deployed, WHOLE_WORD),
        "revoke_1_order": revoke_gas(deployed, 1),
        "revoke_order": revoke_order_gas(deployed),
        "burn_revoked": burn_gas(deployed),
        "record_request": deployed.copy().send(GATE, "recordRequest", *PURCHASE[::4]).gas_used,
        "pause": deployed.copy().send(GUARD, "pause").gas_used,
        "deploy": len_and_gas(deployed),
        "checkout": checkout_gas.measure(deployed),
    }


def anchor_gas(deployed: Hub, size: int) -> int:
    return deployed.copy().send(GATE, "anchor", batch(size).root, size, DATA_HASH, 1).gas_used


def verify_gas(deployed: Hub, size: int) -> int:
    """The first leaf of a batch, whose path is as long as any."""
    hub = deployed.copy()
    hub.send(GATE, "anchor", batch(size).root, size, DATA_HASH, 1)
    return asked_inside_a_contract(hub, calldata("verify", *verify_arguments(batch(size).proof(0))))


def has_access_gas(deployed: Hub) -> int:
    """Of a wallet that holds a right without end."""
    hub = deployed.copy()
    settled(hub, RESULT)
    return asked_inside_a_contract(hub, calldata("hasAccess", HOLDER, TOKEN))


def asked_inside_a_contract(hub: Hub, question: bytes) -> int:
    """What the call costs the contract that asks, answered yes."""
    relying = hub.evm.send(OWNER, b"", relying_code()).contract
    call = keccak(b"ask(address,bytes)")[:4] + encode(["address", "bytes"], [hub.address, question])
    stands, gas = decode(["bool", "uint256"], hub.evm.call(relying, call))
    assert stands
    return cast(int, gas)


@functools.cache
def relying_code() -> bytes:
    """Its creation code."""
    return bytes.fromhex(compile_code(RELYING)["bytecode"].removeprefix("0x"))


def claim_gas(deployed: Hub, size: int) -> int:
    """The first right of a wallet that never held one, under a root of so many orders."""
    hub = deployed.copy()
    return claimed(hub, anchored(hub, held_batch(size)).proof(0)).gas_used


def renewal_gas(deployed: Hub) -> int:
    """A longer right in the place of a shorter one."""
    hub = deployed.copy()
    settled(hub, replace(RESULT, expiry=NOW + 60))
    return claimed(hub, anchored(hub, held_batch(256)).proof(0)).gas_used


def second_claim_gas(deployed: Hub) -> int:
    """What changes nothing."""
    hub = deployed.copy()
    proof = anchored(hub, held_batch(256)).proof(0)
    claimed(hub, proof)
    return claimed(hub, proof).gas_used


def held_batch(size: int) -> list[Leaf]:
    """Rights of which the first is the holder's."""
    return [right(0, to=HOLDER), *batch(size).leaves[1:]]


def revoke_order_gas(deployed: Hub) -> int:
    hub = deployed.copy()
    settled(hub, RESULT)
    return hub.send(JUDGE, "revokeOrder", RESULT.order_key).gas_used


def burn_gas(deployed: Hub) -> int:
    hub = deployed.copy()
    settled(hub, RESULT)
    hub.send(JUDGE, "revokeOrder", RESULT.order_key)
    return hub.send(STRANGER, "burnRevoked", HOLDER, TOKEN).gas_used


def len_and_gas(deployed: Hub) -> dict[str, int]:
    """Once per chain: the code that it holds (EIP-170 allows 24,576 bytes), and what putting it there costs."""
    compiled = artifact("entitlement_hub")
    creation = compiled.bytecode + encode(["address", "address"], [OWNER.address, GATE.address])
    receipt = deployed.copy().evm.send(OWNER, b"", creation)
    return {"code_bytes": len(deployed.evm.code(deployed.address)), "gas": receipt.gas_used}


def revoke_gas(deployed: Hub, mask: int) -> int:
    return deployed.copy().send(JUDGE, "revoke", batch(256).root, 0, mask).gas_used


def table() -> str:
    """The text of contracts/gas.json."""
    return json.dumps(measure(), indent=1) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8", newline="\n")
