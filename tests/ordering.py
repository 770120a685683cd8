"""In which order the files of a distributed run begin: those that mostly wait lie among those that compute.

xdist begins with the files that have the most tests. The few tests that wait for processes would then be the last, with
nothing beside them to compute; so every third file is one of theirs, the longest first.
"""

from collections.abc import Sequence

import pytest

WAITING = (
    "tests/test_readme.py",
    "tests/entry/test_real_catalogues.py",
    "tests/entry/test_outages.py",
    "tests/entry/test_killed.py",
    "tests/entry/test_commands.py",
    "tests/entry/test_serving.py",
    "tests/entry/test_scaleout.py",
    "tests/entry/test_first_sale.py",
    "tests/entry/test_streams.py",
    "tests/entry/test_worker.py",
    "tests/store/test_writers.py",
    "tests/store/test_log.py",
    "tests/test_servers.py",
    "tests/store/test_bad_network.py",
)
BESIDE = 2  # files that compute, after each that waits


def mixed(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The same tests, file by file."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    waiting = [name for name in WAITING if name in files]
    computing = sorted(files.keys() - set(waiting), key=lambda name: (-len(files[name]), name))
    order: list[str] = []
    for number, name in enumerate(waiting):
        order += [name, *computing[number * BESIDE : (number + 1) * BESIDE]]
    order += computing[len(waiting) * BESIDE :]
    return [item for name in order for item in files[name]]
