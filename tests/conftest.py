"""Fixtures that every ring's tests may ask for: databases of both engines, each fresh and empty."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PostgresServer, open_postgres


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
