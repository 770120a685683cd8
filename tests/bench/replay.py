"""All events of a stream to one subscriber, from the oldest on: events a second over a WebSocket of the hub's doors.

Beside it: the same rows read with the bare driver in batches of a hundred, each made into the same object and encoded
with orjson, and sent nowhere.
"""

import asyncio
import json
import socket
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from tests.bench.fanout import _line, _program, _until_up
from tests.bench.fanout_client import DOCUMENT, HANDSHAKE, _frame, _seen
from tests.bench.figures import Figure, interleaved

EVENTS, QUICK_EVENTS = 100_000, 500
ROUNDS, QUICK_ROUNDS = 3, 1
AT_ONCE = 1_000  # events of one commit while the log is filled
WITHIN_S = 600.0
BATCH = 500  # as the hub reads
READ = (
    "SELECT id, stream, position, kind, subject, subject_version, occurred_at_us, body FROM event"
    " WHERE stream = ? AND position > ? ORDER BY position LIMIT ?"
)


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    events, rounds = (QUICK_EVENTS, QUICK_ROUNDS) if quick else (EVENTS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        async with _program(sys.executable, "-m", "tests.bench.fanout_server", "ours", folder) as server:
            port = json.loads(await _line(server))["port"]
            await asyncio.to_thread(_until_up, port)
            await asyncio.to_thread(_fill, port, events)

            async def ours() -> float:
                return await asyncio.to_thread(_replayed, port, events)

            async def bare() -> float:
                return await asyncio.to_thread(_bare, Path(folder) / "hub.sqlite3", events)

            yield await interleaved(
                "replay", ours, bare, unit="events a second", rounds=rounds, bar="at least 0.5", events=events
            )


def _fill(port: int, events: int) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for begun in range(0, events, AT_ONCE):
        number = min(AT_ONCE, events - begun)
        opener.open(f"http://127.0.0.1:{port}/happen?number={number}", timeout=WITHIN_S).read()


def _replayed(port: int, events: int) -> float:
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as one:
        one.sendall(HANDSHAKE.encode())
        _seen(one, b"\r\n\r\n")
        one.sendall(_frame({"type": "connection_init"}))
        _seen(one, b"connection_ack")
        payload = {"query": DOCUMENT, "variables": {"after": ""}}
        began = time.perf_counter()
        one.sendall(_frame({"type": "subscribe", "id": "1", "payload": payload}))
        last, tail = f'"subjectVersion":{events},'.encode(), b""
        while last not in tail:
            piece = one.recv(1024 * 1024)
            if not piece:
                raise ConnectionError("the server closed")
            tail = tail[-64:] + piece
        return events / (time.perf_counter() - began)


def _bare(path: Path, events: int) -> float:
    raw = sqlite3.connect(path)
    began, position, number, stream = time.perf_counter(), 0, 0, "plt_" + "1" * 26
    while rows := raw.execute(READ, (stream, position, BATCH)).fetchall():
        for id_, _, position, kind, subject, version, at_us, body in rows:  # the last one goes on
            told = orjson.loads(body)
            event = {"id": id_, "cursor": position, "kind": kind, "occurredAt": at_us, "subject": subject,
                     "subjectVersion": version, "payload": told}  # fmt: skip
            orjson.dumps({"data": {"events": event}})
            number += 1
    raw.close()
    assert number == events
    return events / (time.perf_counter() - began)
