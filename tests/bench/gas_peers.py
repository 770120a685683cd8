"""Contracts of others on the small EVM beside ours: what they take for an order, a right, a purchase.

OpenZeppelin's ERC-1155 is compiled here, Unlock and EAS are the code that their packages were published with
(tests/peers/gas). Unlock stands behind OpenZeppelin's plainest proxy, a little cheaper than the one on public chains.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi import decode, encode
from eth_abi.grammar import parse
from eth_utils import keccak

from tests.contracts.evm import NOBODY, NOW, OWNER, STRANGER, TOKEN, Account, Evm, Hub, Receipt, fresh_account
from tests.contracts.gas import asked_inside_a_contract
from tests.contracts.splitter import PRICE, deployed
from tests.entry.npm import installed

FOLDER = Path(__file__).parents[1] / "peers" / "gas"
WITHIN_S = 100
TX_GAS_CAP = 16_777_216  # EIP-7825: no transaction may use more, so larger batches are several
LOCK_VERSION = 14
NO_BOUND = 2**256 - 1
MOST = {"timestamps": 256, "mints": 256, "attestations": 64}  # of one transaction under the cap
HOLDER = keccak(b"holder")[:20]
FACTS = "bytes32 leaf"  # the least that binds what a leaf of ours does, beside the holder and the end


@dataclass(frozen=True)
class Peers:
    """All of them on one machine. A copy is free."""

    evm: Evm
    token: bytes
    eas: bytes
    schema: bytes
    lock: bytes  # sells for ether
    coin_lock: bytes  # sells for `coin`
    unlock: bytes
    coin: bytes
    buyer: Account

    def mint_gas(self) -> int:
        """Of one ERC-1155 for a new holder."""
        return call(self.evm.copy(), STRANGER, self.token, "mint(address,uint256)", HOLDER, TOKEN).gas_used

    def mints_gas(self, size: int) -> int:
        """Of one for each of so many new holders."""
        evm, holders = self.evm.copy(), [keccak(b"holder %d" % number)[:20] for number in range(size)]
        return sum(
            call(evm, STRANGER, self.token, "mintEach(address[],uint256)", some, TOKEN).gas_used
            for some in chunks(holders, MOST["mints"])
        )

    def timestamps_gas(self, size: int) -> int:
        """Of recording the time of so many hashes, by EAS."""
        evm, hashes = self.evm.copy(), [keccak(b"leaf %d" % number) for number in range(size)]
        if size == 1:  # which has a function of its own
            return call(evm, STRANGER, self.eas, "timestamp(bytes32)", hashes[0]).gas_used
        return sum(
            call(evm, STRANGER, self.eas, "multiTimestamp(bytes32[])", some).gas_used
            for some in chunks(hashes, MOST["timestamps"])
        )

    def attest_gas(self) -> int:
        """Of one attestation, by EAS."""
        attested = (self.schema, attestation(0))
        return call(self.evm.copy(), STRANGER, self.eas, f"attest((bytes32,{ATTESTATION}))", attested).gas_used

    def attested(self, size: int) -> "Attested":
        """So many attestations."""
        evm, gas, uids = self.evm.copy(), 0, list[bytes]()
        for some in chunks([attestation(number) for number in range(size)], MOST["attestations"]):
            function = f"multiAttest((bytes32,{ATTESTATION}[])[])"
            receipt = call(evm, STRANGER, self.eas, function, [(self.schema, some)])
            gas, uids = gas + receipt.gas_used, [*uids, *decode(["bytes32[]"], receipt.output)[0]]
        return Attested(evm, gas, uids)

    def revocation_gas(self, attested: "Attested") -> int:
        """Of taking them back in one transaction."""
        taken = [(self.schema, [(uid, 0) for uid in attested.uids])]
        return call(attested.evm, STRANGER, self.eas, "multiRevoke((bytes32,(bytes32,uint256)[])[])", taken).gas_used

    def purchase_gas(self) -> int:
        """Of the second key that a lock sells, for ether: the buyer's first."""
        evm = self.evm.copy()
        purchase(evm, STRANGER, self.lock, value=PRICE)
        return purchase(evm, self.buyer, self.lock, value=PRICE).gas_used

    def coin_purchase_gas(self) -> int:
        """The same for TestUSD, with coins approved before."""
        evm = self.evm.copy()
        for payer in (STRANGER, self.buyer):
            call(evm, OWNER, self.coin, "mint(address,uint256)", payer.address, 2 * PRICE)
            call(evm, payer, self.coin, "approve(address,uint256)", self.coin_lock, NO_BOUND)
        purchase(evm, STRANGER, self.coin_lock)
        return purchase(evm, self.buyer, self.coin_lock).gas_used

    def grant_gas(self) -> int:
        """Of a key that the seller gives away, the second of the lock."""
        evm = self.evm.copy()
        purchase(evm, STRANGER, self.lock, value=PRICE)
        grant = "grantKeys(address[],uint256[],address[])"
        return call(evm, OWNER, self.lock, grant, [HOLDER], [NO_BOUND], [NOBODY]).gas_used

    def new_lock_gas(self) -> int:
        """Of offering another course."""
        return new_lock(self.evm.copy(), self.unlock, self.coin)[1]

    def balance_inside_a_contract(self) -> int:
        """What ERC-1155 takes from a contract that asks it."""
        evm = self.evm.copy()
        call(evm, STRANGER, self.token, "mint(address,uint256)", HOLDER, TOKEN)
        return asked_inside_a_contract(Hub(evm, self.token), data("balanceOf(address,uint256)", HOLDER, TOKEN))

    def key_inside_a_contract(self) -> int:
        """What a lock takes from a contract that asks whether somebody holds a key."""
        evm = self.evm.copy()
        purchase(evm, self.buyer, self.lock, value=PRICE)
        question = data("getHasValidKey(address)", self.buyer.address)
        return asked_inside_a_contract(Hub(evm, self.lock), question)


