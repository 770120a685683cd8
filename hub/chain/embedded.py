"""The embedded node seen from its hub: join the one that runs for this data folder or start it, and keep it up.

It is a child process whose standard input we hold: when this process ends, however it ends, the node ends too, and
whichever other process watches the same folder starts the next on the same chain.
"""

import asyncio
import http.client
import json
import logging
import os
import sys
import tempfile
from asyncio.subprocess import Process
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hub.ports import ChainUnavailable

RECORD: Final = "node.json"
LOG: Final = "node.log"
LOG_MAX_BYTES: Final = 1_000_000  # then a start begins it anew; the node writes only when something is wrong
LOG_TAIL_CHARS: Final = 500  # of it in an error
PROGRAM: Final = ("-m", "hub.chain.node")
LOOPBACK: Final = "127.0.0.1"
EXIT_LOCKED: Final = 3  # the program's: another process has the folder
TEST_HOOKS: Final = "HUB_CHAIN_TEST_HOOKS"

UP_WITHIN_S: Final = 60.0  # its imports take about a second, several on a machine that is busy with other starts
ANSWERS_WITHIN_S: Final = 2.0  # to a look at its first block
LOOK_EVERY_S: Final = 1.0  # at a node that another process started; our own child's end is told to us
LOCKED_LOOK_EVERY_S: Final = 0.1  # while another process is starting it, or its last owner is dying
STOPS_WITHIN_S: Final = 12.0  # above the node's own limit, after which it ends by force
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 30.0

