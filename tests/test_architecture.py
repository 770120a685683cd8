"""What imports alone cannot say about the tree: which words a ring may use, what stands on top, what is excused."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("hub", "schema", "resolvers", "contracts")
TOP_LEVEL = frozenset({
    "hub", "schema", "resolvers", "contracts", "tests", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md",
    "constraints.txt",
})  # fmt: skip
NO_HOME = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"})

# The clock and chance come in as arguments; a mention of these is already too much, as a default value is a call later.
CLOCK_AND_CHANCE = re.compile(
    r"^(time|random|secrets)(\.|$)"
    r"|^os\.(urandom|getrandom)$"
    r"|^uuid\.uuid[1-8]$"
    r"|^datetime\.(datetime\.(now|utcnow|today)|date\.today)$"
)
# Standard modules that reach out of the process, or wait.
REACHES_OUT = frozenset({
    "asyncio", "concurrent", "ftplib", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys",
    "tempfile", "threading", "time", "urllib.request", "uuid",
})  # fmt: skip
# Where JSON, rows or a library's own untyped values cross; everywhere else `Any` hides a type that we know.
ANY_ALLOWED = {
    "hub/domain/chain_log.py": "the arguments of a contract's event are JSON",
    "hub/domain/events.py": "an event's body is JSON",
    "hub/domain/ids.py": "the fingerprint of a JSON input",
    "hub/domain/payments.py": "the normalised JSON of a request",
    "hub/domain/requests.py": "a stored refusal is JSON",
    "hub/flows/records.py": "a record is hashed as canonical JSON",
    "hub/flows/asking.py": "a coroutine's type has two slots that nobody uses",
    "hub/flows/purchase.py": "the normalised JSON of a request",
    "hub/channels/": "providers answer JSON",
    "hub/platforms/": "platforms answer JSON",
    "hub/sandbox/": "the peers take and answer JSON, and write rows",
    "hub/chain/": "nodes answer JSON",
    "hub/store/": "drivers take and give untyped rows",
    "hub/security/": "the claims of a token are JSON",
    "hub/entry/": "HTTP bodies and ASGI messages",
    "resolvers/execution.py": "graphql-core hands rows and selections over untyped",
    "schema/fields.py": "mypy mistypes a field whose resolver gives another class",
}


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of the product by its path from the root."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(), str(path))
        for path in paths
        if "node_modules" not in str(path)
    }


def under(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for path, tree in sources().items():
        if path.startswith(folders):
            yield path, tree


def imported(tree: ast.Module) -> dict[str, str]:
    """Local name → the full name that it stands for, of every import in a module, wherever it stands."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"
    return names


def modules_of(tree: ast.Module) -> set[str]:
    """The full names of the modules that a module imports from."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def full_name(node: ast.expr, names: dict[str, str]) -> str | None:
    """`datetime.datetime.now` for `dt.now` after `from datetime import datetime as dt`."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        start = full_name(node.value, names)
        return start and f"{start}.{node.attr}"
    return None


def clock_and_chance(tree: ast.Module) -> list[str]:
    names = imported(tree)
    mentioned = (full_name(node, names) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute))
    return sorted({name for name in mentioned if name and CLOCK_AND_CHANCE.match(name)})


def imports_any(tree: ast.Module) -> bool:
    names = imported(tree)
    mentioned = (full_name(node, names) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute))
    return "typing.Any" in {*names.values(), *mentioned}


# ---- the domain ----------------------------------------------------------------------------------------------------


def test_the_domain_imports_the_standard_library_and_itself_alone() -> None:
    for path, tree in under("hub/domain/"):
        strangers = {
            name
            for name in modules_of(tree)
            if name.partition(".")[0] not in sys.stdlib_module_names
            and name != "hub.domain"
            and not name.startswith("hub.domain.")
        }
        assert not strangers, path


def test_the_domain_never_waits_nor_reaches_out() -> None:
    for path, tree in under("hub/domain/"):
        assert not modules_of(tree) & REACHES_OUT, path
        waits = ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, waits)], path
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input", "exec", "eval", "__import__"}, path


@pytest.mark.parametrize("ring", ["domain", "flows", "channels", "platforms"])
def test_time_and_chance_are_handed_in(ring: str) -> None:
    for path, tree in under(f"hub/{ring}/"):
        assert clock_and_chance(tree) == [], path


