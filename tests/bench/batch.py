"""Building a batch of 1,024 orders with all of its proofs, beside the bare calls of keccak that any such tree needs."""

import time
from collections.abc import AsyncIterator

from eth_hash.auto import keccak

from hub.domain.anchors import MAX_LEAVES, Leaf, Tree, plant
from tests.bench.figures import Figure, interleaved

ROUNDS, QUICK_ROUNDS = 21, 1
NOBODY = bytes(20)
PAIR = bytes(64)  # what an inner node is the hash of


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    leaves = [
        Leaf(keccak(b"order %d" % n), NOBODY, n + 1, 0, keccak(b"commitment %d" % n)) for n in range(MAX_LEAVES)
    ]
    keccak(b"")  # the library is loaded at its first call

    async def ours() -> float:
        started = time.perf_counter()
        prove(leaves)
        return MAX_LEAVES / (time.perf_counter() - started)

    async def bare() -> float:
        """Two hashes a leaf, of 192 bytes and of 32, and one for each pair."""
        started = time.perf_counter()
        for _ in range(MAX_LEAVES):
            keccak(keccak(bytes(192)))
        for _ in range(MAX_LEAVES - 1):
            keccak(PAIR)
        return MAX_LEAVES / (time.perf_counter() - started)

    yield await interleaved(
        "batch", ours, bare, unit="orders/s", rounds=QUICK_ROUNDS if quick else ROUNDS, hashes=3 * MAX_LEAVES - 1
    )


def prove(leaves: list[Leaf]) -> Tree:
    tree = plant(leaves, keccak)
    assert all(len(tree.proof(index).proof) == 10 for index in range(len(leaves)))
    return tree
