"""EntitlementHub before other people's judges: OpenZeppelin's trees and contracts, and what wallets sign with."""

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi import decode, encode
from eth_keys.constants import SECPK1_N
from eth_utils import keccak

from hub.chain.results import PaymentResult, typed_data
from hub.domain import anchors
from hub.domain.anchors import NO_END, NO_HOLDER, Leaf, Tree
from tests.contracts.evm import (
    CHAIN_ID,
    NOW,
    OWNER,
    SEAL,
    STRANGER,
    TOKEN,
    Hub,
    Reverted,
    anchored,
    as_arguments,
    claimed,
    result_of,
    signed,
    verify_arguments,
)
from tests.entry.npm import installed
from tests.results import digest

pytestmark = pytest.mark.browser

PEERS = Path(__file__).parents[1] / "peers" / "contracts"
WITHIN_S = 100
SIZES = (*range(1, 18), 64, 255, 256, 257)
LEAF_TYPES = "(bytes32,uint256,bytes32,address,uint256,uint64,bytes32,bytes32[])"


@pytest.fixture(scope="session")
def peers() -> Path:
    return installed(PEERS)


@pytest.fixture
def judge(hub: Hub, peers: Path) -> bytes:
    """The address of Judge.sol."""
    return hub.evm.send(OWNER, b"", bytes.fromhex(node(peers, "compile.mjs"))).contract


