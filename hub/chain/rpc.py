"""Questions to an EVM node over web3's HTTP provider: what came back, or that nothing sensible did.

web3 is imported on the first question, in a thread: it costs a second and memory that a process which never asks the
chain should not pay, and the event loop goes on meanwhile.
"""

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

from hub.ports import ChainUnavailable

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from web3 import AsyncHTTPProvider
    from web3.types import RPCEndpoint

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Answer: TypeAlias = "Json | NodeSaidNo"
T = TypeVar("T")

CALL_TIMEOUT_MS: Final = 15_000  # above the embedded node's own deadline of 5 s for a call, below a lease
BATCH_MAX: Final = 100  # questions in one HTTP request: what common providers take, and a body far below 5 MiB
KEEP_ALIVE_S: Final = 2.0  # of an idle connection: below what servers keep (5 s), so none is closed as we ask
MESSAGE_MAX_CHARS: Final = 500  # of a node's own words in our errors
# go-ethereum, Erigon, Nethermind, anvil, ours, and the large providers.
_TOO_MUCH: Final = re.compile(
    r"\brange\b|more than [\d,]+ (results|logs)|response size|query timeout|too many (results|logs)", re.I
)


class Question(NamedTuple):
    """A JSON-RPC method and its parameters, in order."""

    method: str
    params: tuple[object, ...] = ()


class NodeSaidNo(Exception):
    """The node answered with a JSON-RPC error: its code, and its message shortened."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message[:MESSAGE_MAX_CHARS])
        self.code = code

    @property
    def is_too_much(self) -> bool:
        """Whether less would have been granted: fewer blocks, or fewer logs. Every kind of node says so in words and
        under a code of its own, and some have one code for this and for being asked too often."""
        return _TOO_MUCH.search(str(self)) is not None


class Rpc:
    """A node by URL, asked from one event loop. `locate` gives the URL before each request, as a node may move.

    URLs can hold a provider's key, so no error says them.
    """

    def __init__(self, locate: Callable[[], str], *, timeout_ms: int = CALL_TIMEOUT_MS) -> None:
        self._locate = locate
        self._timeout_ms = timeout_ms
        self._opening = asyncio.Lock()
        self._provider: AsyncHTTPProvider | None = None
        self._session: ClientSession | None = None

    @property
    def url(self) -> str:
        """Where the node is now. Raises ChainUnavailable when that is not known."""
        return self._locate()

    async def ask(self, question: Question) -> Json:
        """The result of one question. Raises ChainUnavailable, or NodeSaidNo."""
        provider = await self._opened()
        answer = await _over_the_wire(provider.make_request(_endpoint(question), question.params))
        result = _result(answer)
        if isinstance(result, NodeSaidNo):
            raise result
        return result

    async def ask_all(self, questions: Sequence[Question]) -> list[Answer]:
        """Results in the order of the questions, in batches of BATCH_MAX; a refused one stands as its NodeSaidNo.

        Raises ChainUnavailable when a whole batch went without a sensible answer.
        """
        provider = await self._opened()
        results: list[Answer] = []
        for start in range(0, len(questions), BATCH_MAX):
            batch = [(_endpoint(question), question.params) for question in questions[start : start + BATCH_MAX]]
            answers: object = await _over_the_wire(provider.make_batch_request(batch))
            if not isinstance(answers, list) or len(answers) != len(batch):
                raise ChainUnavailable(f"the node answered a batch of {len(batch)} with something else")
            results += [_result(answer) for answer in answers]
        return results

    async def aclose(self) -> None:
        """Close connections; a later question opens them again."""
        self._provider = None
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _opened(self) -> "AsyncHTTPProvider":
        async with self._opening:
            url = self.url
            if self._provider is not None and self._provider.endpoint_uri == url:
                return self._provider
            await self.aclose()
            web3 = await asyncio.to_thread(importlib.import_module, "web3")
            aiohttp = importlib.import_module("aiohttp")
            provider: AsyncHTTPProvider = web3.AsyncHTTPProvider(url, exception_retry_configuration=None)
            # web3's own session opens a connection per request, with an option that newer Pythons warn of.
            timeout = aiohttp.ClientTimeout(total=self._timeout_ms / 1000)
            connector = aiohttp.TCPConnector(keepalive_timeout=KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, raise_for_status=True, timeout=timeout)
            provider._request_kwargs = {"timeout": timeout}
            await provider.cache_async_session(self._session)
            self._provider = provider
            return provider


async def _over_the_wire(answer: Awaitable[T]) -> T:
    """The answer, or ChainUnavailable for all that a network and a broken node can do. Never names the URL."""
    from aiohttp import ClientError, ClientResponseError

    try:
        return await answer
    except ClientResponseError as error:
        raise ChainUnavailable(f"the node answered with HTTP status {error.status}") from None
    except (ClientError, OSError, TimeoutError) as error:  # asyncio's and the socket's timeouts among them
        raise ChainUnavailable(f"the node does not answer: {type(error).__name__}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # not JSON, or not JSON-RPC
        raise ChainUnavailable(f"the node answered nonsense: {type(error).__name__}") from None


def _result(answer: object) -> Answer:
    if not isinstance(answer, dict) or ("error" not in answer and "result" not in answer):
        raise ChainUnavailable("the node answered without result or error")
    error = answer.get("error")
    if error is None:
        result: Json = answer.get("result")
        return result
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        raise ChainUnavailable("the node answered an error without code")
    return NodeSaidNo(error["code"], str(error.get("message", "")))


def _endpoint(question: Question) -> "RPCEndpoint":
    endpoint: RPCEndpoint = question.method  # type: ignore[assignment]  # a NewType of str, in a module not to import
    return endpoint