@dataclass(frozen=True)
class Attested:
    evm: Evm
    gas: int
    uids: list[bytes]


ATTESTATION = "(address,uint64,bool,bytes32,bytes,uint256)"  # to, end, can be revoked, refers to, facts, value


def raised(evm: Evm) -> Peers:
    """Deploys all of them on a copy of that machine."""
    evm = evm.copy()
    code = codes()
    schemas = created(evm, code["schemas"])
    register = call(evm, OWNER, schemas, "register(string,address,bool)", FACTS, NOBODY, True)
    first = addressed(created(evm, code["unlock"])), data("initialize(address)", OWNER.address)
    unlock = created(evm, code["proxy"] + encode(["address", "bytes"], first))
    template = created(evm, code["lock"])
    call(evm, OWNER, unlock, "addLockTemplate(address,uint16)", template, LOCK_VERSION)
    call(evm, OWNER, unlock, "setLockTemplate(address)", template)
    coin = deployed(evm, "test_usd").address
    return Peers(
        evm=evm,
        token=created(evm, code["token"]),
        eas=created(evm, code["eas"] + encode(["address"], ["0x" + schemas.hex()])),
        schema=register.output,
        lock=new_lock(evm, unlock, NOBODY)[0],
        coin_lock=new_lock(evm, unlock, coin)[0],
        unlock=unlock,
        coin=coin,
        buyer=fresh_account(evm, 8),
    )


def new_lock(evm: Evm, unlock: bytes, coin: bytes) -> tuple[bytes, int]:
    """A lock that sells at PRICE without end: its address, and the gas of setting it up."""
    kind = "initialize(address,uint256,address,uint256,uint256,string)"
    first = data(kind, OWNER.address, NO_BOUND, coin, PRICE, NO_BOUND, "Course")
    receipt = call(evm, OWNER, unlock, "createUpgradeableLockAtVersion(bytes,uint16)", first, LOCK_VERSION)
    return receipt.output[12:], receipt.gas_used


def purchase(evm: Evm, buyer: Account, lock: bytes, *, value: int = 0) -> Receipt:
    """One key for who pays."""
    arguments = ([PRICE], [buyer.address], [NOBODY], [NOBODY], [b""])
    return call(evm, buyer, lock, "purchase(uint256[],address[],address[],address[],bytes[])", *arguments, value=value)


def attestation(number: int) -> tuple[object, ...]:
    return (keccak(b"holder %d" % number)[:20], NOW + 60, True, bytes(32), keccak(b"leaf %d" % number), 0)


def call(evm: Evm, sender: Account, to: bytes, function: str, *arguments: object, value: int = 0) -> Receipt:
    """A transaction that may use as much as any transaction may."""
    return evm.send(sender, to, data(function, *arguments), value=value, gas=TX_GAS_CAP)


def created(evm: Evm, code: bytes) -> bytes:
    """The address of a new contract."""
    return evm.send(OWNER, b"", code, gas=TX_GAS_CAP).contract


def data(function: str, *arguments: object) -> bytes:
    """Calldata of a function by its signature; addresses are 20 bytes."""
    signature = function[function.index("(") :]
    kinds = [part.to_type_str() for part in parse(signature).components] if arguments else []
    return keccak(text=function)[:4] + encode(kinds, [addressed(argument) for argument in arguments])


def addressed(value: object) -> Any:
    """Addresses (20 bytes) as text, in lists and tuples too."""
    if isinstance(value, bytes) and len(value) == 20:
        return "0x" + value.hex()
    return [addressed(one) for one in value] if isinstance(value, list | tuple) else value


def chunks(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """In their order, so many at a time."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def codes() -> dict[str, bytes]:
    """Creation code by name. Skips, or fails on a CI machine, without the packages."""
    done = subprocess.run(
        ["node", "codes.mjs"], cwd=installed(FOLDER), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: bytes.fromhex(code) for name, code in json.loads(done.stdout).items()}
