"""Clients of others that are Python's: each has an environment of its own, once for all trees of a machine."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.entry.npm import missing

INSTALL_WITHIN_S = 240.0


def python_with(requirements: Path) -> Path:
    """An interpreter beside exactly these packages.

    Skips where they are not installed, or on a CI machine installs them itself and fails if it cannot.
    """
    lock = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"tongbao-venv-{os.getuid()}-{lock}"
    folder.mkdir(mode=0o700, exist_ok=True)
    python = folder / "venv/bin/python"
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            if os.environ.get("CI") != "true":
                missing(f"the packages of {requirements.parent.name}/ are not installed: run with CI=true once")
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
            for command in ([sys.executable, "-m", "venv", str(folder / "venv")], [*pip, "-r", str(requirements)]):
                subprocess.run(command, check=True, timeout=INSTALL_WITHIN_S)
            (folder / "installed").touch()
    return python
