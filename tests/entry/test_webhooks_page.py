"""What hub/docs/webhooks.md shows, done as it is written: a real hub, the page's own receiver as a process."""

import asyncio
import re
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import httpx

from hub.entry.demo_client import Client
from hub.entry.docs import page
from tests.entry.hubs import House, until
from tests.servers import free_port

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page("webhooks")) if found == kind]


async def test_the_five_minutes_of_the_page(tmp_path: Path) -> None:
    [receiver], [hook, listed, log] = blocks("python"), blocks("graphql")
    assert "HUB_WEBHOOK_ALLOW=127.0.0.1 .venv/bin/hub serve" in blocks("sh")[0]
    (tmp_path / "receiver.py").write_text(receiver)
    port = free_port()
    house = House(tmp_path / "data")
    try:
        hub = await house.serve(HUB_WEBHOOK_ALLOW="127.0.0.1")
        token = await house.token("partner", platform="shop")
        async with Client(hub.origin, token) as partner:
            made = (await partner.query(hook.replace("9000", str(port)), {}))["webhookEndpointCreate"]
            assert (made["userErrors"], made["webhookEndpoint"]["state"]) == ([], "ACTIVE")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "receiver.py", str(port), made["secret"], cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert process.stdout is not None

            async def is_logged() -> Any:
                nodes = (await partner.query(log, {}))["webhookDeliveries"]["nodes"]
                return nodes if [node["state"] for node in nodes] == ["DELIVERED"] else None

            try:
                await until(lambda: listening(port), what="the receiver")
                assert (await partner.query(listed, {}))["listingUpsert"]["userErrors"] == []
                line = await asyncio.wait_for(process.stdout.readline(), 30)
                [delivery] = await until(is_logged, what="the delivery's end")  # its answer follows what it prints
            finally:
                process.kill()
                await process.wait()
            shown = literal_eval(blocks("text")[0].strip())
            told = literal_eval(line.decode())
            assert told | {"id": "evt_…"} == shown

            assert [(one["outcome"], one["status"]) for one in delivery["tries"]] == [("DELIVERED", 204)]
            async with httpx.AsyncClient(trust_env=False, verify=False) as anybody:
                figures = (await anybody.get(f"{hub.origin}/metrics")).text
            assert 'hub_webhook_attempts{outcome="DELIVERED"} 1\n' in figures
        assert made["secret"] not in hub.said
    finally:
        await house.aclose()


async def listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
