"""The embedded chain: `python -m hub.chain.node --data DIR`, one process for a folder, speaking JSON-RPC on loopback.

When it takes requests it prints one JSON line on its standard output; it ends when the pipe on its standard input
closes, or at SIGTERM. Exit codes: 0 asked to end, 3 another process has this folder, 4 the genesis does not fit,
5 the port is taken.
"""

import argparse
import fcntl
import gc
import json
import os
import signal
import socket
import stat
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TextIO

# The EVM is imported below, after the lock: a second process must be told no at once, not after its imports.

LOCK_NAME: Final = "chain.sqlite3.lock"
EXIT_LOCKED: Final = 3
EXIT_GENESIS: Final = 4
EXIT_PORT: Final = 5
TEST_HOOKS: Final = "HUB_CHAIN_TEST_HOOKS"
LINGER_S: Final = 10  # after its parent is gone, before the process ends by force
BACKLOG: Final = 128


def main() -> int:
    """Runs the node until it is asked to end; the exit code."""
    arguments = parse_arguments()
    folder: Path = arguments.data
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder / LOCK_NAME)
    if lock is None:
        sys.stderr.write(f"another process has the chain in {folder}: pid {read_pid(folder / LOCK_NAME)}\n")
        return EXIT_LOCKED
    with lock:
        return run(folder, arguments)


def run(folder: Path, arguments: argparse.Namespace) -> int:
    """Opens the chain and serves it; the exit code."""
    gc.disable()  # a fifth of the start would go into looking for garbage among modules
    from hub.chain.node.backend import TX_GAS_CAP, Backend
    from hub.chain.node.genesis import GenesisError
    from hub.chain.node.server import LOOPBACK, Server

    gc.freeze()
    gc.enable()
    try:
        listener = listen(LOOPBACK, arguments.port, like=arguments.like_port)
    except OSError as error:
        sys.stderr.write(f"port {arguments.port} of {LOOPBACK} cannot be had: {error.strerror}\n")
        return EXIT_PORT
    with listener:
        try:
            backend = Backend(folder, tx_gas_cap=arguments.tx_gas_cap or TX_GAS_CAP)
        except GenesisError as error:
            sys.stderr.write(f"{error}\n")
            return EXIT_GENESIS
        try:
            ready = {
                "port": listener.getsockname()[1],
                "chainId": backend.chain_id,
                "genesisHash": "0x" + backend.genesis_hash.hex(),
                "pid": os.getpid(),
                "signatures": signature_backend(),
            }
            server = Server(
                backend,
                has_test_hooks=os.environ.get(TEST_HOOKS) == "1",
                origins=arguments.origin,
                on_ready=lambda: say(json.dumps(ready)),
            )
            watch_parent(server)
            for asked in (signal.SIGTERM, signal.SIGINT):
                signal.signal(asked, lambda *_: None)  # uvicorn ends in good order, then raises the signal once more
            server.run(sockets=[listener])
        finally:
            backend.close()
    return 0


def listen(host: str, port: int, *, like: int = 0) -> socket.socket:
    """A socket listening on `port`; if that is 0, on `like` if it can be had, else on any. Raises OSError."""
    if not port and like:
        with suppress(OSError, OverflowError):
            return listen(host, like)
    # made as TCP by name, for asyncio sends at once (TCP_NODELAY) on such sockets only
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hub.chain.node", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the chain; genesis.json before first start")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--like-port", type=int, default=0, help="where it was before: taken again if --port is 0")
    parser.add_argument("--origin", action="append", default=[], help="a web page's origin that may ask; repeatable")
    parser.add_argument("--tx-gas-cap", type=int, help="most gas of one transaction (8,000,000)")
    return parser.parse_args()


def take_lock(path: Path) -> TextIO | None:
    """The open, locked file with our pid in it; None if another process holds it. The lock ends with the process."""
    lock = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def read_pid(path: Path) -> str:
    """Who wrote the lock file, as far as it says."""
    return path.read_text(encoding="ascii").strip() or "unknown"


def signature_backend() -> str:
    """Which library recovers senders: `coincurve`, or `python`, 1.5 to 4 times slower with the same results."""
    from eth_keys.backends import get_backend
    from eth_keys.backends.coincurve import CoinCurveECCBackend

    return "coincurve" if isinstance(get_backend(), CoinCurveECCBackend) else "python"


def watch_parent(server: "Stoppable") -> None:
    """Asks the server to end when standard input closes, if that is a pipe; a terminal or /dev/null is no parent."""
    mode = os.fstat(0).st_mode
    if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        server.should_exit = True
        time.sleep(LINGER_S)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


class Stoppable(Protocol):
    """What `watch_parent` needs of a server."""

    should_exit: bool


def say(line: str) -> None:
    """One line to whoever started us."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