@pytest.mark.parametrize(
    ("code", "mentioned"),
    [
        ("import time\ntime.time()", ["time", "time.time"]),
        ("from time import monotonic as m\nm()", ["time.monotonic"]),
        ("import datetime as d\nd.datetime.now(d.UTC)", ["datetime.datetime.now"]),
        ("from datetime import UTC, datetime\ndatetime.now(UTC)", ["datetime.datetime.now"]),
        ("from datetime import date\ndef f(day=date.today): ...", ["datetime.date.today"]),
        ("import os, uuid\nos.urandom(8), uuid.uuid4()", ["os.urandom", "uuid.uuid4"]),
        ("import random\nclass A:\n    r = random.Random()", ["random", "random.Random"]),
        ("from datetime import datetime\ndatetime(2026, 1, 1)", []),
        ("from os.path import join\nfrom uuid import UUID\nUUID(int=1)", []),
    ],
)
def test_a_naked_clock_or_die_is_seen(code: str, mentioned: list[str]) -> None:
    assert clock_and_chance(ast.parse(code)) == mentioned


# ---- the tree ------------------------------------------------------------------------------------------------------


def test_the_top_level_holds_exactly_the_listed_entries() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout here: nothing says what belongs to the project")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    entries = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert {entry for entry in entries if not entry.startswith(".")} == TOP_LEVEL


def test_no_module_is_a_drawer() -> None:
    paths = [Path(path) for path in sources()] + [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")]
    assert not [path for path in paths if NO_HOME & {part.removesuffix(".py") for part in path.parts}]


def test_every_module_says_why_it_exists() -> None:
    silent = {path for path, tree in sources().items() if tree.body and not ast.get_docstring(tree)}
    assert not {path for path in silent if not path.startswith("hub/store/migrations/versions/")}


def test_only_flows_use_the_write_door() -> None:
    for path, tree in sources().items():
        if path.startswith(("hub/flows/", "hub/store/")):
            continue
        doors = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == "write" and last_name(node.value) == "store"
        ]
        assert not doors, path


def last_name(node: ast.expr) -> str | None:
    """`store` of `store`, `hub.store` and `self.hub.store`."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


# ---- excuses -------------------------------------------------------------------------------------------------------


def test_any_stands_only_where_untyped_values_cross() -> None:
    using = {path for path, tree in sources().items() if imports_any(tree)}
    assert not {path for path in using if not path.startswith(tuple(ANY_ALLOWED))}


def test_no_place_keeps_an_excuse_for_any_that_it_does_not_need() -> None:
    files = {path for path in ANY_ALLOWED if path.endswith(".py") and path in sources()}
    assert not {path for path in files if not imports_any(sources()[path])}


def test_each_rule_that_ruff_ignores_has_its_sentence() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    ruff = tomllib.loads(text)["tool"]["ruff"]["lint"]
    excused = [*ruff["ignore"], *(code for codes in ruff.get("per-file-ignores", {}).values() for code in codes)]
    for code in excused:
        lines = [line for line in text.splitlines() if f'"{code}"' in line]
        assert any(is_sentence(line.partition("#")[2]) for line in lines), code


def test_each_silenced_line_names_the_rule_and_the_reason() -> None:
    for path in [ROOT / path for path in sources()] + sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        if not (EXCUSE.search(text) or WHOLE_FILE.search(text)):  # most of them: to take one apart is what takes long
            continue
        for number, comment in comments(text):
            assert excuse_is_whole(comment), f"{path.relative_to(ROOT)}:{number}: {comment}"


@pytest.mark.parametrize(
    ("comment", "is_whole"),
    [
        ("# noqa", False),
        ("# noqa: E741", False),
        ("# noqa: E741, B008  # because", False),
        ("# noqa: E741, B008  # the tables read better by initials", True),
        ("# type: ignore", False),
        ("# type: ignore[arg-type]", False),
        ("# type: ignore[arg-type]  # likewise", False),
        ("# type: ignore[arg-type, misc]  # fields are given by name", True),
        ("#type:ignore[misc]# as much of a channel as is called", True),
        ("# type: ignore[misc]  # fields are given by name  # noqa: E741", False),
        ("# noqa: E741  # the tables read better by initials  # type: ignore", False),
        ("# ruff: noqa: E741  # the tables read better by initials", False),
        ("# mypy: ignore-errors", False),
        ("# a comment about noqa", True),
    ],
)
def test_an_excuse_without_its_reason_is_seen(comment: str, is_whole: bool) -> None:
    assert excuse_is_whole(comment) is is_whole


def comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def excuse_is_whole(comment: str) -> bool:
    """Each `noqa` and each `type: ignore` names its rules and gives a reason, and none is for a whole file."""
    if WHOLE_FILE.search(comment):
        return False
    found = [NAMED.fullmatch(excuse) for excuse in EXCUSE.split(comment)[1:]]
    return all(one is not None and is_sentence(one.group(1)) for one in found)


EXCUSE = re.compile(r"(?=#\s*(?:noqa\b|type:\s*ignore\b))", re.IGNORECASE)
WHOLE_FILE = re.compile(r"#\s*(?:ruff|flake8|mypy|pyright)\s*:", re.IGNORECASE)
NAMED = re.compile(r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[a-z, -]+\])\s*(.*)", re.DOTALL)


def is_sentence(text: str) -> bool:
    return len(re.findall(r"\w+", text)) >= 3


# ---- import contracts ------------------------------------------------------------------------------------------------

RINGS = "Rings: an import points inwards only"
KNOWN_TO_WIRING = "Adapters and sandbox peers are known to the wiring alone"
STRANGERS = "The sandbox peers are strangers"
PROGRAM = "The node is a program"
NO_CYCLES = "No cycles among siblings"
CONTRACTS = (RINGS, KNOWN_TO_WIRING, STRANGERS, PROGRAM, NO_CYCLES)

# (module, what it imports, the contract that this breaks): each on a bare skeleton of the tree.
VIOLATIONS = (
    ("hub/flows/one.py", "hub.store", RINGS),
    ("hub/flows/one.py", "hub.sandbox", KNOWN_TO_WIRING),
    ("hub/flows/one.py", "hub.entry", RINGS),
    ("hub/ports/one.py", "hub.flows", RINGS),
    ("hub/domain/one.py", "hub.ports", RINGS),
    ("hub/domain/one.py", "contracts", RINGS),
    ("hub/channels/one.py", "hub.platforms", RINGS),
    ("resolvers/one.py", "schema", RINGS),
    ("resolvers/one.py", "hub.channels", KNOWN_TO_WIRING),
    ("schema/one.py", "hub.store", KNOWN_TO_WIRING),
    ("hub/chain/one.py", "hub.chain.node", KNOWN_TO_WIRING),
    ("hub/entry/one.py", "hub.chain.node", PROGRAM),
    ("hub/sandbox/one.py", "hub.domain", STRANGERS),
    ("hub/sandbox/one.py", "hub.ports", STRANGERS),
    ("hub/sandbox/one.py", "contracts", STRANGERS),
    ("hub/flows/one.py", "hub.flows.two", NO_CYCLES),
    ("hub/domain/one.py", "hub.domain.two", NO_CYCLES),
    ("hub/store/one.py", "hub.store.two", NO_CYCLES),
    ("hub/ports/one.py", "hub.ports.two", NO_CYCLES),
    ("schema/one.py", "schema.two", NO_CYCLES),
)
AS_IT_IS = ("", "")
# Runs the real linter once for each change given: a line appended to a module, for that run alone.
_LINT = """
import contextlib, io, json, pathlib, sys
from importlinter.cli import lint_imports
sys.path.insert(0, ".")
for module, line in json.load(sys.stdin):
    kept = pathlib.Path(module).read_text() if module else ""
    if module:
        pathlib.Path(module).write_text(kept + line)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        lint_imports(no_cache=True)
    if module:
        pathlib.Path(module).write_text(kept)
    print(json.dumps([part for part in said.getvalue().splitlines() if part.endswith((" KEPT", " BROKEN"))]))
