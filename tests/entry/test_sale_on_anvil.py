"""A whole hub on somebody else's node, by its URL alone: sold, anchored, and proven once the hub is gone."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from eth_account import Account

from hub.domain.contracts import NOBODY
from hub.entry.demo_client import Client
from tests.chain.nodes import CHAIN_ID, anvil
from tests.entry.hubs import CHECKOUT, House, done, put_on_sale, reached
from tests.entry.test_examples_verify_rights import python

ROLES = ("deployer", "gateway", "revoker")


@pytest.mark.browser
@pytest.mark.timeout(300)
async def test_a_right_sold_on_anvil_is_proven_there_with_the_hub_gone(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    accounts = {role: Account.create() for role in ROLES}
    (house.data / "keys").mkdir(parents=True, mode=0o700)
    for role, account in accounts.items():
        (house.data / "keys" / f"{role}.key").write_text(account.key.hex())
        (house.data / "keys" / f"{role}.key").chmod(0o600)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        funded = [account.address for account in accounts.values()]
        node = await stack.enter_async_context(anvil(slots_in_an_epoch=1, block_time_s=0.2, funded=funded))
        house.environ |= {"HUB_CHAIN_URL": node.url, "HUB_CHAIN_ID": str(CHAIN_ID)}
        await done(house, "contracts", "deploy")
        hub = await house.serve()
        async with Client(hub.origin, await house.token("partner", platform="lumen")) as seller:
            sold = await put_on_sale(seller, "sold")
        async with Client(hub.origin, await house.token("learner")) as learner:
            order_id = (await learner.mutate(CHECKOUT, sold.bought("sold")))["order"]["id"]
            order = await reached(learner, order_id, within_s=60, chainStatus="FINALIZED")
        await house.verified()
        await hub.kill()

        bundle = json.loads(order["proof"]["bundle"])
        trusted = {key: bundle[key] for key in ("chainId", "hub", "tokenId")} | {"node": node.url}
        papers = [tmp_path / "bundle.json", tmp_path / "trusted.json"]
        for changed, (code, said) in {
            0: (0, f"ok: stands for {NOBODY}, token claimed: no"),
            1: (1, "REFUSED: not anchored, revoked or expired"),
        }.items():
            texts = (bundle | {"index": bundle["index"] + changed}, trusted | {"roots": [bundle["root"]]})
            for paper, text in zip(papers, texts, strict=True):
                paper.write_text(json.dumps(text))
            assert python(*map(str, papers)) == (code, said)
