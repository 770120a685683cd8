"""The commands beside `hub serve`: what each prints, how it ends, and that a mistake is one line and no trace."""

import json
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from hub.chain.keys import prepare_embedded
from hub.domain.records import KeyRole
from hub.entry.serving import listen
from tests.chain.keyring import account_of
from tests.entry.hubs import House, done, refused, until
from tests.entry.toys import settings_of

PASSWORD = "correct horse 7f3a"
HEAD = (
    "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,"
    "published_timestamp,subject\n"
)
MAPPING_HEAD = "platform,external_id,course_id,other_platform,other_external_id\n"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An empty data folder on SQLite."""
    opened = House(tmp_path / "data")
    yield opened
    await opened.aclose()


# ---- demo ------------------------------------------------------------------------------------------------------------


async def test_demo_on_a_port_that_is_taken_says_which_and_sells_nothing(house: House) -> None:
    with listen(settings_of(port="0")) as taken:
        port = taken.getsockname()[1]
        said = await refused(house, "demo", "--once", "--port", str(port))
    assert f"cannot listen on port {port} of 127.0.0.1: Address already in use; choose another by --port" in said
    assert await house.rows("SELECT id FROM order_") == []


# ---- import ----------------------------------------------------------------------------------------------------------


def catalogue(house: House, name: str, rows: int) -> str:
    path = house.data.with_name(f"{name}.csv")
    lines = [
        f"{name}-{row},{name} {row},https://example.org/{row},True,20,1,1,1,All Levels,1.5,2017-01-18T20:58:58Z,Knots\n"
        for row in range(rows)
    ]
    path.write_text(HEAD + "".join(lines))
    return str(path)


def mapping(house: House, text: str) -> str:
    path = house.data.with_name("mapping.csv")
    path.write_text(text)
    return str(path)


async def test_import_puts_mapped_listings_under_the_courses_that_are_there(house: House) -> None:
    await done(house, "import", catalogue(house, "a", 2), "--platform", "lumen", "--format", "udemy")
    listings = "SELECT external_id, course_id FROM listing ORDER BY external_id"
    [(_, first), (_, second)] = await house.rows(listings)
    text = f"folio,b-0,,lumen,a-0\nfolio,b-1,{second},,\nelse,x,,nobody,y\n"
    asked = ["import", catalogue(house, "b", 3), "--platform", "folio", "--format", "udemy", "--mapping"]
    said = await done(house, *asked, mapping(house, MAPPING_HEAD + text))
    assert said[0] == "hub: b.csv: 3 rows, 3 listings"
    assert said[1].startswith("hub: 3 added, 0 changed, 0 unchanged, 0 withdrawn")
    by_id = dict(await house.rows(listings))
    assert (by_id["b-0"], by_id["b-1"]) == (first, second)
    assert by_id["b-2"] not in (first, second)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("slug,id\nfolio,b-0\n", "mapping.csv is no mapping: "),
        (MAPPING_HEAD + "folio,b-0,,,\n", "mapping.csv, line 2: "),
        (MAPPING_HEAD + "folio,b-0,,lumen,a-0\n", "line 2: lumen has no listing 'a-0' yet: import that platform first"),
        (MAPPING_HEAD + "folio,b-0,crs_none,,\n", "line 2: there is no course 'crs_none'"),
        (None, "No such file"),
    ],
)
async def test_import_with_a_bad_mapping_says_where_and_touches_nothing(
    house: House, text: str | None, reason: str
) -> None:
    await done(house, "migrate")
    file = "nowhere.csv" if text is None else mapping(house, text)
    asked = ["import", catalogue(house, "b", 1), "--platform", "folio", "--format", "udemy", "--mapping", file]
    process = await house.begin(*asked)
    assert await process.ended() == 2, process.said
    assert reason in process.said
    assert "Traceback" not in process.said
    assert await house.rows("SELECT slug FROM platform") == []


# ---- worker ----------------------------------------------------------------------------------------------------------


async def test_worker_on_sqlite_is_refused_with_the_reason(house: House) -> None:
    said = await refused(house, "worker")
    assert said == "hub: `hub worker` needs PostgreSQL: on SQLite `hub serve` is the worker too"
    assert not (house.data / "hub.sqlite3").exists()


async def test_worker_beside_a_server_on_postgresql_claims_what_that_one_does_not(
    tmp_path: Path, postgres_url: str
) -> None:
    house = House(tmp_path / "data", postgres_url)
    try:
        server = await house.serve()
        worker = await house.begin("worker")
        await until(lambda: said(worker, "hub: working"), within_s=60, what="a worker")
        server.send(signal.SIGSTOP)  # it lives, and does nothing
        await house.change(
            "INSERT INTO task (kind, key, body, attempts, run_at_us) VALUES ('nobodys', 'k', '{}', 0, 0)"
        )
        tried = "SELECT last_error FROM task WHERE key = 'k' AND attempts = 1 AND lease_until_us IS NULL"
        await until(lambda: rows(house, tried), what="a try")
        assert await house.rows(tried) == [("KeyError: 'nobodys'",)]
        server.send(signal.SIGCONT)
        assert await worker.stop() == 0
        assert server.code is None
    finally:
        await house.aclose()


async def said(process: Any, line: str) -> bool:
    return line in process.said.splitlines()


async def rows(house: House, sql: str) -> list[tuple[Any, ...]]:
    return await house.rows(sql)


# ---- log, migrate, tasks ---------------------------------------------------------------------------------------------


async def test_log_prints_events_in_their_order_from_a_position_on(house: House) -> None:
    await done(house, "import", catalogue(house, "a", 4), "--platform", "lumen", "--format", "udemy")
    events = [json.loads(line) for line in await done(house, "log")]
    assert [event["position"] for event in events] == sorted(event["position"] for event in events)
    assert {event["stream"] for event in events} == {"hub"}
    assert len(events) == len(await house.rows("SELECT 1 FROM event WHERE stream = 'hub'")) >= 4
    some = await done(house, "log", "--after", str(events[0]["position"]), "--limit", "2")
    assert [json.loads(line) for line in some] == events[1:3]
    assert await done(house, "log", "--stream", "usr_nobody") == []


async def test_migrate_brings_an_empty_folder_to_the_head_and_then_does_nothing(house: House) -> None:
    first = await done(house, "migrate")
    [(revision,)] = await house.rows("SELECT version_num FROM alembic_version")
    assert first == [f"hub: the database is at revision {revision}"]
    assert await done(house, "migrate") == first
    assert stat.S_IMODE((house.data / "hub.sqlite3").stat().st_mode) == 0o600


async def test_dead_task_is_listed_and_tried_again_or_dropped_once(house: House) -> None:
    await done(house, "migrate")
    for key in ("again", "never"):
        await house.change(
            "INSERT INTO dead_task (kind, key, body, attempts, last_error, died_at_us)"
            f" VALUES ('platform_access', '{key}', '{{}}', 30, 'it said no', 1)"
        )
    listed = await done(house, "tasks", "list")
    assert [line.split() for line in listed[1:]] == [
        ["dead", "1", "30", "platform_access", "again", "it", "said", "no"],
        ["dead", "2", "30", "platform_access", "never", "it", "said", "no"],
    ]
    assert await done(house, "tasks", "retry", "1") == ["hub: task 1 is tried again"]
    assert await done(house, "tasks", "drop", "2") == ["hub: task 2 is dropped"]
    [_, left] = await done(house, "tasks", "list")
    assert left.split() == ["due", "1", "0", "platform_access", "again"]
    assert await house.command("tasks", "drop", "2") == (1, "hub: no such dead task\n")
    assert await refused(house, "tasks", "retry") == (
        "hub: `hub tasks retry` needs the id of a dead task: see `hub tasks list`"
    )


# ---- contracts, on a node of somebody's ------------------------------------------------------------------------------


async def test_deploying_on_a_node_by_url_with_a_keystore_is_done_once_and_mistakes_are_named(
    house: House, tmp_path: Path
) -> None:
    """Everything in one test: a node takes a second to start."""
    theirs = House(tmp_path / "chain")
    async with theirs.node_kept():
        node = json.loads((theirs.data / "node.json").read_text())
        chain = {"HUB_CHAIN_URL": f"http://127.0.0.1:{node['port']}"}
        bring_keys(house.data, prepare_embedded(theirs.data))
        opened = chain | {"HUB_CHAIN_GATEWAY_PASSWORD": PASSWORD}

        for environ in (chain, chain | {"HUB_CHAIN_GATEWAY_PASSWORD": "wrong 9c2e"}):
            reason = await refused(house, "contracts", "deploy", **environ)
            assert reason.endswith("gateway.json holds no key that can be read; a keystore needs its password")
            assert "9c2e" not in reason

        first = await done(house, "contracts", "deploy", **opened)
        assert first[0].startswith(f"hub: entitlement_hub on chain {node['chain_id']} at 0x")
        assert (await done(house, "contracts", "deploy", **opened))[0].split(",")[0] == first[0].split(",")[0]
        assert await house.rows("SELECT chain_id FROM contract") == [(node["chain_id"],)]
        assert not (house.data / "node.json").exists()  # no node of its own

        (house.data / "keys" / "deployer.key").chmod(0o644)
        assert "can be read by others" in await refused(house, "contracts", "deploy", **opened)

        elsewhere = House(tmp_path / "elsewhere")  # keys of another chain
        prepare_embedded(elsewhere.data)
        reason = await refused(elsewhere, "contracts", "deploy", **chain)
        assert f"has no funds on chain {node['chain_id']}: send it some" in reason
    away = await refused(elsewhere, "contracts", "deploy", **chain)
    assert away.startswith("hub: the node does not answer")
    await elsewhere.aclose()


def bring_keys(data: Path, keys: Any) -> None:
    """The operator's own: the deployer's key as it is, the gateway's under a password."""
    folder = data / "keys"
    folder.mkdir(parents=True)
    sealed = Account.encrypt(account_of(keys.gateway).key, PASSWORD, kdf="pbkdf2", iterations=2)
    deployer, revoker = (account_of(keys.held[role]).key.hex() for role in (KeyRole.DEPLOYER, KeyRole.REVOKER))
    for name, text in (
        ("deployer.key", deployer), ("revoker.key", revoker), ("gateway.json", json.dumps(sealed))
    ):  # fmt: skip
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
