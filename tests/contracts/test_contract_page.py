"""hub/docs/contracts.md: each test that a risk names is there, and roles and pause are those of the code."""

import re
from pathlib import Path

import pytest

from contracts import artifact
from tests.contracts import evm

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "hub/docs/contracts.md").read_text(encoding="utf-8")
RISKS = 11  # rows of the design's table of failure modes


def section(name: str) -> str:
    (text,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return str(text)


def test_each_risk_names_tests_that_are_there() -> None:
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.M)
    }
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", section("Threat model"), re.M)[1:]
    rows = [row for row in rows if set(row[0]) != {"-"}]
    assert len(rows) == RISKS
    for risk, _, tests in rows:
        named = re.findall(r"`(\w+)`", tests)
        assert len(named) >= 2, risk
        assert set(named) <= written, risk


@pytest.mark.parametrize("role", ["GATEWAY", "PAUSER", "REVOKER", "SIGNER", "MINTER"])
def test_roles_have_the_bits_that_the_page_tells(role: str, hub: evm.Hub) -> None:
    assert f"| {role} {hub.ask(role)[0]} |" in section("Roles")


def test_functions_that_the_page_names_are_in_the_contracts() -> None:
    functions = {
        entry["name"] for name in ("entitlement_hub", "checkout_splitter") for entry in artifact(name).abi
        if entry["type"] == "function"
    }  # fmt: skip
    named = set(re.findall(r"`([a-z]\w*)`", section("Roles") + section("Pause")))
    assert named - functions == set()
    assert len(named) > 15
