"""The explorer: anybody sees how far the chain is read, what the contracts told, and an order's way to finality."""

import pytest

from hub.domain.people import ANONYMOUS
from hub.store.reads.anchors import AnchorBatchRow
from resolvers.chain import fee_per_order_wei
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import market, read_chain
from tests.resolvers.test_verifying import anchored
from tests.world import learner

EXPLORE = """{ chain {
  chainId headNumber readNumber confirmedNumber finalNumber isHalted haltReason
  contracts { name address fromBlock generation isCurrent isPaused owner roles { account names } }
  blocks(first: 10) { totalCount nodes { number hash finality } }
  events(first: 10, name: "RoleSet") { nodes { name subject args blockNumber finality } }
  none: events(first: 10, subject: "0x00") { nodes { name } }
} }"""
ORDER = """query ($id: ID!) { order(id: $id) { anchorBatch { root feePerOrderWei
  transaction { hash blockNumber status confirmations gasUsed feeWei } } } }"""


async def test_nothing_is_shown_before_anything_is_read(api: Api) -> None:
    assert await api.data(ANONYMOUS, "{ chain { chainId } }") == {"chain": None}


async def test_anybody_explores_what_is_read_of_the_chain(api: Api) -> None:
    await read_chain(api)
    account = "0x" + "aa" * 20
    assert (await api.data(ANONYMOUS, EXPLORE))["chain"] == {
        "chainId": str(api.chain.chain_id), "headNumber": 3, "readNumber": 2, "confirmedNumber": 2, "finalNumber": 1,
        "isHalted": False, "haltReason": None,
        "contracts": [{
            "name": "entitlement_hub", "address": api.chain.contract, "fromBlock": 1, "generation": 1,
            "isCurrent": True, "isPaused": False, "owner": None,
            "roles": [{"account": account, "names": ["GATEWAY", "PAUSER", "REVOKER"]}],
        }],
        "blocks": {"totalCount": 2, "nodes": [
            {"number": 2, "hash": "0xb2", "finality": "CONFIRMED"}, {"number": 1, "hash": "0xb1", "finality": "FINAL"},
        ]},
        "events": {"nodes": [{
            "name": "RoleSet", "subject": account, "args": f'{{"account":"{account}","roles":"7"}}', "blockNumber": 1,
            "finality": "FINAL",
        }]},
        "none": {"nodes": []},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "gas_used", "gas_price_wei", "fee_wei"),
    [(3, 49_079, 10**9, 16_359_666_666_666), (1, 84_932, 10**9, 84_932 * 10**9), (256, None, None, None)],
)
def test_what_an_order_cost_is_its_part_of_the_fee_rounded_down(
    count: int, gas_used: int | None, gas_price_wei: int | None, fee_wei: int | None
) -> None:
    row = AnchorBatchRow("anb_1", count, b"r" * 32, b"d" * 32, 7, "0xhub", "CONFIRMED", "0xt", 1, gas_used,
                         gas_price_wei, 1, 2, 0)  # fmt: skip
    assert fee_per_order_wei(row) == fee_wei


async def test_buyer_follows_the_order_to_its_transaction(api: Api) -> None:
    scene = await market(api)
    await anchored(api)
    await read_chain(api)
    asked = await api.data(learner(scene.me), ORDER, id=scene.mine["id"])
    batch = asked["order"]["anchorBatch"]
    assert batch["feePerOrderWei"] == "30000", "the batch holds two"
    assert batch["transaction"] == {
        "hash": "0x" + "ab" * 32, "blockNumber": 7, "status": "CONFIRMED", "confirmations": 1, "gasUsed": 60_000,
        "feeWei": "60000",
    }  # fmt: skip
