"""What is committed is what the sources give: artifacts, their hashes, the gas table.

`hub contracts build --check` compiles all of them, in CI; here their hashes are compared, and the smallest is compiled.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from eth_utils import keccak
from vyper.ast import FunctionDef
from vyper.ast.parse import parse_to_ast

from contracts import artifact, build
from tests.contracts import gas
from tests.contracts.evm import GATE, NOBODY, OWNER, STRANGER, Hub, deploy


def test_each_artifact_names_the_sources_and_the_compiler_that_there_are() -> None:
    assert build.outdated() == []


def test_a_committed_artifact_equals_a_fresh_compile() -> None:
    committed = (build.ARTIFACTS / "test_usd.json").read_text(encoding="utf-8")
    assert build.compile_artifact(build.SOURCES / "test_usd.vy") == committed


@pytest.mark.parametrize("source", sorted(build.SOURCES.rglob("*.vy")), ids=lambda source: source.stem)
def test_every_external_function_says_what_it_does_takes_and_gives(source: Path) -> None:
    unsaid = []
    for function in parse_to_ast(source.read_text(encoding="utf-8")).get_children(FunctionDef):
        if "external" in [decorator.node_source_code for decorator in function.decorator_list]:
            said = getattr(function, "doc_string", None)
            wanted = ["@notice ", *(f"@param {argument.arg} " for argument in function.args.args)]
            wanted += ["@return "] if function.returns is not None else []
            unsaid += [f"{function.name}: {tag}" for tag in wanted if said is None or tag not in said.value]
    assert unsaid == []


@pytest.mark.parametrize(
    ("name", "immutables", "arguments"),
    [
        ("entitlement_hub", 0, (OWNER.address, GATE.address)),
        ("checkout_splitter", 1, (OWNER.address, STRANGER.address, NOBODY)),
        ("test_usd", 2, ()),
    ],
)
def test_the_chain_holds_the_code_that_the_artifact_names(
    hub: Hub, name: str, immutables: int, arguments: tuple[bytes, ...]
) -> None:
    code = hub.evm.code(deploy(hub.evm, name, *arguments))
    assert keccak(code[: len(code) - 32 * immutables]) == artifact(name).runtime_hash


def test_a_change_in_a_module_that_a_module_imports_makes_the_artifact_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setattr(build, "ARTIFACTS", tmp_path / "artifacts")
    (tmp_path / "parts").mkdir()
    (tmp_path / "one.vy").write_text("from .parts import two\n@external\ndef f() -> uint8:\n    return two._f()\n")
    (tmp_path / "parts" / "two.vy").write_text(
        "from . import three\n@internal\ndef _f() -> uint8:\n    return three.N\n"
    )
    (tmp_path / "parts" / "three.vy").write_text("N: constant(uint8) = 42\n")
    assert build.build(check=False) == ["one.json"]
    assert (build.outdated(), build.build(check=True)) == ([], [])
    (tmp_path / "parts" / "three.vy").write_text("N: constant(uint8) = 43\n")
    assert (build.outdated(), build.build(check=True)) == (["one.json"], ["one.json"])


def test_a_stale_missing_or_orphaned_artifact_is_named_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = tmp_path / "artifacts"
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setattr(build, "ARTIFACTS", artifacts)
    (tmp_path / "one.vy").write_text("# pragma version 0.4.3\nanswer: public(constant(uint256)) = 42\n")
    assert build.build(check=True) == build.outdated() == ["one.json"]
    assert not artifacts.exists()
    assert build.build(check=False) == ["one.json"]
    fresh = (artifacts / "one.json").read_bytes()
    (artifacts / "one.json").write_text("{}")
    (artifacts / "gone.json").write_text("{}")
    assert build.build(check=True) == build.outdated() == ["gone.json", "one.json"]
    assert build.build(check=False) == ["gone.json", "one.json"]
    assert {path.name: path.read_bytes() for path in artifacts.iterdir()} == {"one.json": fresh}
    assert build.build(check=True) == build.outdated() == []


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
