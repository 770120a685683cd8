"""Taking a former gateway's roles away waits for what it has signed, and for nothing that is over."""

import pytest

from hub.domain.records import KeyRole
from hub.entry import rotation
from hub.entry.complaints import Complaint
from hub.flows.sending import finished
from hub.ports import ChainReceipt
from hub.store.transactions import Store
from tests.flows.benches import Bench
from tests.world import World


async def test_a_call_of_the_former_gateway_that_is_on_chain_holds_nothing_up(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks for it again once what it does is seen there, and its sender sends nothing more."""
    monkeypatch.setattr(rotation, "WAITED_FOR_S", -1.0)
    bench = Bench(store, world)
    hub, old = bench.hub, bench.chain.sender
    bench.chain.holds_back = True
    assert await finished(hub, "offer:1", bench.chain.contract, b"offer", by=KeyRole.GATEWAY) is None
    bench.chain.accounts |= {KeyRole.GATEWAY: "0x" + "ae" * 20}
    with pytest.raises(Complaint, match="offer:1"):
        await rotation._nothing_left_of(hub, old)
    [hash_] = bench.chain.signed
    bench.chain.mined[hash_] = ChainReceipt(hash_, True, 1, "0xb1", 50_000, 10**9, 1)
    await rotation._nothing_left_of(hub, old)
