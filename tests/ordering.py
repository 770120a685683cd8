"""In which order the files of a distributed run begin: those with few long tests lie among those with many short ones.

xdist begins with the files that have the most tests. The few that wait for processes or compute for long would then be
the last, with nothing beside them; so every third file is one of theirs, the longest first.
"""

from collections.abc import Sequence

import pytest

# By seconds on two quiet cores, those above five; `pytest --durations=60` tells them.
LONG = (
    "tests/test_readme.py",
    "tests/entry/test_real_catalogues.py",
    "tests/entry/test_outages.py",
    "tests/entry/test_killed.py",
    "tests/entry/test_streams.py",
    "tests/entry/test_commands.py",
    "tests/chain/test_embedded.py",
    "tests/entry/test_serving.py",
    "tests/contracts/test_artifacts.py",
    "tests/entry/test_scaleout.py",
    "tests/entry/test_first_sale.py",
    "tests/entry/test_worker.py",
    "tests/resolvers/test_every_field.py",
    "tests/chain/test_node_crash.py",
    "tests/chain/test_node_life.py",
    "tests/store/test_writers.py",
    "tests/store/test_log.py",
    "tests/entry/test_contract_commands.py",
    "tests/entry/test_stablecoin_sale.py",
    "tests/entry/test_settling.py",
    "tests/entry/test_offices.py",
    "tests/entry/test_graphql_ws.py",
    "tests/store/test_migrations.py",
    "tests/store/test_tasks.py",
    "tests/simulation/test_simulation.py",
    "tests/chain/test_node_calls.py",
    "tests/flows/test_catalogue.py",
    "tests/entry/test_docs.py",
    "tests/test_bench.py",
    "tests/entry/test_examples_verify_rights.py",
    "tests/entry/test_deliveries.py",
    "tests/entry/test_webhooks_page.py",
    "tests/test_architecture.py",
    "tests/chain/test_client.py",
    "tests/flows/test_crashes.py",
    "tests/flows/test_walk.py",
    "tests/flows/test_units.py",
    "tests/resolvers/test_fuzz.py",
    "tests/entry/test_full_disk.py",
    "tests/store/test_log_retention.py",
    "tests/store/test_bad_network.py",
    "tests/test_servers.py",
)
BESIDE = 2  # others, after each of these


def mixed(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The same tests, file by file."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    long = [name for name in LONG if name in files]
    others = sorted(files.keys() - set(long), key=lambda name: (-len(files[name]), name))
    order: list[str] = []
    for number, name in enumerate(long):
        order += [name, *others[number * BESIDE : (number + 1) * BESIDE]]
    order += others[len(long) * BESIDE :]
    return [item for name in order for item in files[name]]
