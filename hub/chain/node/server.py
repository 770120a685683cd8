"""HTTP on loopback: takes JSON-RPC requests one by one or in batches, and refuses whatever is not such a request."""

import asyncio
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import orjson
import uvicorn

from hub.chain.node.backend import Backend
from hub.chain.node.errors import INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR, RpcError, invalid
from hub.chain.node.formats import Json, data, read_data
from hub.chain.node.rpc import Methods

LOOPBACK: Final = "127.0.0.1"
HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})  # any other name is a web page that rebinds its DNS
BODY_MAX_BYTES: Final = 5 * 1024 * 1024  # go-ethereum's
BATCH_MAX: Final = 1_000  # go-ethereum's
READERS: Final = 8  # threads; an endless call may hold one of them for its whole deadline
STOP_WITHIN_S: Final = 2
KEEP_ALIVE_S: Final = 75  # longer than clients keep idle connections (aiohttp: 15), so a send meets no closing one
CONNECTIONS_MAX: Final = 256  # then 503; the hub needs a handful
SEND: Final = "eth_sendRawTransaction"

JSON_TYPE: Final = b"application/json"
TOO_LONG: Final = f"at most {BODY_MAX_BYTES} bytes".encode()
PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-allow-private-network", b"true"),  # this is one, as browsers see it
    (b"access-control-max-age", b"600"),
)

Message = MutableMapping[str, object]
Headers = Sequence[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Server(uvicorn.Server):
    """uvicorn, telling when it takes requests."""

    def __init__(
        self, backend: Backend, *, has_test_hooks: bool, origins: Collection[str], on_ready: Callable[[], None]
    ) -> None:
        self._app = RpcApp(backend, has_test_hooks=has_test_hooks, origins=origins)
        self._on_ready = on_ready
        super().__init__(
            uvicorn.Config(
                self._app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=STOP_WITHIN_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then the word."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then the reading threads end."""
        await super().shutdown(sockets)
        self._app.close()


class RpcApp:
    """The ASGI application. Reads run on threads; a send waits for the writer without holding one."""

    def __init__(self, backend: Backend, *, has_test_hooks: bool, origins: Collection[str]) -> None:
        """`origins` are the web pages that may read answers; browsers keep them from all others."""
        self._backend = backend
        self._origins = frozenset(origin.encode("latin-1") for origin in origins)
        self._methods = Methods(backend, has_test_hooks=has_test_hooks)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    def close(self) -> None:
        """Lets the reading threads end."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Mapping[str, object], receive: Receive, send: Send) -> None:
        """One HTTP request."""
        headers = scope["headers"]
        assert isinstance(headers, list)
        shared = self._sharing(headers)
        if (refusal := _refusal_of_host(headers)) is not None:
            return await _respond(send, *refusal)
        if scope["method"] == "OPTIONS" and shared:
            return await _respond(send, 204, b"", [*shared, *PREFLIGHT])
        if (refusal := _refusal(scope["method"], headers)) is not None:
            return await _respond(send, *refusal, shared)
        body = await _read_body(receive)
        if body is None:
            return await _respond(send, 413, TOO_LONG, shared)
        return await _respond(send, 200, orjson.dumps(await self._answer(body)), shared)

    def _sharing(self, headers: Headers) -> Headers:
        """What lets the page that asks read the answer; nothing for one that is not listed."""
        origins = [value for name, value in headers if name == b"origin" and value in self._origins]
        return [(b"access-control-allow-origin", origins[0]), (b"vary", b"origin")] if origins else []

    async def _answer(self, body: bytes) -> Json:
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _error(None, RpcError(PARSE_ERROR, "the body is not JSON"))
        if not isinstance(said, list):
            return await self._answer_one(said)
        if not 1 <= len(said) <= BATCH_MAX:
            return _error(None, RpcError(INVALID_REQUEST, f"a batch holds 1 to {BATCH_MAX} requests"))
        return await self._answer_batch(said)

    async def _answer_batch(self, batch: Sequence[Json]) -> Json:
        """Sends reach the writer in their order; reads run beside them and may see the state before."""
        sends = [i for i, request in enumerate(batch) if isinstance(request, Mapping) and request.get("method") == SEND]
        answers: dict[int, asyncio.Task[Json]] = {}
        for i in sends:
            handed_over = asyncio.Event()
            answers[i] = asyncio.create_task(self._answer_one(batch[i], handed_over))
            await handed_over.wait()
        for i, request in enumerate(batch):
            if i not in answers:
                answers[i] = asyncio.create_task(self._answer_one(request))
        return [await answers[i] for i in range(len(batch))]

    async def _answer_one(self, request: Json, handed_over: asyncio.Event | None = None) -> Json:
        number = request.get("id") if isinstance(request, Mapping) else None
        try:
            method, params = _read_request(request)
            if method == SEND:
                return _result(number, await self._send(params, handed_over))
            loop = asyncio.get_running_loop()
            return _result(number, await loop.run_in_executor(self._readers, self._methods.answer, method, params))
        except RpcError as error:
            return _error(number, error)
        except Exception as error:
            sys.stderr.write("".join(traceback.format_exception(error)))
            return _error(number, RpcError(INTERNAL_ERROR, "internal error"))
        finally:
            if handed_over is not None:
                handed_over.set()

    async def _send(self, params: Sequence[Json], handed_over: asyncio.Event | None) -> Json:
        if len(params) != 1:
            raise invalid(f"{SEND} takes one parameter")
        raw = read_data(params[0], "the raw transaction")
        loop = asyncio.get_running_loop()
        candidate = await loop.run_in_executor(self._readers, self._backend.admit, raw)
        mined = self._backend.submit(candidate)
        if handed_over is not None:
            handed_over.set()
        return data(await asyncio.wrap_future(mined))


def _refusal_of_host(headers: Headers) -> tuple[int, bytes] | None:
    """The status and text for a request to a name that is not ours."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1 or _without_port(hosts[0]) not in HOSTS:
        return 403, b"this host name is not served"
    return None


def _refusal(method: object, headers: Headers) -> tuple[int, bytes] | None:
    """The status and text with which this request is turned away before its body is read."""
    if method != "POST":
        return 405, b"POST only"
    kinds = [value.partition(b";")[0].strip().lower() for name, value in headers if name == b"content-type"]
    if kinds != [JSON_TYPE]:
        return 415, b"the body must be application/json"  # a page can send any other type without being asked
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(not length.isdigit() or int(length) > BODY_MAX_BYTES for length in lengths):
        return 413, TOO_LONG
    return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None if it is too long, or the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        assert isinstance(chunk, bytes)
        body += chunk
        if message["type"] != "http.request" or len(body) > BODY_MAX_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _respond(send: Send, status: int, body: bytes, more: Headers = ()) -> None:
    kind = JSON_TYPE if status == 200 else b"text/plain"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _read_request(request: Json) -> tuple[str, Sequence[Json]]:
    if not isinstance(request, Mapping) or request.get("jsonrpc") != "2.0" or "id" not in request:
        raise RpcError(INVALID_REQUEST, "a request is an object with jsonrpc 2.0, id, method and params")
    method, params = request.get("method"), request.get("params", [])
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "method must be a string")
    if isinstance(params, str) or not isinstance(params, Sequence):
        raise invalid("params must be an array")
    return method, params


def _result(number: Json, result: Json) -> Json:
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _error(number: Json, error: RpcError) -> Json:
    said: dict[str, Json] = {"code": error.code, "message": error.message}
    if error.data is not None:
        said["data"] = error.data
    return {"jsonrpc": "2.0", "id": number, "error": said}
