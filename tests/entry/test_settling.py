"""Rights that are settled at once, over a whole hub: what is for a wallet waits for no batch, everything else does."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hub.entry.demo_client import Client
from tests.entry.hubs import CHECKOUT, House, order_of, put_on_sale, reached, until
from tests.entry.plays.refunds import REFUND
from tests.entry.plays.wallets import linked
from tests.entry.test_stablecoin_sale import Node
from tests.wallets import account

TOKEN = """query($id: ID!) { entitlement(id: $id) {
  state token { tokenId holder contract state claimCall { data } } } }"""
HUB = "entitlement_hub"
A_DAY_MS = 24 * 3600 * 1000
INSTANT = {"HUB_CHAIN_INSTANT": "true", "HUB_CHAIN_BATCH_SIZE": "3"}


@pytest.mark.timeout(120)
async def test_what_is_for_a_wallet_is_settled_at_once_and_revoked_by_its_key_while_all_else_goes_by_batches(
    tmp_path: Path,
) -> None:
    house, holder = House(tmp_path / "data", batch_ms=A_DAY_MS, environ=INSTANT), account(7).address
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        hub = await house.serve()
        tokens = await house.token("learner"), await house.token("partner", platform="lumen")
        learner, seller = [await stack.enter_async_context(Client(hub.origin, token)) for token in tokens]

        async def bought(name: str, **more: Any) -> str:
            sold = await put_on_sale(seller, name)
            asked = await learner.mutate(CHECKOUT, sold.bought(name) | more)
            assert asked["order"]["status"] == "PAID"
            return str(asked["order"]["id"])

        before = await bought("knots")
        settled = await bought("bends", walletId=await linked(learner, 7))
        order = await reached(learner, settled, chainStatus="FINALIZED", within_s=60)
        assert (order["anchorBatch"]["count"], order["proof"]) == (1, None)
        assert (await order_of(learner, before))["anchorBatch"] is None, "it waits on for the others of its batch"

        right = (await learner.query(TOKEN, {"id": order["entitlement"]["id"]}))["entitlement"]
        token, chain = right["token"], Node(house.data)
        asked = token["contract"], HUB, "hasAccess", holder, int(token["tokenId"])
        assert (token["holder"], token["state"], token["claimCall"]) == (holder, "CLAIMED", None)
        key = bytes.fromhex(order["anchorBatch"]["root"][2:])
        at, is_by_minter, is_revoked = await chain.view(token["contract"], HUB, "settled", key)
        assert (is_by_minter, is_revoked, await chain.view(*asked)) == (False, False, True)

        after = await bought("hitches")
        batches = [
            (await reached(learner, one, within_s=60, chainStatus="FINALIZED"))["anchorBatch"]
            for one in (before, after)
        ]
        assert batches[0] == batches[1]
        assert batches[0]["count"] == 2

        await seller.mutate(REFUND, {"orderId": settled, "idempotencyKey": "back"})
        await until(lambda: is_over(chain, asked), within_s=60, what="revoked on chain")
        assert await chain.view(token["contract"], HUB, "settled", key) == (at, False, True)
        await reached(learner, settled, within_s=60, status="REFUNDED", fulfilmentStatus="REVOKED")
        await until(lambda: is_all_confirmed(house), within_s=60, what="its transactions confirmed")
        await house.verified()


async def is_over(chain: Node, asked: tuple[Any, ...]) -> bool:
    return not await chain.view(*asked)


async def is_all_confirmed(house: House) -> bool:
    return await house.rows("SELECT DISTINCT state FROM chain_transaction") == [("CONFIRMED",)]
