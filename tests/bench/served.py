"""A real `hub serve` as a process of its own, asked over its socket and looked at through /proc."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

READY_WITHIN_S, CHAIN_WITHIN_S, STOPPED_WITHIN_S = 120.0, 120.0, 40.0  # several times what a loaded machine takes
LOOK_EVERY_S = 0.01
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
ANCHORS = "anchoring on chain"  # what the hub logs once node and contract are there


@dataclass(frozen=True, slots=True)
class Served:
    """A hub that is ready. `ready_s` and `ready_cpu_s` are what it took from the process's start."""

    url: str
    pid: int
    data: Path
    ready_s: float
    ready_cpu_s: float

    @property
    def cpu_s(self) -> float:
        """User and system time of the process so far."""
        return cpu_s(self.pid)

    @property
    def rss_mb(self) -> float:
        return rss_mb(self.pid)

    async def until_it_anchors(self) -> int:
        """Wait for the chain behind the hub; gives the node's pid."""
        deadline = time.monotonic() + CHAIN_WITHIN_S
        while ANCHORS not in _log(self.data).read_text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no chain within {CHAIN_WITHIN_S} s: {_log(self.data).read_text()[-2000:]}")
            await asyncio.sleep(LOOK_EVERY_S)
        return int(json.loads((self.data / "node.json").read_bytes())["pid"])


@asynccontextmanager
async def served(
    data: Path, *, program: Sequence[str] = ("-m", "hub", "serve"), **settings: str
) -> AsyncIterator[Served]:
    """The hub of this data folder until the block ends; `settings` are HUB_ variables without their prefix."""
    port = _free_port()
    ours = {"HUB_DATA": str(data), "HUB_PORT": str(port)} | {f"HUB_{name}": value for name, value in settings.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    with _log(data).open("wb") as log:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, env=others | ours, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await _until_ready(url, process, data)
        yield Served(url, process.pid, data, time.perf_counter() - started, cpu_s(process.pid))
    finally:
        await _stop(process)


async def _until_ready(url: str, process: asyncio.subprocess.Process, data: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        while process.returncode is None and time.monotonic() < deadline:
            try:
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"the hub did not become ready: {_log(data).read_text()[-2000:]}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), STOPPED_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10⁶ bytes)."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024 / 1e6


def _log(data: Path) -> Path:
    return data.with_name(f"{data.name}.log")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
