"""The token endpoint beside an OAuth client of others: npm's oauth4webapi, unmodified, signs a learner in."""

import asyncio
import json
from pathlib import Path

import pytest

from hub.entry.demo_client import Client
from tests.entry.hubs import House
from tests.entry.npm import installed

PEER = Path(__file__).parents[1] / "peers" / "oauth"
WITHIN_S = 60.0


@pytest.mark.browser
async def test_oauth4webapi_discovers_the_hub_and_exchanges_tokens(tmp_path: Path) -> None:
    folder = installed(PEER)
    house = House(tmp_path / "data")
    try:
        hub = await house.serve()
        operator, partner = await house.token("operator"), await house.token("partner", platform="lumen")
        async with Client(hub.origin, partner) as selling:
            platform = (await selling.query("{ viewer { platform { id } } }", {}))["viewer"]["platform"]["id"]
        process = await asyncio.create_subprocess_exec(
            "node", "exchange.mjs", hub.origin, operator, platform, cwd=folder, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    finally:
        await house.aclose()
    assert process.returncode == 0
    assert json.loads(told) == {
        "told": {
            "access_token": "string", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "bearer", "expires_in": 600, "scope": "orders:read",
        },
        "viewer": {"kind": "USER", "scopes": ["orders:read"], "user": {"state": "ACTIVE"}},
        "same": True,
        "replayed": ["ResponseBodyError", 400, "invalid_request"],
        "fetched": 2,
    }  # fmt: skip
