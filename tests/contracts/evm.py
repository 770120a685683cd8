"""A small EVM in this process, straight on py-evm under Prague rules, and the EntitlementHub on it.

It is not the embedded node: contracts are tested against the bare machine, in milliseconds and with exact gas.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.vm.forks import PragueVM
from eth_abi import decode
from eth_account import Account as EthAccount
from eth_account.signers.local import LocalAccount
from eth_keys import keys
from eth_utils import keccak

from contracts import abi
from hub.chain.results import PaymentResult
from hub.domain import anchors
from hub.domain.anchors import NO_END, NO_HOLDER, Leaf, Proof, Tree
from hub.domain.contracts import ENTITLEMENT_HUB, HubRole
from tests.results import sign

CHAIN_ID = 31_337
NOW = 1_800_000_000  # Unix seconds of the only block
GAS_LIMIT = 5_000_000
GAS_PRICE = 10**10  # wei, above the base fee of the first block
NOBODY = NO_HOLDER

GATEWAY, PAUSER, REVOKER, SIGNER, MINTER = HubRole

TOKEN = anchors.token_id("crs_1", 1, 1, keccak)
DATA_HASH = keccak(b"encrypted leaf file")


class Reverted(Exception):
    """A transaction or call that reverted; its text is the reason."""


@dataclass(frozen=True)
class Account:
    key: keys.PrivateKey

    @property
    def address(self) -> bytes:
        return cast(bytes, self.key.public_key.to_canonical_address())

    @property
    def local(self) -> LocalAccount:
        return cast(LocalAccount, EthAccount.from_key(self.key.to_bytes()))


OWNER, GATE, GUARD, JUDGE, SEAL, TILL, STRANGER = ACCOUNTS = tuple(
    Account(keys.PrivateKey(keccak(name.encode())))
    for name in ("owner", "gateway", "pauser", "revoker", "signer", "minter", "stranger")
)


@dataclass(frozen=True)
class Receipt:
    gas_used: int
    output: bytes
    logs: tuple[tuple[tuple[bytes, ...], bytes], ...]  # topics, data
    contract: bytes  # the address just created


class Evm:
    """One state and one clock. A copy is free, as the database of states only ever grows."""

    def __init__(self, chain: MiningChain) -> None:
        self.chain = chain
        self.header = chain.header

    def copy(self) -> "Evm":
        twin = Evm(self.chain)
        twin.header = self.header
        return twin

    def forked(self, chain_id: int) -> "Evm":
        """The same state on a chain of another id."""
        chain = type(self.chain).configure(chain_id=chain_id)
        twin = Evm(chain(self.chain.chaindb.db, self.chain.header))
        twin.header = self.header
        return twin

    def at(self, timestamp: int) -> None:
        self.header = self.header.copy(timestamp=timestamp)

    def send(self, sender: Account, to: bytes, data: bytes, *, value: int = 0, gas: int = GAS_LIMIT) -> Receipt:
        """Runs a transaction and keeps its state; Reverted, and nothing kept, when it fails."""
        vm = self.chain.get_vm(self.header)
        unsigned = vm.create_unsigned_transaction(
            nonce=vm.state.get_nonce(sender.address), gas_price=GAS_PRICE, gas=gas, to=to, value=value, data=data
        )
        receipt, run = vm.apply_transaction(self.header, unsigned.as_signed_transaction(sender.key, chain_id=CHAIN_ID))
        if run.is_error:
            raise Reverted(_reason(run.output))
        vm.state.persist()
        self.header = self.header.copy(state_root=vm.state.state_root)
        logs = tuple((tuple(topic.to_bytes(32, "big") for topic in log.topics), log.data) for log in receipt.logs)
        return Receipt(receipt.gas_used, run.output, logs, run.msg.storage_address)

    def call(self, to: bytes, data: bytes) -> bytes:
        """What a function answers to STRANGER; whatever it did to the state is forgotten. A third of a transaction's
        time."""
        vm = self.chain.get_vm(self.header)
        code = vm.state.get_code(to)
        sender = STRANGER.address
        run = vm.execute_bytecode(sender, GAS_PRICE, GAS_LIMIT, to, sender, 0, data, code)
        if run.is_error:
            raise Reverted(_reason(run.output))
        return cast(bytes, run.output)

    def code(self, address: bytes) -> bytes:
        return cast(bytes, self.chain.get_vm(self.header).state.get_code(address))


class Hub:
    """A deployed EntitlementHub: functions by name, arguments in the ABI's order."""

    def __init__(self, evm: Evm, address: bytes) -> None:
        self.evm, self.address = evm, address

    def copy(self) -> "Hub":
        return Hub(self.evm.copy(), self.address)

    def send(self, sender: Account, function: str, *arguments: object) -> Receipt:
        return self.evm.send(sender, self.address, calldata(function, *arguments))

    def ask(self, function: str, *arguments: object) -> tuple[object, ...]:
        """What a view answers."""
        answer = self.evm.call(self.address, calldata(function, *arguments))
        return (abi.answer(ENTITLEMENT_HUB, function, answer),)

    def verifies(self, proof: Proof) -> bool:
        return self.ask("verify", *verify_arguments(proof)) == (True,)


