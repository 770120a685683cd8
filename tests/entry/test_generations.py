"""A hub that outlives its contract: a newer one is deployed beside it, and what the older one holds stays provable."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts import Artifact, abi
from hub.chain.blocks import JsonRpcChainLog
from hub.chain.checkout import JsonRpcCheckout
from hub.chain.checkout_deployment import TEST_TOKEN
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import Deployment, deploy
from hub.domain.orders import Order
from hub.domain.payments import PaymentAttempt
from hub.domain.records import AnchorBatch, KnownContract
from hub.entry.chain import ChainSide, bring_up
from hub.entry.verification import verified
from hub.flows import refunds
from hub.flows.refunds import RefundRequest
from hub.ports import Hub, LeafClaim
from hub.store.database import open_store
from tests.chain import nodes
from tests.chain.keyring import keyring
from tests.flows.benches import Bench
from tests.world import World, operator

DEPLOYER, GATEWAY = nodes.SENDERS[:2]
KEYS = keyring(DEPLOYER, GATEWAY)
FORMER = Path(__file__).parents[1] / "contracts" / "generations"  # what installations may have, oldest first


@dataclass
class RealBench(Bench):
    """A bench on a chain that is none of the scripted ones."""

    @property
    def hub(self) -> Hub:
        assert isinstance(self.chain, JsonRpcChain)
        return replace(super().hub, chain_log=JsonRpcChainLog(self.chain, 1))


@dataclass
class House:
    """A hub on an embedded node; `upgrade` puts the present contract beside the one it has."""

    bench: Bench
    chain: JsonRpcChain
    patch: pytest.MonkeyPatch
    contracts: list[Deployment]

    async def deploy(self, artifact: Artifact) -> Deployment:
        """As a start of that version does it."""
        self.patch.setattr(abi, "compiled", lambda name: artifact)
        self.chain._contract = None  # a start knows of none
        deployed = await deploy(self.chain, KEYS, self.contracts)
        self.contracts.append(deployed)
        code_hash = deployed.code_hash.hex()
        self.chain.known = KnownContract(  # type: ignore[attr-defined]  # what the bench records with a batch
            deployed.chain_id, deployed.address, deployed.name, code_hash, deployed.from_block, 1
        )
        return deployed

    async def sell(self, key: str) -> tuple[Order, AnchorBatch, LeafClaim]:
        """One order, paid, in a batch of its own."""
        listing = await self.bench.world.listing()
        attempt = (await self.bench.buy(await self.bench.world.learner(), listing, key)).value
        assert isinstance(attempt, PaymentAttempt)
        await self.bench.record()
        async with self.bench.store.reading() as rx:
            batch = max(await rx.anchors.batches("", 10), key=lambda one: one.first_position)
            (leaf,) = await rx.anchors.leaves_of_batch(batch.id)
        claim = LeafClaim(
            batch.root,
            0,
            leaf.order_key,
            leaf.holder,
            int(leaf.token_id),
            leaf.expiry,
            leaf.commitment,
            (),
            batch.contract,
        )
        return await self.bench.order_now(attempt.order_id), batch, claim


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    store = await open_store(sqlite_url)
    with nodes.running(tmp_path) as node:
        url = f"http://127.0.0.1:{node.ready['port']}"
        chain = JsonRpcChain(lambda: url, KEYS)
        bench = RealBench(store, World(store), chain=chain)  # type: ignore[arg-type]  # a chain, where a scripted one is usual
        yield House(bench, chain, monkeypatch, [])
        await chain.aclose()
    await store.aclose()


async def test_what_an_older_contract_holds_is_verified_and_revoked_there(house: House) -> None:
    present = abi.compiled("entitlement_hub")
    first = await house.deploy(former()[0])
    order, old_batch, old_claim = await house.sell("before")
    assert old_batch.contract == first.address

    second = await house.deploy(present)
    assert second.address != first.address
    _, new_batch, new_claim = await house.sell("after")
    assert new_batch.contract == second.address

    assert await house.chain.verify_many((old_claim, new_claim)) == (True, True)
    assert (await house.chain.anchored(old_batch.root)).count == 0  # the newer one knows nothing of it
    assert (await house.chain.anchored(old_batch.root, first.address)).count == 1
    assert await failures(house) == {}

    assert not await house.chain.is_revoked(old_batch.root, 0, first.address)
    asked = RefundRequest(order.id, order.total, None, "all of it")
    house.bench.channel.capabilities = replace(house.bench.channel.capabilities, can_refund=True)
    assert (await refunds.request(house.bench.hub, operator(), asked)).refusal is None
    await house.bench.record()
    assert await house.chain.is_revoked(old_batch.root, 0, first.address)
    assert await house.chain.verify_many((old_claim, new_claim)) == (False, True)
    assert await failures(house) == {}


async def test_a_splitter_of_before_an_upgrade_is_asked_for_what_it_has_sold(house: House) -> None:
    checkout = JsonRpcCheckout(house.chain, 1)
    side, present = ChainSide(house.chain, KEYS, None, checkout, TEST_TOKEN), abi.compiled
    house.patch.setattr(abi, "compiled", lambda name: former()[0] if name == "entitlement_hub" else present(name))
    hub = (await bring_up(house.bench.hub, side)).address
    splitter = checkout.splitter
    assert checkout.former == []

    house.patch.setattr(abi, "compiled", present)
    house.chain._contract = None  # a start knows of none
    assert (await bring_up(house.bench.hub, side)).address != hub
    assert (checkout.splitter != splitter, [one.splitter for one in checkout.former]) == (True, [splitter])


async def test_going_back_a_version_finds_its_contract_again(house: House) -> None:
    present = abi.compiled("entitlement_hub")
    versions = [*former(), present]
    deployed = [await house.deploy(version) for version in versions]
    assert len({one.address for one in deployed}) == len(versions) == 3
    sent = await house.chain.count_transactions(DEPLOYER.address, "latest")
    for version, before in zip(versions, deployed, strict=True):
        assert (await house.deploy(version)).address == before.address
    assert await house.chain.count_transactions(DEPLOYER.address, "latest") == sent


async def failures(house: House) -> dict[str, list[str]]:
    """The checks of `hub verify` that fail, with what they name."""
    checks = await verified(house.bench.hub, with_chain=True)
    return {check.name: check.wrong for check in checks if not check.is_fine}


def former() -> list[Artifact]:
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FORMER.glob("entitlement_hub_*.json"))]
    return [
        Artifact(
            name=content["name"],
            abi=tuple(content["abi"]),
            bytecode=bytes.fromhex(content["bytecode"]),
            runtime_hash=bytes.fromhex(content["runtimeHash"]),
            source_hash=content["sourceHash"],
            compiler=content["compiler"]["version"],
        )
        for content in contents
    ]
