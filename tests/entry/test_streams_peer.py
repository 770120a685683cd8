"""npm's `graphql-ws` and `graphql-sse`, unmodified, read the same events as a reader of Apollo's multipart parts."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.entry.live import Live, http_reader, live
from tests.entry.npm import installed
from tests.entry.test_streams import MULTIPART, taken

PEERS = Path(__file__).parents[1] / "peers" / "streams"
WITHIN_S = 60.0
NUMBER = 150
DOCUMENT = 'subscription { events(after: "") { id cursor kind subjectVersion payload { __typename } } }'

pytestmark = pytest.mark.browser


async def told_by(transport: str, hub: Live, folder: Path) -> Any:
    process = await asyncio.create_subprocess_exec(
        *("node", "streams.mjs", transport, f"http://{hub.address}/graphql", "one", str(NUMBER)),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    assert process.returncode == 0
    return json.loads(told)


async def test_clients_of_three_transports_read_the_same_events(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = installed(PEERS)
    async with live(sqlite_url, monkeypatch) as hub:
        await hub.happen(NUMBER - 10)

        async def happening() -> None:
            for _ in range(10):
                await asyncio.sleep(0.1)
                await hub.happen()

        writing = asyncio.create_task(happening())
        by_socket, by_sse = await asyncio.gather(told_by("ws", hub, folder), told_by("sse", hub, folder))
        async with http_reader(hub, MULTIPART, DOCUMENT) as opened:
            by_hand = await taken(opened, NUMBER)
        await writing
        await hub.until(lambda: hub.streaming.fanout.waiting == 0)
    assert [event["subjectVersion"] for event in by_hand] == list(range(1, NUMBER + 1))
    assert by_socket == {"events": by_hand, "wrong": ["BAD_USER_INPUT"], "refused": 4403}
    assert by_sse == {"events": by_hand, "wrong": ["BAD_USER_INPUT"], "refused": 401}
