"""Makes the committed artifacts from their Vyper sources; the only module that needs the compiler."""

import json
from pathlib import Path

import vyper  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.compiler import compile_from_file_input  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.compiler.input_bundle import FilesystemInputBundle  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.compiler.phases import CompilerData  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.compiler.settings import OptimizationLevel, Settings  # type: ignore[import-untyped]  # the compiler ships no types
from vyper.utils import keccak256  # type: ignore[import-untyped]  # the compiler ships no types

SOURCES = Path(__file__).parent  # each file a contract; the modules that contracts import lie in folders below
ARTIFACTS = SOURCES / "artifacts"
EVM_VERSION = "prague"  # the rules of the embedded node; newer opcodes would fail there
OPTIMIZE = OptimizationLevel.GAS  # a contract is called far more often than deployed
COMPILER = {"name": "vyper", "version": vyper.__version__, "evmVersion": EVM_VERSION, "optimize": str(OPTIMIZE)}


def build(check: bool) -> list[str]:
    """Compiles every contract and brings the artifacts up to date; with `check` it only looks.

    Gives the names of the files that differ (check) or were changed, sorted; an artifact without source is removed.
    Raises the compiler's exception for a source that does not compile. The bytes depend on source and compiler alone.
    """
    wanted = {f"{source.stem}.json": compile_artifact(source) for source in _contracts()}
    orphaned = _committed_names() - wanted.keys()
    changed = {name for name, text in wanted.items() if _committed(name) != text}
    if not check:
        ARTIFACTS.mkdir(exist_ok=True)
        for name in changed:
            (ARTIFACTS / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        for name in orphaned:
            (ARTIFACTS / name).unlink()
    return sorted(changed | orphaned)


def outdated() -> list[str]:
    """The names of the artifacts that name other sources, or another compiler, than there are; sorted.

    Compiles nothing, so it takes a moment where `build(check=True)` takes many; it cannot see that bytes were changed
    by hand.
    """
    wanted = {f"{source.stem}.json": (source_hash(source), COMPILER) for source in _contracts()}
    committed = {name: json.loads(_committed(name) or "") for name in _committed_names()}
    found = {name: (content.get("sourceHash"), content.get("compiler")) for name, content in committed.items()}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def compile_artifact(source: Path) -> str:
    """The artifact of one contract as JSON text."""
    bundle = FilesystemInputBundle([source.parent])
    # Without metadata, so that the bytes do not depend on where the repository lies.
    compiled = compile_from_file_input(
        bundle.load_file(source.name),
        input_bundle=bundle,
        output_formats=("abi", "bytecode", "bytecode_runtime"),
        settings=Settings(evm_version=EVM_VERSION, optimize=OPTIMIZE),
        no_bytecode_metadata=True,
    )
    content = {
        "name": source.stem,
        "compiler": COMPILER,
        "sourceHash": source_hash(source),
        "runtimeHash": keccak256(bytes.fromhex(compiled["bytecode_runtime"].removeprefix("0x"))).hex(),
        "bytecode": compiled["bytecode"].removeprefix("0x"),
        "abi": compiled["abi"],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def source_hash(source: Path) -> str:
    """Of a contract's own source and of every module that it imports, as `vyper -f integrity` tells it."""
    bundle = FilesystemInputBundle([source.parent])
    return f"sha256:{CompilerData(bundle.load_file(source.name), bundle).integrity_sum}"


def _contracts() -> list[Path]:
    return sorted(SOURCES.glob("*.vy"))


def _committed_names() -> set[str]:
    return {path.name for path in ARTIFACTS.glob("*.json")}


def _committed(name: str) -> str | None:
    path = ARTIFACTS / name
    return path.read_text(encoding="utf-8") if path.exists() else None
