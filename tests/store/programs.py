"""Small programs that tests start as processes of their own: what one process promises must hold among several.

    python -m tests.store.programs <program> <database url> <arguments>

Each prints `ready` when its store is open and starts when a line comes in; then one JSON value a line.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from hub.domain.ids import Draw
from hub.domain.people import User, UserState
from hub.store.database import open_store
from hub.store.transactions import Store, Tx
from tests.world import START_US

STREAM_WITHIN_S = 60.0  # how long a follower waits for the events it was promised


async def add_one(tx: Tx, order_id: str) -> None:
    """Read, add in Python, write: the update that a lost lock would lose."""
    held = await tx.orders.lock(order_id)
    assert held is not None
    await tx.orders.update(replace(held, received_minor=held.received_minor + 1))


async def add_user(tx: Tx, id_: str) -> None:
    await tx.people.add_user(User(id_, UserState.ACTIVE, START_US))


async def increments(store: Store, order_id: str, writers: str) -> None:
    """So many writers at once, each adding one to the order's money."""
    await asyncio.gather(*(store.write(add_one, order_id) for _ in range(int(writers))))
    say("done")


async def killed_after_the_answer(store: Store, id_: str) -> None:
    """Many writes at once; the moment this one is answered the process is no more."""

    async def write_and_die() -> None:
        await store.write(add_user, id_)
        say(id_)
        os.kill(os.getpid(), signal.SIGKILL)

    await asyncio.gather(write_and_die(), *(store.write(add_user, f"usr_other_{i}") for i in range(20)))


async def follows(store: Store, count: str) -> None:
    """Stamp and read the hub's stream by its cursor, as every reader does, until `count` events came."""
    seen: list[tuple[int, str]] = []
    async with asyncio.timeout(STREAM_WITHIN_S):
        while len(seen) < int(count):
            await store.stamp()
            async with store.reading() as rx:
                batch = await rx.events.read("hub", seen[-1][0] if seen else 0, 100)
            seen += [(event.position, event.id) for event in batch]
            if not batch:
                await asyncio.sleep(0.002)
    say(seen)


async def claims(store: Store, owner: str, count: str) -> None:
    """Claim one task after the other and finish each, until nothing is due."""
    done: list[str] = []
    draw = Draw(START_US, owner.encode(), owner)

    async def claim(tx: Tx) -> list[Any]:
        return list(await tx.tasks.claim(draw, 1))

    for _ in range(int(count)):
        for task in await store.write(claim):
            done.append(task.key)
    say(done)


PROGRAMS = {program.__name__: program for program in (increments, killed_after_the_answer, follows, claims)}


def say(value: Any) -> None:
    print(json.dumps(value), flush=True)  # noqa: T201  # a program speaks by its output


@asynccontextmanager
async def running(program: str, url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program in a process of its own, its store open; ended by its handle."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.programs", program, url, *arguments,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert await told(process) == "ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # until its pipes are closed too, whose ends would outlive the test's loop


def start(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")


async def told(process: asyncio.subprocess.Process) -> Any:
    """The next value that it prints."""
    assert process.stdout is not None
    return json.loads(await asyncio.wait_for(process.stdout.readline(), 60))


async def main(program: str, url: str, *arguments: str) -> None:
    store = await open_store(url)
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    await PROGRAMS[program](store, *arguments)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
