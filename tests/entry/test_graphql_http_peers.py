"""Others' word on our HTTP: every audit of npm's `graphql-http`, and two clients that send hashes for documents."""

import asyncio
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hub.entry.app import create_app
from schema import schema
from tests.entry.npm import installed
from tests.entry.toys import ToyHub, app_of, served, settings_of

WITHIN_S = 60.0

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def peers() -> Path:
    return installed(Path(__file__).parents[1] / "peers" / "graphql_http")


async def printed(folder: Path, *arguments: str) -> Any:
    """What the script wrote, as JSON."""
    process = await asyncio.create_subprocess_exec("node", *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE)
    written, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    assert process.returncode == 0
    return json.loads(written)


async def test_every_audit_of_graphql_over_http_passes(peers: Path) -> None:
    """Against the whole schema, as development serves it: its audits of variables introspect, and use GET."""
    async with served(create_app(ToyHub().hub, settings_of(), schema=schema)) as address:
        audits = await printed(peers, "audits.mjs", f"http://{address}/graphql")
    assert {id_: audit for id_, audit in audits.items() if audit["status"] != "ok"} == {}
    assert Counter(audit["name"].split()[0] for audit in audits.values()) == {"MUST": 13, "SHOULD": 23, "MAY": 25}


async def test_apollo_client_and_urql_register_a_document_once_and_send_its_hash_from_then_on(peers: Path) -> None:
    async with served(app_of(ToyHub(), documents="apq")) as address:
        told = await printed(peers, "persisted.mjs", f"http://{address}/graphql", "{ viewer }")
    assert {name: client["sent"] for name, client in told.items()} == {
        "apolloByGet": ["GET hash", "POST text", "GET hash"],
        "apolloByPost": ["POST hash", "POST text", "POST hash"],
        "urqlByGet": ["GET hash", "GET text", "GET hash"],
        "urqlByPost": ["POST hash", "POST text", "POST hash"],
        "urqlWithoutTexts": ["POST hash", "POST hash"],
    }
    assert [client["got"][1]["viewer"] for client in told.values()] == ["ANONYMOUS"] * 5


async def test_clients_run_trusted_documents_and_are_told_of_others(peers: Path, tmp_path: Path) -> None:
    """As Apollo Client writes it: with `__typename`, and printed by graphql-js."""
    text = "query ApolloByGet {\n  viewer\n}"
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({hashlib.sha256(text.encode()).hexdigest(): text}))
    app = app_of(ToyHub(), documents="trusted", documents_manifest=str(manifest))
    async with served(app) as address:
        told = await printed(peers, "persisted.mjs", f"http://{address}/graphql", "{ viewer }")
    assert told["apolloByGet"] == {"got": [{"viewer": "ANONYMOUS"}] * 2, "sent": ["GET hash"] * 2}
    assert told["urqlWithoutTexts"] == {"got": [["PERSISTED_QUERY_NOT_IN_LIST"]] * 2, "sent": ["POST hash"] * 2}
