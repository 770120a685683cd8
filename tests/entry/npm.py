"""Packages of npm that tests need: each lock is installed once, into a folder of its own for all trees of a machine."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL_WITHIN_S = 240.0  # the gateway's half a gigabyte, on a slow day
FILES = ("package.json", "package-lock.json", ".npmrc")


def installed(source: Path, *, with_optional: bool = False) -> Path:
    """A folder with the packages of `source`'s lock and copies of its other files, as they are now.

    `with_optional` brings the optional ones too: that is how npm ships programs built for each machine.

    Skips, or fails on a CI machine, where node or the packages are missing; a CI machine installs them itself.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed")
    lock = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"tongbao-npm-{os.getuid()}-{lock}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            if os.environ.get("CI") != "true":
                missing(f"the packages of {source.name}/package-lock.json are not installed: run with CI=true once")
            for name in FILES:
                shutil.copy(source / name, folder)
            kinds = () if with_optional else ("--omit=optional",)
            subprocess.run(["npm", "ci", "--ignore-scripts", *kinds], cwd=folder, check=True, timeout=INSTALL_WITHIN_S)
            (folder / "installed").touch()
        for file in source.iterdir():
            if file.is_file() and file.name not in FILES:
                shutil.copy(file, folder)
    return folder


def missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true")
    pytest.skip(f"{reason}: this test of a real peer was NOT run")
