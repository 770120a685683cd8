"""What is committed is what the sources give: artifacts, their hashes, the gas table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from eth_utils import keccak

from contracts import artifact, build
from tests.contracts import gas
from tests.contracts.evm import Hub


def test_committed_artifacts_equal_a_fresh_compile() -> None:
    assert build.build(check=True) == []


def test_the_chain_holds_the_code_that_the_artifact_names(hub: Hub) -> None:
    assert keccak(hub.evm.code(hub.address)) == artifact("entitlement_hub").runtime_hash


def test_a_stale_missing_or_orphaned_artifact_is_named_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = tmp_path / "artifacts"
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setattr(build, "ARTIFACTS", artifacts)
    (tmp_path / "one.vy").write_text("# pragma version 0.4.3\nanswer: public(constant(uint256)) = 42\n")
    assert build.build(check=True) == ["one.json"]
    assert not artifacts.exists()
    assert build.build(check=False) == ["one.json"]
    fresh = (artifacts / "one.json").read_bytes()
    (artifacts / "one.json").write_text("{}")
    (artifacts / "gone.json").write_text("{}")
    assert build.build(check=True) == ["gone.json", "one.json"]
    assert build.build(check=False) == ["gone.json", "one.json"]
    assert {path.name: path.read_bytes() for path in artifacts.iterdir()} == {"one.json": fresh}
    assert build.build(check=True) == []


def test_reading_an_artifact_imports_no_compiler() -> None:
    code = "import sys, contracts; contracts.artifact('entitlement_hub'); sys.exit('vyper' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_artifact_is_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        artifact("no_such_contract")


def test_the_gas_table_is_current() -> None:
    assert gas.TABLE.read_text(encoding="utf-8") == gas.table()


def test_gas_stays_under_its_goals() -> None:
    measured = json.loads(gas.TABLE.read_text(encoding="utf-8"))
    anchor = {row["orders"]: row for row in measured["anchor"]}
    assert sorted(anchor) == [1, 16, 64, 256, 1_024]
    assert max(row["gas"] for row in anchor.values()) <= 50_000
    assert anchor[256]["gas_per_order"] <= 200
    assert anchor[1_024]["gas_per_order"] <= 50
    assert {row["orders"]: row["gas"] for row in measured["verify_inside_a_contract"]}[256] <= 11_500
    assert measured["revoke_256_orders"] <= 50_000
    assert max(row["gas"] for row in measured["claim"]) <= 72_000
    assert measured["settle"] <= 85_000
    assert measured["deploy"]["code_bytes"] <= 24_576