"""


def lint(folder: Path, *changes: tuple[str, str]) -> list[dict[str, str]]:
    """For each change: contract → KEPT or BROKEN, as import-linter says in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _LINT],
        input=json.dumps(changes),
        cwd=folder,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [dict(line.strip().rsplit(" ", 1) for line in answer) for answer in answers]


def test_the_import_contracts_stand_and_are_kept() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert tuple(contract["name"] for contract in configured) == CONTRACTS
    assert lint(ROOT, AS_IT_IS) == [dict.fromkeys(CONTRACTS, "KEPT")]


def test_each_kind_of_violation_breaks_its_contract(tmp_path: Path) -> None:
    skeleton(tmp_path)
    whole, *answers = lint(tmp_path, AS_IT_IS, *((module, f"\nimport {name}") for module, name, _ in VIOLATIONS))
    assert whole == dict.fromkeys(CONTRACTS, "KEPT")
    missed = [
        violation for violation, answer in zip(VIOLATIONS, answers, strict=True) if answer[violation[2]] != "BROKEN"
    ]
    assert not missed


def skeleton(folder: Path) -> None:
    """The tree of chapter 01 with empty modules, `two` importing `one`, under the project's own contracts."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("[tool.importlinter]") :]
    following = re.search(r"\n\[(?!tool\.importlinter)", section)
    (folder / "pyproject.toml").write_text(section[: following.start()] if following else section)
    rings = (
        "domain", "ports", "flows", "channels", "platforms", "chain", "store", "wakeups", "security", "sandbox",
        "entry",
    )  # fmt: skip
    packages = ["hub", *(f"hub/{ring}" for ring in rings), "hub/chain/node", "schema", "resolvers", "contracts"]
    for package in packages:
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
        (folder / package / "one.py").touch()
        (folder / package / "two.py").write_text(f"import {package.replace('/', '.')}.one\n")
    (folder / "hub" / "__main__.py").touch()