log = logging.getLogger("hub.chain")


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What `node.json` says: where the node is, and by which first block one knows that it is the right one."""

    port: int
    pid: int
    chain_id: int
    genesis_hash: str


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """How a node is started; whoever joins a running one takes it as it is."""

    port: int | None = None  # on 127.0.0.1; None: the one that it had, or any that is free
    tx_gas: int = 8_000_000  # most of a transaction
    origins: tuple[str, ...] = ()  # web pages that may ask it


class EmbeddedNode:
    """The node of one data folder, in which `keys.prepare_embedded` has put the genesis."""

    def __init__(self, data: Path, options: NodeOptions = NodeOptions()) -> None:
        self._data = data
        self._options = options
        self._child: Process | None = None  # ours; None while another process has it
        self._watch: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> NodeRecord:
        """Join the running node or start one, and from now on replace it whenever it is gone. Idempotent.

        Raises ChainUnavailable, with the end of its log, when there is none within UP_WITHIN_S; it then goes on trying,
        so that a hub whose chain is late sells meanwhile.
        """
        try:
            return await self._bring_up()
        finally:
            if self._watch is None:
                self._watch = asyncio.create_task(self._keep_up(), name="embedded node")

    def url(self) -> str:
        """Where the node is now, as recorded: the `locate` of a JsonRpcChain. Raises ChainUnavailable before a start.

        Needs no `start`: a process that only reads shares the node of the one that has it.
        """
        record = self._recorded()
        if record is None:
            raise ChainUnavailable("the embedded node has not been started yet")
        return f"http://{LOOPBACK}:{record.port}"

    async def is_up(self) -> bool:
        """Whether the recorded node answers, with its own first block."""
        record = self._recorded()
        return record is not None and await _is_alive(record)

    async def aclose(self) -> None:
        """Stop watching, and the node if it is our child; one that another process has goes on."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])
        child, self._child = self._child, None
        if child is not None:
            await _stop(child)

    # ---- inside ----

    async def _keep_up(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            await self._until_gone()
            try:
                record = await self._bring_up()
                log.warning("the embedded node was gone; it is up again with pid %d", record.pid)
                retry_s = RETRY_FIRST_S
            except ChainUnavailable as error:
                log.error("the embedded node does not start: %s", error)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_MAX_S)

    async def _until_gone(self) -> None:
        if self._child is not None:
            await self._child.wait()
            return
        while await self.is_up():  # noqa: ASYNC110  # another process's child: there is nothing to be told by
            await asyncio.sleep(LOOK_EVERY_S)

    async def _bring_up(self) -> NodeRecord:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UP_WITHIN_S
        async with self._starting:
            if self._child is not None and self._child.returncode is not None:
                self._child = None
            while loop.time() < deadline:
                record = self._recorded()
                if record is not None and await _is_alive(record):
                    return record
                started = await self._start_child(deadline - loop.time())
                if started is not None:
                    return started
                await asyncio.sleep(LOCKED_LOOK_EVERY_S)
        raise ChainUnavailable(f"another process holds the chain in {self._data} and does not answer")

    async def _start_child(self, within_s: float) -> NodeRecord | None:
        """None: another process was faster. Nothing of a failed start is left running."""
        child = await self._spawn()
        try:
            assert child.stdout is not None
            line = await asyncio.wait_for(child.stdout.readline(), within_s)
            if not line:
                self._demand_locked(await child.wait())
                return None
            record = self._record(line)
        except TimeoutError:
            await _kill(child)
            raise ChainUnavailable(f"the embedded node was not ready in time; {self._tail()}") from None
        except BaseException:
            await _kill(child)
            raise
        self._child = child
        return record

    async def _spawn(self) -> Process:
        path = self._data / LOG
        is_new = not path.exists() or path.stat().st_size > LOG_MAX_BYTES
        secretless = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
        if TEST_HOOKS in os.environ:
            secretless[TEST_HOOKS] = os.environ[TEST_HOOKS]
        with path.open("wb" if is_new else "ab") as errors:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *PROGRAM,
                *self._arguments(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,  # one line and no more, so nobody needs to go on reading
                stderr=errors,
                env=secretless,
                start_new_session=True,  # Ctrl-C is for the hub, which then ends its node in good order
            )

    def _arguments(self) -> list[str]:
        """A wallet that was told the node's address finds it there again, unless the port was taken meanwhile."""
        options, before = self._options, self._recorded()
        arguments = ["--data", str(self._data), "--port", str(options.port or 0), "--tx-gas-cap", str(options.tx_gas)]
        if before is not None:
            arguments += ["--like-port", str(before.port)]
        return arguments + [part for origin in options.origins for part in ("--origin", origin)]

    def _demand_locked(self, code: int) -> None:
        if code != EXIT_LOCKED:
            raise ChainUnavailable(f"the embedded node ended with code {code}; {self._tail()}")

    def _tail(self) -> str:
        text = (self._data / LOG).read_text(encoding="utf-8", errors="replace").strip()
        return f"its log {self._data / LOG} ends: …{text[-LOG_TAIL_CHARS:]}"

    def _record(self, line: bytes) -> NodeRecord:
        """Write node.json, unless the chain is another than before."""
        said = json.loads(line)
        record = NodeRecord(said["port"], said["pid"], said["chainId"], said["genesisHash"])
        before = self._recorded()
        if before is not None and before.genesis_hash != record.genesis_hash:
            raise ChainUnavailable(
                f"the chain in {self._data} is another than before ({record.genesis_hash}, not {before.genesis_hash}): "
                f"put chain.sqlite3 back, or remove {RECORD} to begin anew"
            )
        descriptor, name = tempfile.mkstemp(dir=self._data, prefix=f".{RECORD}.")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(asdict(record), file)
        os.replace(name, self._data / RECORD)
        return record

    def _recorded(self) -> NodeRecord | None:
        try:
            return NodeRecord(**json.loads((self._data / RECORD).read_bytes()))
        except (OSError, ValueError, TypeError):  # none, or not one of ours
            return None


async def _is_alive(record: NodeRecord) -> bool:
    try:
        return await asyncio.to_thread(_genesis_hash, record.port) == record.genesis_hash
    except (OSError, ValueError, TypeError, KeyError, http.client.HTTPException):
        return False


def _genesis_hash(port: int) -> object:
    """Asked without web3, which a process that only starts the node should not have to import."""
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["0x0", False]}
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWERS_WITHIN_S)
    try:
        connection.request("POST", "/", json.dumps(question), {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())["result"]["hash"]
    finally:
        connection.close()


async def _stop(child: Process) -> None:
    """Closing its standard input asks it to end; after STOPS_WITHIN_S it is killed, which its chain survives."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), STOPS_WITHIN_S)
    except TimeoutError:
        await _kill(child)


async def _kill(child: Process) -> None:
    try:
        child.kill()
    except ProcessLookupError:
        pass
    await child.wait()
