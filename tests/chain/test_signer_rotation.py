"""Another key signs results from now on, while one of the former key's is under way: on anvil, by the owner's call."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from hub.chain.client import JsonRpcChain
from hub.chain.offices import owner_calls
from hub.entry.contract_commands import GRACE_S, call_of
from tests.chain.keyring import keyring
from tests.chain.nodes import SENDERS
from tests.chain.on_chain import BEYOND_FINALITY, DEPLOYER, GATEWAY, KEYS, SIGNER, OnChain, on_anvil
from tests.flows.test_wallets import linked
from tests.world import SECOND_US

NEXT = SENDERS[4]

pytestmark = pytest.mark.browser


@pytest.fixture
async def bench(sqlite_url: str) -> AsyncIterator[OnChain]:
    """A hub that settles at once; the signed result of one right was lost on its way to a block."""
    async with on_anvil(sqlite_url) as bench:
        bench.settles_at_once = True
        bench.mine(BEYOND_FINALITY)
        bench.node.rpc("evm_setAutomine", False)
        viewer = await bench.world.learner()
        wallet = await linked(bench, viewer)
        answer = await bench.buy(viewer, await bench.world.listing(), wallet_id=wallet.id)
        assert answer.refusal is None
        await bench.record()
        bench.node.rpc("anvil_dropTransaction", await bench.one("SELECT hash FROM chain_transaction"))
        bench.node.rpc("evm_setAutomine", True)
        yield bench


async def test_a_result_under_way_is_settled_while_its_signer_has_grace(bench: OnChain) -> None:
    signed = await bench.rows("SELECT raw FROM chain_transaction")
    await says(bench, "rotate-signer", SIGNER.address, NEXT.address)
    await restarted(bench)
    assert await bench.rows("SELECT raw FROM chain_transaction WHERE state = 'CONFIRMED'") == signed
    assert await settled(bench) == ("FINALIZED", 1)
    assert await bench.break_kinds() == []


async def test_a_result_that_outlives_its_signers_grace_is_signed_anew(bench: OnChain) -> None:
    await says(bench, "rotate-signer", SIGNER.address, NEXT.address)
    bench.node.rpc("evm_increaseTime", GRACE_S + 60)
    bench.clock.pass_us((GRACE_S + 60) * SECOND_US)
    await restarted(bench)
    assert await bench.rows("SELECT state FROM chain_transaction ORDER BY nonce") == [("FAILED",), ("CONFIRMED",)]
    assert await settled(bench) == ("FINALIZED", 1)
    assert await bench.break_kinds() == []


async def test_what_a_stolen_key_signed_for_us_is_signed_anew_and_a_person_told(bench: OnChain) -> None:
    await says(bench, "set-roles", SIGNER.address)
    await says(bench, "set-roles", NEXT.address, "signer")
    await restarted(bench)
    assert await bench.rows("SELECT state FROM chain_transaction ORDER BY nonce") == [("FAILED",), ("CONFIRMED",)]
    assert await settled(bench) == ("FINALIZED", 1)
    assert await bench.break_kinds() == ["CHAIN"]


async def says(bench: OnChain, action: str, *words: str) -> None:
    await owner_calls(bench.client, KEYS, bench.client.contract, call_of(action, words))


async def restarted(bench: OnChain) -> None:
    """The hub goes on with the next signer's key, until all is done and final."""
    keys, node = keyring(DEPLOYER, GATEWAY, signer=NEXT), f"http://127.0.0.1:{bench.node.port}"
    async with aclosing(JsonRpcChain(lambda: node, keys, contract=bench.client.contract)) as client:
        await client.connect()
        hub = replace(bench, client=client)
        await hub.finished()
        await hub.finished()


async def settled(bench: OnChain) -> tuple[str, int]:
    """(the order's word of the chain, how often it was settled)."""
    [(status,)] = await bench.rows("SELECT chain_status FROM order_")
    return status, await bench.one("SELECT count(*) FROM chain_event WHERE name = 'Settled'")
