"""A hub that has lost its records of contracts, on a node that has forgotten what is old: it says so, and reads nothing
wrong."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hub.entry.demo_client import Client
from tests.entry.go_between import go_between, remembers
from tests.entry.hubs import CHECKOUT, House, done, order_of, put_on_sale, reached, refused, until
from tests.entry.plays.chain import READ
from tests.entry.test_stablecoin_sale import Node

COIN = "HUB_CHANNEL_STABLECOIN_TOKEN"
FORGOTTEN = (-32000, "old data not available due to pruning: requested block 1")
PRUNED = (4444, "pruned history unavailable")


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_a_contract_without_record_on_a_node_that_forgets(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        house = House(tmp_path / "data")
        stack.push_async_callback(house.aclose)
        await stack.enter_async_context(house.node_kept())
        hub = await house.serve(**{COIN: "test"})
        tokens = await house.token("learner"), await house.token("partner", platform="lumen")

        async def bought(name: str) -> dict[str, Any]:
            async with Client(hub.origin, tokens[1]) as seller, Client(hub.origin, tokens[0]) as learner:
                return dict((await learner.mutate(CHECKOUT, (await put_on_sale(seller, name)).bought(name)))["order"])

        async with Client(hub.origin, tokens[0]) as learner:
            await reached(learner, (await bought("before"))["id"], within_s=60, chainStatus="FINALIZED")

        async def recorded() -> dict[str, tuple[str, int]]:
            rows = await house.rows("SELECT name, address, from_block FROM contract")
            return {name: (address, from_block) for name, address, from_block in rows}

        async def all_are_recorded() -> bool:
            return {"entitlement_hub", "checkout_splitter", "test_usd"} <= (await recorded()).keys()

        await until(all_are_recorded, within_s=60, what="contracts for which a sale by card waits not")
        before = await recorded()
        await hub.kill()
        for table in ("contract", *READ):  # as after a restore
            await house.change(f"DELETE FROM {table}")
        between = await stack.enter_async_context(go_between(house.data))
        house.environ |= {"HUB_CHAIN_URL": between.url, COIN: before["test_usd"][0]}
        newest = await Node(house.data).ask("eth_blockNumber")
        between.forgets = lambda method, params: (
            FORGOTTEN if method == "eth_getCode" and params[1] not in ("latest", newest) else None
        )
        deploy, first = ("contracts", "deploy"), before["entitlement_hub"][1]
        told = await refused(house, *deploy)
        assert FORGOTTEN[1] in told
        assert told.endswith("say it by `hub contracts deploy --from-block NUMBER`")
        assert "no block 999999" in await refused(house, *deploy, "--from-block", "999999")
        [*_, told] = await done(house, *deploy, "--from-block", str(first))
        assert told.endswith(f"at {before['entitlement_hub'][0]}, from block {first}")
        found = await recorded()
        assert found.pop("checkout_splitter") == (before["checkout_splitter"][0], first)
        assert found == {"entitlement_hub": before["entitlement_hub"]}

        between.forgets = lambda method, params: (
            PRUNED if method == "eth_getLogs" and params[0].get("fromBlock") == hex(first) else None
        )
        hub = await house.serve()

        async def is_told() -> bool:
            return f"the chain is not read: the node gives no logs of blocks {first} to " in hub.said

        await until(is_told, within_s=60, what="whoever reads the log is told")
        order = await bought("meanwhile")
        async with Client(hub.origin, tokens[0]) as learner:
            assert (await order_of(learner, order["id"]))["status"] == "PAID"
            await reached(learner, order["id"], within_s=60, chainStatus="SUBMITTED")
            between.forgets = remembers
            await reached(learner, order["id"], within_s=60, chainStatus="FINALIZED")
        assert hub.said.count("the chain is not read") == 1
        await house.verified()
