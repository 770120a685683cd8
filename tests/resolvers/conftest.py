"""The whole API in process: the schema over a real store of each engine, with a channel and a chain that are told what
to say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hub.domain.payments import NextAction, Outcome, PaymentAttempt, Result, Stage
from hub.domain.people import Viewer
from hub.domain.refunds import Refund
from hub.entry.event_documents import PartnerDocuments
from hub.ports import AmountRange, Capabilities, ChainUnavailable, Hub, LeafClaim
from hub.security.signing import Cursors, SignedReceipts
from hub.security.tokens import UserTokens
from hub.security.vault import KeyVault
from hub.store.database import open_store
from hub.store.transactions import Store
from hub.wakeups.memory import MemoryWakeups
from resolvers.context import GATEWAY_FIELDS, request_context
from schema import schema
from tests.flows.scripted import ScriptedChain, ScriptedSender
from tests.partners import offline_partners
from tests.world import World


@dataclass(slots=True)
class Counted:
    """A store, every SQL text it was asked to run, and the wake-ups that it rings after its commits."""

    store: Store
    statements: list[str]
    wakeups: MemoryWakeups


@dataclass(slots=True)
class SpokenChannel:
    """A channel that answers at once what it was told to."""

    code: str = "test"
    outcome: Outcome = Outcome.DONE
    stage: Stage = Stage.CHARGED
    calls: int = 0
    gate: asyncio.Event | None = None
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(
            {"CNY": AmountRange(1, 2**53)},
            None,
            is_dated=False,
            is_test_only=True,
            can_refund=True,
            can_refund_partly=True,
        )
    )

    async def create(self, attempt: PaymentAttempt) -> Result:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        is_money = self.stage is Stage.CHARGED and self.outcome is Outcome.DONE
        return Result(
            self.outcome,
            self.stage if is_money else Stage.NONE,
            b"\0" * 32,
            attempt.sent_at_us + 1,
            amount=attempt.amount if is_money else None,
            code="card_declined" if self.outcome is Outcome.DECLINED else None,
            decline="soft" if self.outcome is Outcome.DECLINED else None,
            next_action=NextAction("redirect", "https://pay.example/1") if self.outcome is Outcome.ACTION else None,
        )

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        return Result(Outcome.DONE, Stage.REFUNDED, b"\0" * 32, attempt.sent_at_us + 2, amount=refund.amount)


@dataclass(slots=True)
class SpokenChain:
    """A chain that is up or down, and knows what it was told."""

    is_up: bool = True
    says: bool = True
    chain_id: int = 31337
    contract: str = "0x" + "C0" * 20
    asked: list[LeafClaim] = field(default_factory=list)

    async def verify(self, claim: LeafClaim) -> bool:
        if not self.is_up:
            raise ChainUnavailable("connection refused at 10.0.0.7:8545")
        self.asked.append(claim)
        return self.says

    def claim_call(self, claim: LeafClaim) -> str | None:
        return f"0xclaim{claim.root.hex()}"

    async def approves(self, account: str, digest: bytes, signature: bytes) -> bool:
        return False


@dataclass(slots=True)
class Api:
    """Asks the schema as a viewer, by way of a gateway unless it is told otherwise."""

    hub: Hub
    world: World
    channel: SpokenChannel
    chain: SpokenChain
    statements: list[str]
    wakeups: MemoryWakeups
    sender: ScriptedSender
    gateway_fields: frozenset[str] = GATEWAY_FIELDS

    async def ask(self, viewer: Viewer, document: str, **variables: Any) -> Any:
        """The whole result: `data`, `errors`."""
        return await schema.execute(
            document,
            variable_values=variables,
            context_value=request_context(self.hub, viewer, "req_1", self.gateway_fields),
        )

    async def data(self, viewer: Viewer, document: str, **variables: Any) -> Any:
        """The data of a document that must succeed."""
        result = await self.ask(viewer, document, **variables)
        assert result.errors is None, result.errors
        return result.data

    async def codes(self, viewer: Viewer, document: str, **variables: Any) -> list[str]:
        """The codes of the errors that a document ends with."""
        result = await self.ask(viewer, document, **variables)
        return [(error.extensions or {}).get("code", str(error)) for error in result.errors or ()]

    async def follow(self, viewer: Viewer, document: str, **variables: Any) -> AsyncIterator[Any]:
        """The results of a subscription."""
        context = request_context(self.hub, viewer, "req_1")
        stream = await schema.subscribe(document, variable_values=variables, context_value=context)
        assert hasattr(stream, "__aiter__"), stream
        async for result in stream:
            yield result


@pytest.fixture
async def counted(store_url: str) -> AsyncIterator[Counted]:
    statements: list[str] = []
    wakeups = MemoryWakeups()
    store = await open_store(store_url, moved=lambda stream: wakeups.publish(stream, 0), on_statement=statements.append)
    yield Counted(store, statements, wakeups)
    await store.aclose()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("keys")
    numbers = count(1)

    def seed() -> bytes:
        return f"key {next(numbers)}".encode().ljust(32, b".")

    return {
        "vault": KeyVault.in_folder(folder, is_production=False, draw_seed=seed),
        "receipts": SignedReceipts.in_folder(folder, is_production=False, draw_seed=seed),
        "cursors": Cursors.in_folder(folder, is_production=False, draw_seed=seed),
        "tokens": UserTokens.in_folder(folder, is_production=False, draw_seed=seed),
    }


@pytest.fixture
def api(counted: Counted, keys: dict[str, Any]) -> Api:
    """The API over an empty migrated database of each engine in turn."""
    world, channel, chain, wakeups = World(counted.store), SpokenChannel(), SpokenChain(), counted.wakeups
    sender = ScriptedSender()
    hub = Hub(
        store=counted.store,
        channels={"test": channel},  # type: ignore[dict-item]  # as much of a channel as is called here
        platforms={},
        chain=chain,  # type: ignore[arg-type]  # as much of a chain as is asked
        chain_log=ScriptedChain(),
        wakeups=wakeups,
        clock=world.clock,
        event_documents=PartnerDocuments(),
        sender=sender,
        draw_seed=world.seed,
        owner="worker-1",
        is_production=False,
        batch_after_ms=0,
        partners=offline_partners(),
        **keys,
    )
    return Api(hub, world, channel, chain, counted.statements, wakeups, sender)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another task brings about. AssertionError if it takes longer than ten seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 10
    while loop.time() < deadline:
        if holds():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come about in time")
