"""One `hub serve` per data folder: a lock that ends with its process, and that names it to the second one."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "hub.lock"


class FolderInUse(Exception):
    """Another hub serves this folder: the text names its pid."""


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the folder while the block runs. Raises FolderInUse; the lock of a process that died is free at once."""
    path = data / LOCK
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise FolderInUse(
                f"{data} is served already, by process {pid}: stop it, or choose another folder with --data"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
