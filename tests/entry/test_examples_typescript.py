"""The example in TypeScript, as its README says: types from the hub's schema, compiled, and a course bought by it."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from hub.entry.demo_client import Client, pay_by_card
from tests.entry.hubs import House, put_on_sale
from tests.entry.npm import installed

EXAMPLE = Path(__file__).parents[2] / "hub/docs/examples/typescript"
WITHIN_S = 120.0  # codegen and tsc take 4 s each of a processor that nobody else wants

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@dataclass(slots=True)
class Program:
    """The example, built against a hub with two courses on sale."""

    folder: Path
    environ: dict[str, str]

    async def begin(self, *command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=os.environ | self.environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *command: str) -> tuple[int, list[str], str]:
        """The exit code, what it wrote by lines, and its complaints."""
        process = await self.begin(*command)
        try:
            written, complaints = await asyncio.wait_for(process.communicate(), WITHIN_S)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        return process.returncode, written.decode().splitlines(), complaints.decode()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def program(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    packages = await asyncio.to_thread(installed, EXAMPLE)
    folder = tmp_path_factory.mktemp("typescript")
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules", "gql", "dist"))
    (folder / "node_modules").symlink_to(packages / "node_modules")
    house = House(folder / "hub")
    try:
        hub = await house.serve()
        async with Client(hub.origin, await house.token("partner", platform="lumen")) as seller:
            for title in ("Double Entry", "Merkle Trees"):
                await put_on_sale(seller, title)
        program = Program(folder, {"HUB_URL": f"{hub.origin}/graphql", "HUB_TOKEN": await house.token("learner")})
        for script in ("codegen", "build"):
            code, written, complaints = await program.run("npm", "run", "--silent", script)
            assert code == 0, (written, complaints)
        yield program
    finally:
        await house.aclose()


async def test_the_program_buys_with_a_test_card_and_ends_when_the_course_is_open(program: Program) -> None:
    code, written, complaints = await program.run("npm", "start", "--silent", "--", "merkle", "pm_card_visa")
    assert code == 0, complaints
    assert re.fullmatch(r"order TB[0-9A-Z]{13}", written.pop(1))
    assert written == [
        "Merkle Trees, sold by Lumen at 49.00 USD",
        "ORDER_CREATED",
        "PAYMENT_ATTEMPT_CHANGED SUBMITTED",
        "PAYMENT_ATTEMPT_CHANGED CHARGED",
        "ORDER_PAID",
        "ENTITLEMENT_GRANTED",
        "Merkle Trees is open",
    ]
    code, written, complaints = await program.run("npm", "start", "--silent", "--", "merkle", "pm_card_visa")
    assert (code, written) == (1, ["Merkle Trees, sold by Lumen at 49.00 USD"])
    assert "you have this course already" in complaints


async def test_without_a_card_it_waits_for_the_buyer_at_the_providers_page(program: Program) -> None:
    process = await program.begin("npm", "start", "--silent", "--", "double")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            written = [(await process.stdout.readline()).decode().strip() for _ in range(5)]
            assert written[2].startswith("pay at http://127.0.0.1:")
            await pay_by_card(written[2].removeprefix("pay at "), "4242 4242 4242 4242")
            rest = (await process.stdout.read()).decode().splitlines()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    assert rest[-1] == "Double Entry is open"


async def test_what_nobody_sells_is_the_programs_own_reason(program: Program) -> None:
    code, written, complaints = await program.run("npm", "start", "--silent", "--", "knitting")
    assert (code, written) == (1, [])
    assert "nothing for sale is called knitting" in complaints
