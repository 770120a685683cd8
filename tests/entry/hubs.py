"""Whole hubs for tests: processes on a data folder of their own, killed and started again, reached over HTTP alone.

A process is forked from a server that has imported everything once (the standard library's `forkserver`), so that a
start costs a tenth of what it costs an interpreter; it is a process of its own all the same, and dies as one.

    house = House(tmp_path)
    hub = await house.serve(failpoint="record_result: before commit")
    ...
    assert await hub.ended() == 137
"""

import asyncio
import atexit
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import text

from hub.chain import keys
from hub.chain.embedded import EmbeddedNode
from hub.entry.demo_client import Client
from hub.store.database import open_store
from tests.entry import nursery

T = TypeVar("T")

UP_WITHIN_S = 60.0  # two cores, and everybody's tests on them
ENDED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
SIGKILLED = -signal.SIGKILL
VISA = "pm_card_visa"  # charged at once, without a pay page

_PRELOADED = [
    "pytest", "web3", "alembic", "asyncpg", "aiosqlite", "hub.entry.cli", "hub.entry.running", "hub.entry.commands",
    "hub.entry.importing", "schema", "tests.entry.hubs", "tests.entry.warm",
]  # fmt: skip
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(_PRELOADED)


async def until(
    look: Callable[[], Awaitable[T | None]], *, within_s: float = 30.0, every_s: float = LOOK_EVERY_S, what: str = ""
) -> T:
    """The first true thing that `look` gives; AssertionError with the last other one when the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        seen = await look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{what or look} not within {within_s} s: {seen!r}"
        await asyncio.sleep(every_s)


# ---- processes -------------------------------------------------------------------------------------------------------


class Forked:
    """A function under way in a process of its own, which begins at once: a server that has imported the hub already
    forks it. What it prints goes to a file."""

    def __init__(self, output: Path, function: Callable[..., None], *arguments: Any) -> None:
        self.output = output
        self._forked = _forks.Process(target=_printing, args=(str(output), function, *arguments), daemon=True)

    async def begin(self) -> None:
        await asyncio.to_thread(self._forked.start)

    @property
    def pid(self) -> int:
        assert self._forked.pid is not None
        return self._forked.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._forked.exitcode

    def send(self, number: signal.Signals) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    async def ended(self, within_s: float = ENDED_WITHIN_S) -> int:
        """The exit code, once it has ended."""
        async with asyncio.timeout(within_s):
            while self.code is None:  # noqa: ASYNC110  # the fork server tells nobody
                await asyncio.sleep(0.02)
        assert self.code is not None
        return self.code

    async def kill(self) -> None:
        """As the power button does."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """As a supervisor does: SIGTERM, and the exit code."""
        self.send(signal.SIGTERM)
        return await self.ended()

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""


def _printing(output: str, function: Callable[..., None], *arguments: Any) -> None:
    """In the child."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    function(*arguments)


def _run(
    nodes: str, arguments: Sequence[str], environ: Mapping[str, str], ahead_s: float, spoil: Callable[[], None] | None
) -> None:
    """In the child: one command of the hub, as the console script runs it, with all clocks of the process ahead. A node
    that it starts is forked too."""
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        del os.environ[name]
    os.environ.update(environ)
    from hub.chain import embedded
    from hub.entry import cli, wiring
    from hub.sandbox import server as sandbox

    if sys.platform == "linux":  # elsewhere one cannot wait for a process and a socket at once
        setattr(embedded, "PROGRAM", ("-S", nursery.__file__, nodes))  # noqa: B010  # as in the lines below
    if ahead_s:
        ahead = staticmethod(lambda: int((time.time() + ahead_s) * 1_000_000))
        setattr(wiring.SystemClock, "now_us", ahead)  # noqa: B010  # mypy takes a plain assignment for a mistake
        late = partial(sandbox.serve, clock=lambda: time.time() + ahead_s)
        setattr(sandbox, "serve", late)  # noqa: B010  # as in the line above
    if spoil is not None:
        spoil()
    cli.main(arguments)


