"""hub/docs/contracts.md: each test that a risk names is there, and roles and pause are those of the code."""

import re
from pathlib import Path

import pytest

from contracts import artifact
from hub.domain.contracts import CHECKOUT_SPLITTER, ENTITLEMENT_HUB, ROLES
from tests.contracts.splitter import Shop

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


@pytest.mark.parametrize("contract", ROLES)
def test_roles_have_the_bits_that_the_page_tells(contract: str, shop: Shop) -> None:
    asked = {ENTITLEMENT_HUB: shop.hub, CHECKOUT_SPLITTER: shop.splitter}[contract]
    assert list(ROLES[contract]) == [1 << place for place in range(len(ROLES[contract]))]
    for role in ROLES[contract]:
        assert asked.ask(role.name) == role
        assert f" {role.name} {role.value} " in section("Roles")


def test_functions_that_the_page_names_are_in_the_contracts() -> None:
    functions = {
        entry["name"] for name in ROLES for entry in artifact(name).abi
        if entry["type"] == "function"
    }  # fmt: skip
    named = set(re.findall(r"`([a-z]\w*)`", section("Roles") + section("Pause")))
    assert named - functions == set()
    assert len(named) > 15
