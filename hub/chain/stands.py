"""Where a hub sells on chain, and where it has sold: an upgrade puts another splitter in the place of one that buyers
hold signed words for, and whose purchases may have to go back."""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from contracts import abi
from hub.chain.calls import said
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import Deployment
from hub.chain.rpc import Question
from hub.domain.contracts import CHECKOUT_SPLITTER


@dataclass(frozen=True, slots=True)
class Stand:
    """A splitter's address, the EntitlementHub that it records rights in, the token that is taken, and the block in
    which its logs begin."""

    splitter: str
    hub: str
    token: str
    from_block: int


async def former_stands(chain: JsonRpcChain, known: Sequence[Deployment], present: Stand) -> list[Stand]:
    """Every other splitter that is recorded on this chain, the newest first. Raises ChainUnavailable."""
    others = [
        one
        for one in reversed(known)
        if (one.chain_id, one.name) == (chain.chain_id, CHECKOUT_SPLITTER) and one.address != present.splitter
    ]
    view = "0x" + abi.call(CHECKOUT_SPLITTER, "hub").hex()
    hubs = await chain.look_up(*(Question("eth_call", ({"to": one.address, "data": view}, "latest")) for one in others))
    return [
        Stand(one.address, to_checksum_address(str(said(CHECKOUT_SPLITTER, "hub", hub))), present.token,
              one.from_block)
        for one, hub in zip(others, hubs, strict=True)
    ]  # fmt: skip
