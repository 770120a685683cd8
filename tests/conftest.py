"""Fixtures that every ring's tests may ask for: databases of both engines, fresh and empty or fresh and migrated."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from hub.store.database import open_store
from hub.store.migrate import migrate
from hub.store.transactions import Store
from tests.databases import Lending
from tests.ordering import mixed
from tests.servers import PostgresServer, open_postgres
from tests.world import World


def pytest_configure() -> None:
    """Let Python keep what it has compiled, whatever the environment says: a run starts more than a hundred processes,
    and each would compile the whole hub anew, for more than a second."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only where several processes share the tests: who runs some of them sees them in their own order."""
    if hasattr(config, "workerinput"):
        items[:] = mixed(items)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run; started by the first test that asks."""
    with open_postgres() as server:
        yield server


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh empty PostgreSQL database, as `postgresql://…`."""
    with postgres_server.database() as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", "postgres"])
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh empty database of each engine in turn, as HUB_DATABASE takes it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hub.sqlite3"
    dsn: str = request.getfixturevalue("postgres_dsn")  # asked for late: SQLite needs no server
    return dsn


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: a copy takes a thousandth of the time of a migration."""
    path = tmp_path_factory.mktemp("migrated") / "hub.sqlite3"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> Iterator[Lending]:
    """Lends migrated databases, one to a test."""
    with postgres_server.database() as dsn:
        _migrate(dsn)
        with closing(Lending(postgres_server, dsn)) as lending:
            yield lending


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh migrated SQLite database."""
    path = tmp_path / "store.sqlite3"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(migrated_postgres: Lending) -> Iterator[str]:
    """A migrated PostgreSQL database as good as fresh."""
    with migrated_postgres.database() as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database of each engine in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """A store on a fresh migrated database, of each engine in turn."""
    opened = await open_store(store_url)
    yield opened
    await opened.aclose()


@pytest.fixture
def world(store: Store) -> World:
    """Builders that fill `store`."""
    return World(store)


def _migrate(url: str) -> None:
    with ThreadPoolExecutor(1) as thread:  # a session's fixture may be made while a test's loop runs
        thread.submit(asyncio.run, migrate(url)).result()
