"""The node of the embedded chain: its backend in this process, or the program."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain.inside import Chain
from tests.chain.nodes import Node, running


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A fresh one, with time that moves only when told."""
    chain = Chain(tmp_path)
    yield chain
    chain.backend.close()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One for all that ask: no test may need what another has not sent."""
    with running(tmp_path_factory.mktemp("chain"), HUB_CHAIN_TEST_HOOKS="1") as node:
        yield node
