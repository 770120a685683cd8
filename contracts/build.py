"""Makes the committed artifacts from their Vyper sources; the only module that needs the compiler."""

import json
from hashlib import sha256
from pathlib import Path

import vyper  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.compiler import compile_code  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.compiler.settings import OptimizationLevel, Settings  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.utils import keccak256  # type: ignore[import-untyped]  # the compiler ships no types

SOURCES = Path(__file__).parent
ARTIFACTS = SOURCES / "artifacts"
EVM_VERSION = "prague"  # the rules of the embedded node; newer opcodes would fail there
OPTIMIZE = OptimizationLevel.GAS  # a contract is called far more often than deployed


def build(check: bool) -> list[str]:
    """Compiles every contract and brings the artifacts up to date; with `check` it only looks.

    Gives the names of the files that differ (check) or were changed, sorted; an artifact without source is removed.
    Raises the compiler's exception for a source that does not compile. The bytes depend on source and compiler alone.
    """
    wanted = {f"{source.stem}.json": compile_artifact(source) for source in sorted(SOURCES.glob("*.vy"))}
    stale = {path.name for path in ARTIFACTS.glob("*.json")} - wanted.keys()
    changed = {name for name, text in wanted.items() if _committed(name) != text}
    if not check:
        ARTIFACTS.mkdir(exist_ok=True)
        for name in changed:
            (ARTIFACTS / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        for name in stale:
            (ARTIFACTS / name).unlink()
    return sorted(changed | stale)


def compile_artifact(source: Path) -> str:
    """The artifact of one contract as JSON text."""
    text = source.read_text(encoding="utf-8")
    # Named by its file alone and without metadata, so that the bytes do not depend on where the repository lies.
    compiled = compile_code(
        text,
        contract_path=source.name,
        output_formats=("abi", "bytecode", "bytecode_runtime"),
        settings=Settings(evm_version=EVM_VERSION, optimize=OPTIMIZE),
        no_bytecode_metadata=True,
    )
    content = {
        "name": source.stem,
        "compiler": {
            "name": "vyper",
            "version": vyper.__version__,
            "evmVersion": EVM_VERSION,
            "optimize": str(OPTIMIZE),
        },
        "sourceHash": "sha256:" + sha256(text.encode()).hexdigest(),
        "runtimeHash": keccak256(bytes.fromhex(compiled["bytecode_runtime"].removeprefix("0x"))).hex(),
        "bytecode": compiled["bytecode"].removeprefix("0x"),
        "abi": compiled["abi"],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _committed(name: str) -> str | None:
    path = ARTIFACTS / name
    return path.read_text(encoding="utf-8") if path.exists() else None
