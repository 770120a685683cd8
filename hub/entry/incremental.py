"""Answers in parts over HTTP, for operations with @defer: the first at once, each deferred fragment when it is ready.

    deferSpec=20220824      each fragment with its path; what a bare multipart/mixed means as well (urql)
    incrementalSpec=v0.2    fragments are announced by an id, and completed by it (newer handlers of Apollo Client)

Both are multipart/mixed; whoever accepts neither gets one ordinary answer, in which nothing is late. Executed is as
graphql-core has it: a part begins when the one before it has left, so a reader who stops reading stops the work.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from enum import StrEnum
from typing import Any

import orjson
from graphql import GraphQLError
from graphql.execution import ExperimentalIncrementalExecutionResults as Results
from graphql.execution import IncrementalDeferResult, PendingResult, SubsequentIncrementalExecutionResult
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.entry.graphql_streams import BOUNDARY, LEAVE_WITHIN_S, MULTIPART, STREAM_HEADERS, until_left
from hub.entry.negotiation import JSON, ranges_with_parameters
from resolvers.context import Parts
from resolvers.errors import GatekeepingError

_OPENING = f"--{BOUNDARY}".encode()
_BEFORE = f"\r\nContent-Type: {JSON}; charset=utf-8\r\n\r\n".encode()
_AFTER = f"\r\n--{BOUNDARY}".encode()
_CLOSING = b"--\r\n"

Told = Callable[[list[GraphQLError]], list[dict[str, Any]]]  # errors as clients see them


class Spec(StrEnum):
    """How parts are written, by the parameter of the media type that names it."""

    BY_PATH = "deferSpec=20220824"
    BY_ID = "incrementalSpec=v0.2"


_SPOKEN = {("deferspec", "20220824"): Spec.BY_PATH, ("incrementalspec", "v0.2"): Spec.BY_ID}
_NAMES = ("deferspec", "incrementalspec", "subscriptionspec")


def spec_wanted(accept: str | None) -> Spec | None:
    """In which way an Accept header takes parts: the first that we speak; None for one that takes none."""
    for media_range, parameters in ranges_with_parameters(accept):
        if media_range != MULTIPART:
            continue
        named = [(name, parameters[name]) for name in _NAMES if name in parameters]
        if not named:
            return Spec.BY_PATH
        for pair in named:
            if pair in _SPOKEN:
                return _SPOKEN[pair]
    return None


class IncrementalResponse(Response):
    """The answer that goes on after its first part. `done` is told the outcome, "ok" or "errors", at the end."""

    def __init__(self, results: Results, parts: Parts, spec: Spec, told: Told, done: Callable[[str], None]) -> None:
        self.background = None
        self.status_code = 200
        self._results = results
        self._parts = parts
        self._spec = spec
        self._told = told
        self._done = done
        self._pending: dict[str, PendingResult] = {}
        self._number = 0
        self._has_errors = False
        self.init_headers(STREAM_HEADERS | {"Content-Type": f'{MULTIPART};boundary="{BOUNDARY}";{spec}'})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        left = asyncio.create_task(until_left(receive))
        try:
            await asyncio.wait((sending, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, left):
                task.cancel()
            await asyncio.gather(sending, left, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        async def piece(body: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        outcome = "gone"
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await piece(_OPENING)
            async with aclosing(self._written()) as written:
                async for part in written:
                    await piece(_BEFORE + part + _AFTER)
            await piece(_CLOSING, more=False)
            outcome = "errors" if self._has_errors else "ok"
        finally:
            self._done(outcome)

    async def _written(self) -> AsyncGenerator[bytes, None]:
        """Every part; what is late beyond the operation's time, or breaks, ends as errors of what was awaited."""
        initial = self._results.initial_result
        data = initial.data or {}
        ended = False
        try:
            yield orjson.dumps(self._first())
            async for part, pieces in self._rest():
                written = orjson.dumps(part)  # before its pieces become parts of each other
                for piece, path in pieces:
                    _merge(_at(data, path), piece)
                if not part["hasNext"]:
                    ended = True
                    if extensions := self._parts.ended(data, self._number):
                        written = written[:-1] + b',"extensions":' + orjson.dumps(extensions) + b"}"
                yield written
        finally:
            await self._results.subsequent_results.aclose()
            if not ended:
                self._parts.ended(data, self._number)

    def _first(self) -> dict[str, Any]:
        initial = self._results.initial_result
        part: dict[str, Any] = {"data": initial.data}
        if initial.errors:
            part["errors"] = self._tell(initial.errors)
        self._announce(part, initial.pending)
        return part | {"hasNext": True}

    async def _rest(self) -> AsyncIterator[tuple[dict[str, Any], list[tuple[dict[str, Any], list[str | int]]]]]:
        left_s, results = self._parts.left_s, self._results.subsequent_results
        while True:
            begun = time.perf_counter()
            try:
                async with asyncio.timeout(left_s):
                    result = await anext(results)
            except StopAsyncIteration:
                yield {"hasNext": False}, []
                return
            except TimeoutError:
                yield self._broken(GatekeepingError("UNAVAILABLE", "the query took too long: ask for less")), []
                return
            except Exception as fault:
                yield self._broken(fault), []
                return
            left_s = None if left_s is None else max(0.0, left_s - (time.perf_counter() - begun))
            yield self._part(result)
            if not result.has_next:
                return

    def _part(
        self, result: SubsequentIncrementalExecutionResult
    ) -> tuple[dict[str, Any], list[tuple[dict[str, Any], list[str | int]]]]:
        part: dict[str, Any] = {}
        pieces = []
        written: list[dict[str, Any]] = []
        completed: list[dict[str, Any]] = []
        self._announce(part, result.pending)
        for one in result.incremental or ():
            assert isinstance(one, IncrementalDeferResult)  # there is no @stream
            told, path = self._deferred(one)
            written.append(told)
            pieces.append((one.data, path))
        for end in result.completed or ():
            told = {"errors": self._tell(end.errors)} if end.errors else {}
            pending = self._pending.pop(end.id)
            if self._spec is Spec.BY_ID:
                completed.append({"id": end.id, **told})
            elif told:
                written.append({"data": None, **_place(pending), **told})
        if written:
            part["incremental"] = written
        if completed:
            part["completed"] = completed
        return part | {"hasNext": result.has_next}, pieces

    def _deferred(self, one: IncrementalDeferResult) -> tuple[dict[str, Any], list[str | int]]:
        pending = self._pending[one.id]
        path = [*pending.path, *(one.sub_path or ())]
        told: dict[str, Any] = {"data": one.data}
        if self._spec is Spec.BY_PATH:
            told |= _place(pending) | {"path": path}
        else:
            told["id"] = one.id
            if one.sub_path:
                told["subPath"] = one.sub_path
        if one.errors:
            told["errors"] = self._tell(one.errors)
        return told, path

    def _broken(self, fault: Exception) -> dict[str, Any]:
        """The last part, where nothing more can come."""
        errors = self._tell([GraphQLError("", original_error=fault)])
        awaited, self._pending = self._pending, {}
        if self._spec is Spec.BY_ID:
            return {"completed": [{"id": id_, "errors": errors} for id_ in awaited], "hasNext": False}
        ends = [{"data": None, **_place(pending), "errors": errors} for pending in awaited.values()]
        return {"incremental": ends, "hasNext": False}

    def _announce(self, part: dict[str, Any], pending: list[PendingResult] | None) -> None:
        self._number += len(pending or ())
        self._pending |= {one.id: one for one in pending or ()}
        if pending and self._spec is Spec.BY_ID:
            part["pending"] = [{"id": one.id, **_place(one)} for one in pending]

    def _tell(self, errors: list[GraphQLError]) -> list[dict[str, Any]]:
        self._has_errors = True
        return self._told(errors)


def whole(content: bytes) -> Response:
    """An answer without parts, for who takes nothing but parts."""
    body = content[:-1] + b',"hasNext":false}' if content != b"{}" else b'{"hasNext":false}'
    media_type = f'{MULTIPART};boundary="{BOUNDARY}";{Spec.BY_PATH}'
    return Response(_OPENING + _BEFORE + body + _AFTER + _CLOSING, media_type=media_type)


def _place(pending: PendingResult) -> dict[str, Any]:
    label: dict[str, Any] = {} if pending.label is None else {"label": pending.label}
    return {"path": pending.path, **label}


# ---- the whole of it, which is counted as others are -------------------------------------------------------------


def _at(data: Any, path: list[str | int]) -> Any:
    for key in path:
        data = data[key]
    return data


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            for one, other in zip(known, value, strict=False):
                if isinstance(one, dict) and isinstance(other, dict):
                    _merge(one, other)
        else:
            into[key] = value
