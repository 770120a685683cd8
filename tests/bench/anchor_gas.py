"""What a batch costs on chain: gas of the anchor's transaction, through the real client on the embedded node."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from eth_utils.crypto import keccak

from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.chain.embedded import EmbeddedNode
from hub.chain.keys import prepare_embedded
from hub.domain.anchors import Leaf, plant
from tests.bench.figures import Figure

SIZES, QUICK_SIZES = (1, 16, 64, 256, 1024), (1, 256)
MAX_GAS, MAX_GAS_AN_ORDER, MEASURED_AT = 50_000, 200, 256  # the goals that hub/docs/gas.md tells


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        keys = prepare_embedded(Path(folder))
        node = EmbeddedNode(Path(folder))
        chain = JsonRpcChain(node.url, keys)
        try:
            await node.start()
            await deploy(chain, keys, ())
            for size in QUICK_SIZES if quick else SIZES:
                for figure in figures_of(size, await anchored(chain, size)):
                    yield figure
        finally:
            await chain.aclose()
            await node.aclose()


async def anchored(chain: JsonRpcChain, size: int) -> int:
    """Gas of one batch of so many orders, as its receipt says."""
    leaves = [Leaf(keccak(b"order %d" % i), bytes(20), i, 0, keccak(b"commitment %d" % i)) for i in range(size)]
    tree = plant(leaves, keccak)
    data_hash = keccak(b"".join(tree.nodes))
    transaction = await chain.sign_anchor(tree.root, size, data_hash, await chain.mined_nonce(chain.sender))
    await chain.send(transaction)
    receipt = await chain.receipt(transaction.hash)
    assert receipt is not None
    assert receipt.is_ok
    assert (await chain.anchored(tree.root)).count == size
    return receipt.gas_used


def figures_of(size: int, gas: int) -> list[Figure]:
    """The batch's gas, and what of it falls to one order. Gas does not vary between runs: there is no noise."""
    an_order = f"at most {MAX_GAS_AN_ORDER}" if size == MEASURED_AT else ""
    return [
        Figure(f"anchor_gas_{size}", gas, None, "gas a batch", bar=f"at most {MAX_GAS:,}"),
        Figure(f"anchor_gas_{size}_an_order", gas / size, None, "gas an order", bar=an_order),
    ]
