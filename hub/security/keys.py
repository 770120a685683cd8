"""Key files of the data folder: made at first start, readable by their owner alone, marked with their maker's mode.

A file has two lines: what it is and which mode made it, then 32 random bytes in hex. Everything that the hub keeps
secret, seals or signs comes from such a file and never from the database, so a stolen database opens nothing.
Several processes of one hub share these files: with PostgreSQL on several machines, copy or mount the same folder.
"""

import hashlib
import hmac
import os
import re
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MASTER_KEY = "keys/master.key"  # seals salts, makes order keys, pairwise ids and cursors
TOKEN_KEY = "keys/tokens.key"  # signs user tokens; apart, so that replacing it signs everybody out and no more
RECEIPT_KEY = "keys/receipts.key"  # signs receipts; apart, because partners pin its public half
SECRET_BYTES = 32  # as strong as AES-256 and SHA-256 can use

_LAYOUT = re.compile(r"tongbao key v1, made in (development|production) mode\n([0-9a-f]{64})\n")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_FILE_BYTES = 4096  # many times a key file; whatever is longer is not one


class KeyRefused(Exception):
    """A key file that must not or cannot be used. The text names the file and what to do, and never holds the key."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a key file holds."""

    secret: bytes = field(repr=False)
    is_development: bool

    def derive(self, purpose: str, name: str = "") -> bytes:
        """32 bytes for one purpose, and within it for one name: none of them tells anything about another.

        `purpose` is a constant of the code without a zero byte, so no two pairs of arguments mean the same.
        """
        return hmac.digest(self.secret, f"tongbao.{purpose}.v1\0{name}".encode(), hashlib.sha256)


def load_or_create(path: Path, *, is_production: bool, draw_seed: Callable[[], bytes]) -> Key:
    """The key in `path`, made there from `draw_seed()` (32 random bytes) if there is none yet.

    Each mode makes its own keys at first start. Production raises KeyRefused for one made in development: it may have
    been shown, copied or committed. So does either mode for a file that others may read, or that is not a key.
    """
    try:
        if not path.exists():
            _create(path, "production" if is_production else "development", draw_seed())
        key = _read(path)
    except OSError as error:
        raise KeyRefused(f"{path} cannot be made or read ({error.strerror}): the hub's account must own it") from error
    if is_production and key.is_development:
        raise KeyRefused(
            f"{path} was made in development mode and is not used in production: set HUB_DATA to a new folder, "
            "where production makes its own keys. What the old key sealed or signed stays with the old folder"
        )
    return key


def _create(path: Path, mode: str, secret: bytes) -> None:
    """Written beside and linked into place: two processes at first start both end with the same whole key."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a key is made from {SECRET_BYTES} bytes")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from its first moment
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"tongbao key v1, made in {mode} mode\n{secret.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        _sync(path.parent)  # before anything is sealed: a key lost with the power would take its salts along
    except FileExistsError:
        pass  # another process was first: its key is the key
    finally:
        os.unlink(draft)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Key:
    if path.stat().st_mode & _OTHERS:
        raise KeyRefused(f"{path} may be read or changed by other accounts: run `chmod 600 {path}`")
    with path.open("rb") as file:
        text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    found = _LAYOUT.fullmatch(text)
    if found is None:
        raise KeyRefused(f"{path} is no key file, or a damaged one: restore it from your backup")
    return Key(bytes.fromhex(found[2]), is_development=found[1] == "development")
