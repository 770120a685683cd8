"""The page on sign-in: its program, as it stands there, signs a learner in."""

import asyncio
import json
import re
import sys
from pathlib import Path

from hub.entry.app import create_app
from hub.entry.settings import read_settings
from hub.entry.wiring import SystemClock
from hub.store.database import open_store
from hub.store.transactions import Tx
from schema import schema
from tests.entry.toys import served
from tests.flows.benches import Bench
from tests.partners import HUB, Partner
from tests.world import World

PAGE = Path(__file__).parents[2] / "hub/docs/sign-in.md"
WITHIN_S = 60.0


async def test_the_program_of_the_page_signs_a_learner_in(sqlite_url: str, tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "sign_in.py").write_text(program)
    store = await open_store(sqlite_url)
    bench = Bench(store, World(store))
    partner = Partner((await bench.world.platform()).id, id=bench.world.draw().id("iss"))
    (tmp_path / "key.json").write_text(json.dumps(partner.key.as_dict(private=True)))

    async def put(tx: Tx) -> None:
        assert await tx.issuers.add(partner.trusted())

    await store.write(put)
    bench.world.clock = SystemClock()  # type: ignore[assignment]  # the program goes by the real one
    app = create_app(bench.hub, read_settings({"HUB_PUBLIC_URL": HUB}), schema=schema)
    async with served(app) as address:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "sign_in.py", f"http://{address}", partner.id, "m-1", "key.json"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    await store.aclose()
    assert process.returncode == 0
    assert b"'scope': 'entitlements:read orders:read orders:write'" in told
