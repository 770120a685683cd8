"""`python -m tests.lock`: constraints.txt pins all that the project and its extra `test` install, and no more."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).parent.parent / "constraints.txt"


def needed(name: str, extras: frozenset[str] = frozenset(), seen: set[tuple[str, str]] | None = None) -> Iterator[str]:
    """Every distribution that `name[extras]` needs on this machine, itself left out."""
    seen = set() if seen is None else seen
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        wanted = frozenset(requirement.extras)
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            continue
        key = (canonicalize_name(requirement.name), ",".join(sorted(wanted)))
        if key not in seen:
            seen.add(key)
            yield key[0]
            yield from needed(key[0], wanted, seen)


def faults() -> list[str]:
    """What is wrong with the lock, a line each."""
    lines = [line.strip() for line in LOCK.read_text().splitlines() if line.strip() and not line.startswith("#")]
    odd = [f"not a pin: {line}" for line in lines if "==" not in line or line.startswith("-") or "://" in line]
    pins = {canonicalize_name(line.split("==")[0]): line.split("==")[1].split(";")[0].strip() for line in lines}
    wanted = set(needed("tongbao", frozenset({"test"})))
    found = []
    for name in sorted(wanted):
        try:
            version = distribution(name).version
        except PackageNotFoundError:
            continue  # another platform's, or another Python's
        if pins.get(name) != version:
            found.append(f"{name} {version} is installed, the lock says {pins.get(name, 'nothing')}")
    return odd + found + [f"{name} is pinned and not needed" for name in sorted(pins.keys() - wanted)]


if __name__ == "__main__":
    wrong = faults()
    sys.stdout.write("\n".join(wrong) + "\n" if wrong else "the lock is complete\n")
    sys.exit(bool(wrong))
