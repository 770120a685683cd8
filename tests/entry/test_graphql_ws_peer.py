"""The `graphql-ws` client of npm, unmodified, against our server: what front ends use is what must work."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.entry.test_graphql_ws import until
from tests.entry.toys import USER, ToyHub, app_of, served

PEERS = Path(__file__).parents[1] / "peers"
WITHIN_S = 60.0
INSTALL_WITHIN_S = 90.0


@pytest.fixture(scope="session")
def peers() -> Path:
    """A folder with the peers and their packages. Skips, or fails on a CI machine, where node or they are missing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed")
    if (PEERS / "node_modules" / "graphql-ws").is_dir():
        return PEERS
    lock = hashlib.sha256((PEERS / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"tongbao-test-peers-{os.getuid()}-{lock}"
    if not (folder / "installed").exists():
        if os.environ.get("CI") != "true":
            missing(f"the packages of {PEERS.name}/package-lock.json are not installed: run `npm ci` in tests/peers")
        install(folder)
    for script in PEERS.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true")
    pytest.skip(f"{reason}: this test of a real client was NOT run")


def install(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(PEERS / name, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--omit=optional"], cwd=folder, check=True, timeout=INSTALL_WITHIN_S
    )
    (folder / "installed").touch()


async def test_graphql_ws_client_runs_query_mutation_and_subscription(peers: Path) -> None:
    toys = ToyHub()
    async with served(app_of(toys)) as address:
        process = await asyncio.create_subprocess_exec(
            *("node", "graphql_ws.mjs", f"ws://{address}/graphql", toys.token()),
            cwd=peers,
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
        await until(lambda: toys.followers == 0)
    assert process.returncode == 0
    assert json.loads(told) == {
        "query": [{"data": {"viewer": USER, "echo": "知识"}}],
        "mutation": [{"data": {"buy": 5}}],
        "subscription": [{"data": {"count": 1}}, {"data": {"count": 2}}, {"data": {"count": 3}}],
        "left": {"data": {"forever": 0}},
        "refused": ["BAD_USER_INPUT"],
        "together": [[{"data": {"viewer": USER}}], [{"data": {"count": 1}}]],
    }
    assert toys.bought == [5]