def verify_arguments(proof: Proof) -> tuple[object, ...]:
    to = "0x" + proof.to.hex()
    head = (proof.root, proof.index, proof.order_key, to, proof.token_id, proof.expiry, proof.commitment)
    return (*head, proof.proof)


def calldata(function: str, *arguments: object) -> bytes:
    return abi.call(ENTITLEMENT_HUB, function, *arguments)


def event(name: str, *indexed: bytes) -> tuple[bytes, ...]:
    """The topics of an event of the hub."""
    return abi.event(ENTITLEMENT_HUB, name).topic, *(value.rjust(32, b"\0") for value in indexed)


def deploy(evm: Evm, name: str, *addresses: bytes) -> bytes:
    return evm.send(OWNER, b"", abi.creation(name, *addresses)).contract


def right(number: int = 0, *, to: bytes = NO_HOLDER, expiry: int = NO_END, token_id: int = TOKEN) -> Leaf:
    return Leaf(keccak(b"order %d" % number), to, token_id, expiry, keccak(b"commitment %d" % number))


def fresh_account(evm: Evm, number: int) -> Account:
    """A funded account beside the named ones."""
    account = Account(keys.PrivateKey(keccak(b"account %d" % number)))
    evm.send(OWNER, account.address, b"", value=10**20)
    return account


@functools.cache
def batch(size: int) -> Tree:
    """A batch of rights without holder."""
    return anchors.plant([right(number) for number in range(size)], keccak)


def signed(hub: Hub, result: PaymentResult, signer: Account = SEAL, chain_id: int = CHAIN_ID) -> bytes:
    """The signature of a result for that hub on that chain."""
    return sign(result, chain_id, "0x" + hub.address.hex(), signer.local)


def settled(hub: Hub, result: PaymentResult) -> Receipt:
    """Settles by the hub's own signer."""
    return hub.send(STRANGER, "settle", as_arguments(result), signed(hub, result))


def as_arguments(result: PaymentResult) -> tuple[object, ...]:
    return (result.order_key, result.commitment, result.to, result.token_id, result.expiry, result.deadline)


def result_of(number: int, to: bytes, *, token_id: int = TOKEN, expiry: int = NO_END) -> PaymentResult:
    """A result like any other, its deadline an hour after NOW."""
    leaf = right(number)
    return PaymentResult(leaf.order_key, leaf.commitment, "0x" + to.hex(), token_id, expiry, NOW + 3_600)


def claimed(hub: Hub, proof: Proof) -> Receipt:
    """Claims by somebody who has no part in it."""
    return hub.send(STRANGER, "claim", *verify_arguments(proof))


def anchored(hub: Hub, leaves: Sequence[Leaf], *, kind: int = 1) -> Tree:
    """Plants and anchors a batch."""
    tree = anchors.plant(leaves, keccak)
    hub.send(GATE, "anchor", tree.root, len(leaves), DATA_HASH, kind)
    return tree


def fresh_hub() -> Hub:
    """A hub with one account in each role, nothing anchored."""
    rules = MiningChain.configure(vm_configuration=((0, PragueVM),), chain_id=CHAIN_ID)
    state = {account.address: {"balance": 10**24, "nonce": 0, "code": b"", "storage": {}} for account in ACCOUNTS}
    genesis = {"difficulty": 0, "gas_limit": 10**9, "timestamp": NOW}
    evm = Evm(rules.from_genesis(AtomicDB(MemoryDB()), genesis, state))
    evm.at(NOW)
    return house_rules(evm)


def house_rules(evm: Evm) -> Hub:
    """The hub of `fresh_hub` on a machine where its accounts have funds."""
    hub = Hub(evm, deploy(evm, ENTITLEMENT_HUB, OWNER.address, GATE.address))
    hub.send(OWNER, "setRole", GUARD.address, PAUSER)
    hub.send(OWNER, "setRole", JUDGE.address, REVOKER)
    hub.send(OWNER, "setRole", SEAL.address, SIGNER)
    hub.send(OWNER, "setRole", TILL.address, MINTER)
    return hub


def _reason(output: bytes) -> str:
    return cast(str, decode(["string"], output[4:])[0]) if output[:4] == keccak(b"Error(string)")[:4] else ""
