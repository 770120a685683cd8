"""A hub that runs: folder locked, database migrated, sandbox peers and node started, worker at work; and its end."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from starlette.routing import BaseRoute

from hub.entry import wiring
from hub.entry.app import create_app
from hub.entry.chain import ChainSide, chain_side, keep_bringing_up
from hub.entry.locking import locked
from hub.entry.manifests import trusted_documents
from hub.entry.metrics_port import metrics_listener, metrics_served
from hub.entry.serving import listen, serve
from hub.entry.settings import Settings, url_of
from hub.entry.sign_in import SignIn
from hub.entry.worker import Worker
from hub.flows.tasks import reclaim_leases
from hub.ports import Hub
from hub.sandbox import server as sandbox_server
from hub.sandbox.server import SandboxAddress
from hub.store.migrate import migrate

log = logging.getLogger(__name__)

SANDBOX_FOLDER = "sandbox"
# How long the worker may finish what it holds; leases cover the rest.
DRAIN_S = 10.0


@dataclass(slots=True)
class Running:
    """What runs. `origin` is where the server listens, as this machine reaches it."""

    hub: Hub
    settings: Settings
    chain: ChainSide
    sandbox: SandboxAddress | None
    worker: Worker
    listener: socket.socket | None
    metrics_listener: socket.socket | None
    origin: str | None


@asynccontextmanager
async def running(settings: Settings, *, is_server: bool) -> AsyncIterator[Running]:
    """A server (`is_server`: it listens, and owns the data folder) or a worker alone, until the block ends.

    Raises FolderInUse, NotReady, OSError for a port that is taken, KeyRefused and KeyFault for keys.
    """
    if is_server:
        trusted_documents(settings.documents_manifest, settings.documents_cache)  # a slip there is told at once
    settings.data.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        if settings.sqlite_path is not None:
            stack.enter_context(locked(settings.data))
        wiring.demand_startable(settings)
        await migrate(settings.database)
        listener = stack.enter_context(contextlib.closing(listen(settings))) if is_server else None
        metrics = metrics_listener(settings)
        if metrics is not None:
            stack.enter_context(contextlib.closing(metrics))
        origin = url_of("127.0.0.1", listener.getsockname()[1]) if listener else None
        if listener is not None and settings.port == 0:
            port = listener.getsockname()[1]
            settings = replace(settings, port=port, public_url=settings.public_url.replace(":0", f":{port}"))
        sandbox = None
        if not settings.is_production:
            sandbox = await stack.enter_async_context(sandbox_server.serve(settings.data / SANDBOX_FOLDER))
        chain = chain_side(settings)
        stack.push_async_callback(chain.aclose)
        hub = await wiring.build(settings, chain, sandbox=sandbox, origin=origin)
        stack.push_async_callback(wiring.aclose, hub)
        if settings.sqlite_path is not None:
            await reclaim_leases(hub)
        bringing_up = asyncio.create_task(keep_bringing_up(hub, chain), name="bring up the chain")
        stack.push_async_callback(_cancel, bringing_up)
        worker = Worker(hub, keep_days=settings.log_retention_days)
        working = asyncio.create_task(worker.run(), name="worker")
        stack.push_async_callback(_drain, worker, working)
        yield Running(hub, settings, chain, sandbox, worker, listener, metrics, origin)


async def serve_hub(
    hub: Running,
    *,
    on_ready: Callable[[str], Awaitable[None]],
    sign_in: SignIn | None = None,
    extra_routes: Sequence[BaseRoute] = (),
) -> None:
    """Serve GraphQL until a signal, or until what `on_ready` raises; the worker then claims nothing more."""
    from schema import schema  # the whole of Strawberry: not for commands that do not serve

    app = create_app(hub.hub, hub.settings, schema=schema, sign_in=sign_in, extra_routes=extra_routes)
    _settle()
    async with metrics_served(hub.hub, app.state.metrics, hub.metrics_listener):
        await serve(app, hub.settings, listener=hub.listener, on_ready=on_ready, on_drain=hub.worker.stop)


def _settle() -> None:
    """Let the garbage collector pass by what stands until the end, modules and schema: each time that it looked through
    all of it the loop stood still for 150 ms, where it now does for 15."""
    gc.collect()
    gc.freeze()


async def _drain(worker: Worker, working: "asyncio.Task[None]") -> None:
    worker.stop()
    done, _ = await asyncio.wait([working], timeout=DRAIN_S)
    if not done:
        log.warning("the worker did not finish within %s s: its leases run out", DRAIN_S)
    await _cancel(working)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