def node(peers: Path, script: str, asked: object = None) -> str:
    """What a script of the peers writes."""
    done = subprocess.run(
        ["node", script],
        cwd=peers,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def judged(peers: Path, batches: list[Tree], results: list[tuple[PaymentResult, bytes]], contract: bytes) -> Any:
    """What judge.mjs says of trees and signed results."""
    typed = [
        {"typed": typed_data(result, CHAIN_ID, "0x" + contract.hex()), "signature": "0x" + signature.hex()}
        for result, signature in results
    ]
    asked = {"batches": [[values(leaf, n) for n, leaf in enumerate(tree.leaves)] for tree in batches], "results": typed}
    return json.loads(node(peers, "judge.mjs", asked | {"key": "0x" + SEAL.key.to_bytes().hex()}))


def values(leaf: Leaf, index: int) -> list[str]:
    """A leaf as StandardMerkleTree takes it."""
    to, order_key, commitment = ("0x" + part.hex() for part in (leaf.to, leaf.order_key, leaf.commitment))
    return [str(index), order_key, to, str(leaf.token_id), str(leaf.expiry), commitment]


def batch_of(size: int) -> Tree:
    """Rights with and without holder, with and without end, and ends that grant nothing."""
    draw = random.Random(size)
    leaves = []
    for _ in range(size):
        key, commitment = draw.randbytes(32), draw.randbytes(32)
        if draw.random() < 0.2:
            leaves.append(Leaf(key, NO_HOLDER, 0, 0, commitment))
        else:
            to = draw.choice((NO_HOLDER, draw.randbytes(20)))
            leaves.append(Leaf(key, to, draw.randrange(1, 2**256), draw.choice((NOW + 60, NO_END)), commitment))
    return anchors.plant(leaves, keccak)


def results_for(to: bytes) -> list[PaymentResult]:
    """Results like others, and at the edges of their types."""
    edge = PaymentResult(b"\xff" * 32, bytes(32), "0x" + "ff" * 20, 2**256 - 1, 2**64 - 1, 0)
    return [result_of(1, to), result_of(2, to, token_id=1, expiry=NOW + 1), edge]


def test_our_trees_are_openzeppelins(peers: Path) -> None:
    trees = [batch_of(size) for size in SIZES]
    for tree, theirs in zip(trees, judged(peers, trees, [], bytes(20))["trees"], strict=True):
        assert theirs["root"] == "0x" + tree.root.hex()
        for index, proof in enumerate(theirs["proofs"]):
            assert tuple(bytes.fromhex(sibling[2:]) for sibling in proof) == tree.proof(index).proof


def test_openzeppelins_contract_takes_our_proofs_and_none_that_is_changed(hub: Hub, judge: bytes) -> None:
    for size in (1, 2, 3, 5, 8, 13):
        tree = batch_of(size)
        for index in range(size):
            proof = tree.proof(index)
            assert takes(hub, judge, verify_arguments(proof))
            for wrong in (
                replace(proof, index=index + 1),
                replace(proof, order_key=bytes(32)),
                replace(proof, commitment=bytes(32)),
                replace(proof, proof=(*proof.proof, proof.root)),
            ):
                assert not takes(hub, judge, verify_arguments(wrong))


def takes(hub: Hub, judge: bytes, arguments: tuple[object, ...]) -> bool:
    kinds = LEAF_TYPES[1:-1].split(",")
    call = keccak(text="verify" + LEAF_TYPES)[:4] + encode(kinds, arguments)
    return bool(int.from_bytes(hub.evm.call(judge, call)))


def test_digest_signer_and_signature_are_those_of_ethers_and_viem(hub: Hub, peers: Path) -> None:
    results = results_for(keccak(b"alice")[:20])
    ours = [(result, signed(hub, result)) for result in results]
    contract = "0x" + hub.address.hex()
    for (result, signature), theirs in zip(ours, judged(peers, [], ours, hub.address)["signed"], strict=True):
        expected = {
            "digest": "0x" + digest(result, CHAIN_ID, contract).hex(),
            "signer": SEAL.local.address,
            "signature": "0x" + signature.hex(),
        }
        assert theirs == {"ethers": expected, "viem": expected}


def test_the_contract_settles_what_ethers_and_viem_have_signed(hub: Hub, peers: Path) -> None:
    alice = keccak(b"alice")[:20]
    pair = [result_of(1, alice), result_of(2, alice, token_id=TOKEN + 1)]
    told = judged(peers, [], [(result, signed(hub, result)) for result in pair], hub.address)["signed"]
    for result, library, theirs in zip(pair, ("ethers", "viem"), told, strict=True):
        signature = bytes.fromhex(theirs[library]["signature"][2:])
        hub.send(STRANGER, "settle", as_arguments(result), signature)
        assert hub.ask("hasAccess", alice, result.token_id) == (True,)


def test_openzeppelins_recovery_agrees_on_good_and_bad_signatures(hub: Hub, judge: bytes) -> None:
    result = result_of(1, keccak(b"alice")[:20])
    signature = signed(hub, result)
    hashed = digest(result, CHAIN_ID, "0x" + hub.address.hex())
    assert recovered(hub, judge, hashed, signature) == SEAL.local.address.lower()
    s, v = int.from_bytes(signature[32:64]), signature[64]
    for bad in (
        signature[:32] + (SECPK1_N - s).to_bytes(32) + bytes([55 - v]),
        signature[:64],
        signature[:64] + bytes([v - 27]),
        bytes(65),
    ):
        with pytest.raises(Reverted):
            recovered(hub, judge, hashed, bad)
        with pytest.raises(Reverted, match=r"^signature$"):
            hub.send(STRANGER, "settle", as_arguments(result), bad)


def recovered(hub: Hub, judge: bytes, hashed: bytes, signature: bytes) -> str:
    call = keccak(text="signer(bytes32,bytes)")[:4] + encode(["bytes32", "bytes"], [hashed, signature])
    (address,) = decode(["address"], hub.evm.call(judge, call))
    return str(address)


def test_openzeppelin_sees_a_token_and_holds_it(hub: Hub, judge: bytes) -> None:
    call = keccak(text="isToken(address)")[:4] + encode(["address"], [hub.address])
    assert int.from_bytes(hub.evm.call(judge, call)) == 1
    leaf = Leaf(keccak(b"order"), judge, TOKEN, NO_END, keccak(b"commitment"))
    claimed(hub, anchored(hub, [leaf, leaf]).proof(1))
    assert hub.ask("balanceOf", judge, TOKEN) == (1,)
