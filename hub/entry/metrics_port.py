"""/metrics on a port of its own, for a monitoring network that is not the public one; `hub worker` has no other."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.entry import metrics as measuring
from hub.entry.metrics import Metrics
from hub.entry.serving import Server, listen, uvicorn_config
from hub.entry.settings import Settings
from hub.ports import Hub

FINISH_S = 1  # an answer under way takes some milliseconds


def metrics_listener(settings: Settings) -> socket.socket | None:
    """The socket of HUB_METRICS_PORT on HUB_HOST; None: no such setting. Raises OSError for a port that is taken."""
    if settings.metrics_port is None:
        return None
    return listen(replace(settings, port=settings.metrics_port))


def metrics_route(hub: Hub, counted: Metrics) -> Route:
    """What this process counts and how the store stands."""

    async def metrics(_request: Request) -> Response:
        text = counted.text(await measuring.measured(hub))
        return Response(text, media_type=measuring.MEDIA_TYPE)

    return Route("/metrics", metrics, methods=["GET"])


@asynccontextmanager
async def metrics_served(hub: Hub, counted: Metrics, listener: socket.socket | None) -> AsyncIterator[None]:
    """Answer there while the block runs; nothing to do without a listener."""
    if listener is None:
        yield
        return
    server = Server(uvicorn_config(Starlette(routes=[metrics_route(hub, counted)]), FINISH_S))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="metrics server")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
