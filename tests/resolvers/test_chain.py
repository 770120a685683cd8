"""The explorer: anybody sees how far the chain is read, what the contracts told, and an order's way to finality."""

from hub.domain.people import ANONYMOUS
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
ORDER = """query ($id: ID!) { order(id: $id) { anchorBatch { root
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


async def test_buyer_follows_the_order_to_its_transaction(api: Api) -> None:
    scene = await market(api)
    await anchored(api)
    await read_chain(api)
    asked = await api.data(learner(scene.me), ORDER, id=scene.mine["id"])
    assert asked["order"]["anchorBatch"]["transaction"] == {
        "hash": "0x" + "ab" * 32, "blockNumber": 7, "status": "CONFIRMED", "confirmations": 1, "gasUsed": 60_000,
        "feeWei": "60000",
    }  # fmt: skip