@cache
def _nursery() -> str:
    """The address of this process's own; it begins when it is first asked for."""
    folder = Path(tempfile.mkdtemp(prefix="tongbao-nodes-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = str(folder / "socket")
    arguments = (str(folder / "said"), nursery.serve, address, os.getpid())
    _forks.Process(target=_printing, args=arguments, daemon=True).start()
    return address


class Process(Forked):
    """One command under way."""

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        output: Path,
        ahead_s: float = 0,
        spoil: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(output, _run, _nursery(), list(arguments), dict(environ), ahead_s, spoil)


class Serving(Process):
    """`hub serve` under way."""

    origin: str = ""

    async def wait_until_serving(self) -> None:
        """Raises AssertionError with all it said if it ends instead."""

        async def look() -> str | None:
            assert self.code is None, f"ended with {self.code}: {self.said[-3000:]}"
            lines = [line for line in self.said.splitlines() if line.startswith("hub: serving ")]
            return lines[0].removeprefix("hub: serving ").removesuffix("/graphql") if lines else None

        self.origin = await until(look, within_s=UP_WITHIN_S, what="serving") or ""


# ---- a data folder and all that runs on it ---------------------------------------------------------------------------


@dataclass
class House:
    """One data folder. `database` is a PostgreSQL DSN; None: SQLite in the folder."""

    data: Path
    database: str | None = None
    batch_ms: int = 0
    port: int = 0  # the first hub's own; those after it serve where it did, or the channel's notices would miss them
    environ: dict[str, str] = field(default_factory=dict)  # of each process, commands too
    _numbers: Any = field(default_factory=lambda: count(1))
    _begun: list[Process] = field(default_factory=list)

    async def serve(
        self, *, failpoint: str | None = None, ahead_s: float = 0, spoil: Callable[[], None] | None = None,
        is_waited_for: bool = True, **environ: str,
    ) -> Serving:  # fmt: skip
        """`hub serve` on any free port. With `is_waited_for` it answers when this returns; otherwise it may die.
        `spoil`, a function of a module, is called in the new process before it begins."""
        environ = (
            self._environ(failpoint) | {"HUB_PORT": str(self.port), "HUB_CHAIN_BATCH_MS": str(self.batch_ms)} | environ
        )
        hub = Serving(["serve"], environ, self._output(), ahead_s, spoil)
        self._begun.append(hub)
        await hub.begin()
        if is_waited_for:
            await hub.wait_until_serving()
            self.port = self.port or int(hub.origin.rpartition(":")[2])
        return hub

    async def begin(
        self, *arguments: str, failpoint: str | None = None, ahead_s: float = 0,
        spoil: Callable[[], None] | None = None, **environ: str,
    ) -> Process:  # fmt: skip
        """Any other command, begun."""
        process = Process(arguments, self._environ(failpoint) | environ, self._output(), ahead_s, spoil)
        self._begun.append(process)
        await process.begin()
        return process

    async def command(
        self, *arguments: str, failpoint: str | None = None, ahead_s: float = 0,
        spoil: Callable[[], None] | None = None,
    ) -> tuple[int, str]:  # fmt: skip
        """Any other command: its exit code and what it said."""
        process = await self.begin(*arguments, failpoint=failpoint, ahead_s=ahead_s, spoil=spoil)
        code = await process.ended()
        return code, process.said

    async def token(self, as_: str, *, user: str = "learner", platform: str | None = None) -> str:
        """`hub token`; a partner's connects its platform."""
        more = ["--platform", platform] if platform else []
        code, said = await self.command("token", "--as", as_, "--user", user, *more)
        assert code == 0, said
        return said.split()[-1]

    async def verified(self) -> str:
        """`hub verify`, which must find nothing wrong. Its table."""
        code, said = await self.command("verify")
        assert code == 0, said
        assert "hub verify: all is well" in said, said
        return said

    async def aclose(self) -> None:
        """Kill what still runs; only what was begun here."""
        for process in self._begun:
            if process.code is None:
                await process.kill()

    @asynccontextmanager
    async def node_kept(self) -> AsyncIterator[None]:
        """Own the embedded node in this process, so that hubs that die do not take it with them."""
        self.data.mkdir(parents=True, exist_ok=True)
        keys.prepare_embedded(self.data)
        node = EmbeddedNode(self.data)
        await node.start()
        try:
            yield
        finally:
            await node.aclose()

    @property
    def node_pid(self) -> int:
        return int(json.loads((self.data / "node.json").read_text())["pid"])

    def sandbox(self) -> "Sandbox":
        """The running peers' controls."""
        with sqlite3.connect(self.data / "sandbox" / "sandbox.sqlite") as tables:
            [[port]] = tables.execute("SELECT value FROM setting WHERE name = 'port'").fetchall()
        tables.close()
        return Sandbox(f"http://127.0.0.1:{port}", json.loads((self.data / "sandbox" / "keys.json").read_text()))

    def movements(self) -> list[tuple[str, str]]:
        """(our reference, status) of every payment that the provider has, as its own table says."""
        tables = sqlite3.connect(f"file:{self.data / 'sandbox' / 'sandbox.sqlite'}?mode=ro", uri=True)
        try:
            return [(reference, status) for reference, status in tables.execute("SELECT reference, status FROM intent")]
        finally:
            tables.close()

    def disarm(self) -> None:
        """Take back every fault while no hub runs, before the next one asks its channel."""
        tables = sqlite3.connect(self.data / "sandbox" / "sandbox.sqlite", isolation_level=None)
        tables.execute("DELETE FROM fault")
        tables.close()

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a SELECT on the hub's own database."""
        store = await open_store(self._url)
        try:
            async with store.reading() as rx:
                return await rx.many(text(sql), lambda *columns: columns)
        finally:
            await store.aclose()

    async def change(self, sql: str) -> None:
        """One statement on the hub's own database, by its write door: what no caller can bring about."""

        async def changing(tx: Any) -> None:
            await tx.run(text(sql))

        store = await open_store(self._url)
        try:
            await store.write(changing)
        finally:
            await store.aclose()

    @property
    def _url(self) -> str:
        return self.database or f"sqlite:///{self.data / 'hub.sqlite3'}"

    def _environ(self, failpoint: str | None) -> dict[str, str]:
        # Tests look every few hundredths of a second and buy as fast as they can, as no client would: neither their
        # looks nor their purchases are what is limited here.
        environ = {"HUB_DATA": str(self.data), "HUB_WEBHOOK_ALLOW": "127.0.0.1", "HUB_COST_RESTORE": "1000000000",
                   "HUB_ATTEMPTS_PER_MINUTE": "1000000"}  # fmt: skip
        if self.database:
            environ["HUB_DATABASE"] = self.database
        if failpoint:
            environ["HUB_FAILPOINT"] = failpoint
        return environ | self.environ

    def _output(self) -> Path:
        self.data.mkdir(parents=True, exist_ok=True)
        return self.data.with_name(f"{self.data.name}-output-{next(self._numbers)}.txt")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The foreign peers, from the tester's side."""

    base_url: str
    keys: dict[str, Any]

    async def arm(self, operation: str, fault: str, *, peer: str = "payments", **more: Any) -> None:
        """`more`: value, reference, times (0: until cleared)."""
        body = {"peer": peer, "operation": operation, "fault": fault, **more}
        await self._controlled("POST", "/control/faults", json=body)

    async def clear(self) -> None:
        await self._controlled("DELETE", "/control/faults")

    async def charge(self, reference: str, amount_minor: int | None = None) -> None:
        """Money against the rules: late, or another sum."""
        body = {"reference": reference} | ({"amount": amount_minor} if amount_minor else {})
        await self._controlled("POST", "/control/charge", json=body)

    async def notices(self, reference: str) -> list[dict[str, Any]]:
        told = await self._controlled("GET", "/control/notices", params={"reference": reference})
        return list(told["data"])

    async def find(self, reference: str) -> list[dict[str, Any]]:
        """What the provider has under our reference, by the API that the hub asks too."""
        answer = await self._call(
            "GET", "/v1/payment_intents", self.keys["api_key"], params={"reference": reference}
        )  # fmt: skip
        return list(answer["data"])

    async def introduce(self, slug: str, origin: str, api_key: str) -> None:
        """Tell a platform where the hub is."""
        body = {"graphql_url": f"{origin}/graphql", "api_key": api_key}
        await self._controlled("PUT", f"/control/platforms/{slug}/hub", json=body)

    async def publish(self, slug: str, course: str) -> None:
        """Put a work on a platform's own shelf."""
        body = {"kind": "course", "title": course}
        await self._call("PUT", f"/platforms/{slug}/v1/catalog/{course}", self.keys["platform_keys"][slug], json=body)

    async def page(self, slug: str, course: str, member: str) -> httpx.Response:
        """The platform's course page, as its reader opens it."""
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as browser:
            return await browser.get(f"{self.base_url}/p/{slug}/open/{course}", params={"member": member})

    async def _controlled(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        return await self._call(method, path, self.keys["control_key"], **parts)

    async def _call(self, method: str, path: str, key: str, **parts: Any) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
            answer = await client.request(
                method, self.base_url + path, headers={"Authorization": f"Bearer {key}"}, **parts
            )
        assert answer.is_success, answer.text
        return dict(answer.json())


async def refused(house: House, *arguments: str, **environ: str) -> str:
    """The one line that a command gives instead of its work, when something is the caller's to mend."""
    process = await house.begin(*arguments, **environ)
    assert await process.ended() == 2, process.said
    lines = [line for line in process.said.splitlines() if line.startswith("hub: ")]
    assert len(lines) == 1, process.said
    assert "Traceback" not in process.said
    return lines[0]


async def done(house: House, *arguments: str, **environ: str) -> list[str]:
    """The lines of a command that ends well."""
    process = await house.begin(*arguments, **environ)
    assert await process.ended() == 0, process.said
    return process.said.splitlines()


# ---- what callers ask ------------------------------------------------------------------------------------------------

LIST = """mutation($input: ListingUpsertInput!) { listingUpsert(input: $input) {
  listing { id course { id } } userErrors { code message } } }"""
LINK = """mutation($input: IdentityLinkInput!) { identityLink(input: $input) {
  member { id user { id } } userErrors { code message } } }"""
MEMBER = """mutation($input: MemberUpsertInput!) { memberUpsert(input: $input) {
  member { id } userErrors { code message } } }"""
CHECKOUT = """mutation($input: CheckoutInput!) { checkout(input: $input) {
  order { id number status } paymentAttempt { id state nextAction { url } } replayed userErrors { code message } } }"""
CREATE = """mutation($input: OrderCreateInput!) { orderCreate(input: $input) {
  order { id number status } replayed userErrors { code message } } }"""
PAY = """mutation($input: PaymentCreateInput!) { paymentCreate(input: $input) {
  paymentAttempt { id state nextAction { url } } replayed userErrors { code message } } }"""
CANCEL = """mutation($input: OrderCancelInput!) { orderCancel(input: $input) {
  order { id status } userErrors { code message } } }"""
REVOKE = """mutation($input: EntitlementRevokeInput!) { entitlementRevoke(input: $input) {
  entitlement { id state } userErrors { code message } } }"""
ORDER = """query($id: ID, $number: String) { order(id: $id, number: $number) {
  id number status chargeStatus fulfilmentStatus chainStatus receivedAmount { amountMinor }
  paymentIntent { status attempts { id number state } }
  entitlement { id isOpen state accesses { state platform { slug } } grants { id } }
  anchorBatch { root count state } proof { bundle } } }"""
VERIFY = """query($input: VerifyEntitlementInput!, $course: ID!) {
  verifyEntitlement(input: $input, courseId: $course) { isEntitled reason } }"""
BREAKS = "{ breaks(first: 100) { nodes { kind subjectId detail order { id } } } }"


@dataclass(frozen=True, slots=True)
class Sold:
    """A listing on the selling platform, and its course."""

    listing_id: str
    course_id: str
    price_minor: int
    currency: str = "USD"

    def bought(self, key: str, *, method: str | None = VISA) -> dict[str, Any]:
        """The input of `checkout` for it."""
        return {
            "listingId": self.listing_id, "channel": "sandbox", "idempotencyKey": key, "method": method,
            "expectedAmount": self.price,
        }  # fmt: skip

    def paid(self, order_id: str, key: str) -> dict[str, Any]:
        """The input of `paymentCreate` for an order of it."""
        return {
            "orderId": order_id, "channel": "sandbox", "idempotencyKey": key, "method": VISA,
            "expectedAmount": self.price,
        }  # fmt: skip

    @property
    def price(self) -> dict[str, Any]:
        return {"amountMinor": self.price_minor, "currency": self.currency}


async def put_on_sale(partner: Client, external_id: str, *, price_minor: int = 4900) -> Sold:
    """A listing of the partner's own, with a course of its own."""
    listed = await partner.mutate(
        LIST,
        {"externalId": external_id, "title": external_id, "price": {"amountMinor": price_minor, "currency": "USD"}},
    )
    return Sold(listed["listing"]["id"], listed["listing"]["course"]["id"], price_minor)


async def order_of(client: Client, order_id: str) -> dict[str, Any]:
    """The order with all that hangs on it."""
    return dict((await client.query(ORDER, {"id": order_id}))["order"])


async def reached(client: Client, order_id: str, *, within_s: float = 30.0, **states: str) -> dict[str, Any]:
    """The order, once each of its fields named here has that value."""

    async def look() -> dict[str, Any] | None:
        order = await order_of(client, order_id)
        return order if all(order[name] == value for name, value in states.items()) else None

    try:
        found = await until(look, within_s=within_s, what=str(states))
    except AssertionError:
        raise AssertionError(f"{states} not within {within_s} s: {await order_of(client, order_id)}") from None
    assert found is not None
    return found
