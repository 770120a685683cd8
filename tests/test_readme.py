"""What the README tells, done: every command and query in the order of the page, against the demo that it starts.

Answers are compared with those that the page shows, but for what no two runs share (ids, hashes, cursors, ports). The
two install lines alone are not run here, but by `.ci/run`, in a fresh virtual environment.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import pytest
from graphql import build_schema, parse, validate

from hub.entry.demo_client import Client, pay_by_card
from hub.entry.setting_values import EVERYBODY
from hub.entry.settings import Settings, read_settings
from tests.entry.hubs import Serving

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "hub/docs").glob("*.md"))]
UP_WITHIN_S = 90  # the sale's own limit, and the start of two processes on a busy machine
ENDS_WITHIN_S = 60
PRINTED_TOKEN = "eyJ…"  # what the page writes where a token of the reader's own belongs
PRINTED_BUNDLE = '{"version":1,…}'  # and where the bundle of the answer before does
ORIGIN, DATABASE, NODE = "http://127.0.0.1:8000", "postgresql://hub:secret@db.example/tongbao", "http://127.0.0.1:8545"
CATALOGUE = "udemy_courses.csv"
PROGRAM = ".venv/bin/hub"
ERRORS = "errors.txt"
CARD = "4242 4242 4242 4242"
OPENED = """# as the learner
{ orders(first: 1) { nodes { proof { bundle } receipt { opening { request result salt } } } } }
"""

# What differs from run to run, by what stands for it; the longer forms first.
VOLATILE = (
    (r"data folder \S+", "data folder DIR"),
    (r"eyJ[\w.…-]+|hub_live_\w+", "TOKEN"),
    (r"\b[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}\b", "ID"),
    (r"\bTB[0-9A-Z]{13}\b", "NUMBER"),
    (r"\bpage_[0-9a-f]+", "PAGE"),
    (r"0x[0-9a-fA-F]{40,}", "HEX"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\b[a-z2-7]{26}\b", "PAIRWISE"),
    (r"\bv2\.[\w-]+\.[0-9a-f]{32}\b|\b[\w-]{60,}\b", "CURSOR"),
    (r"\d{10,}", "LARGE"),
    (r"\d+(?= gas)| *\d+(?=  ok)|(?<=position )\d+|(?<=, block )\d+|(?<=blockNumber.: )\d+|\d+\.\d(?= s$)", "COUNT"),
)


@dataclass(slots=True)
class Block:
    """A fenced block: its language, the words after it, and its text."""

    language: str
    says: str
    text: str


def blocks_of(page: str) -> list[Block]:
    found = re.finditer(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", page, re.M | re.S)
    return [Block(language, says or "", text) for language, says, text in (match.groups() for match in found)]


def masked(text: str) -> str:
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text, flags=re.M)
    return text.strip()


# ---- the demo, as a newcomer starts it -------------------------------------------------------------------------------


@dataclass(slots=True)
class Demo:
    """A running `hub demo` in an empty folder, which looks like the clone of somebody who has installed it."""

    folder: Path
    process: "subprocess.Popen[str]"
    printed: str = ""
    names: dict[str, str] = field(default_factory=dict)  # what the page shows → what it is in this run

    @property
    def origin(self) -> str:
        found = re.search(r"^serving +(\S+)/graphql$", self.printed, re.M)
        assert found, self.printed
        return found[1]

    def token(self, kind: str) -> str:
        found = re.search(rf"^{kind} +(\S+)$", self.printed, re.M)
        assert found, self.printed
        return found[1]

    @property
    def node(self) -> str:
        return f"http://127.0.0.1:{json.loads((self.folder / 'hub-data/node.json').read_text())['port']}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    command = install_lines()[0].split(" && ")[-1].split()
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield Demo(folder, process, read_until(process, "stop with"))
    finally:
        end(process)


def environment() -> dict[str, str]:
    """A newcomer's: no setting of ours, but for the port, which may be taken on this machine."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    return mine | {"HUB_PORT": "0", "PYTHONUNBUFFERED": "1"}


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    """What the process has printed once a line begins with `words`; its own end is a failure."""
    assert process.stdout is not None
    guard = Timer(UP_WITHIN_S, process.kill)
    guard.start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line.startswith(words):
                return "".join(lines)
    finally:
        guard.cancel()
    raise AssertionError(f"it ended with {process.wait()} and never printed {words!r}: {''.join(lines)}")


def end(process: "subprocess.Popen[str]") -> int:
    """SIGTERM if it runs yet, and the exit code."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(ENDS_WITHIN_S)
    finally:
        process.kill()
        if process.stdout is not None:
            process.stdout.close()


# ---- one block -------------------------------------------------------------------------------------------------------


def asked(demo: Demo, document: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The answer to one query or mutation."""
    answer = httpx.post(
        f"{demo.origin}/graphql",
        json={"query": document, "variables": variables},
        headers={"Authorization": f"Bearer {_token_of(demo, document)}"},
        timeout=30,
        trust_env=False,
        verify=False,
    )
    found: dict[str, Any] = answer.json()
    return found


async def followed(demo: Demo, document: str, variables: dict[str, Any], page: str) -> str:
    """The events of the tour's order, a line each, until it is on chain; paid when the hub says where."""
    lines = []
    async with Client(demo.origin, _token_of(demo, document)) as client, client.subscribe(document, variables) as told:
        async for data in told:
            event = data["orderUpdated"]["event"]
            lines.append(json.dumps(event))
            if event["payload"].get("attempt") == "ACTION":
                await pay_by_card(page, CARD)
            if event["payload"].get("chainStatus") == "FINALIZED":
                return "\n".join(lines)
    raise AssertionError(lines)


def _token_of(demo: Demo, document: str) -> str:
    who = re.match(r"# as the (\w+)\n", document)
    assert who, f"who asks? {document}"
    return demo.token(who[1])


def renamed(value: Any, names: dict[str, str]) -> Any:
    """JSON with what the page shows replaced by what it is here."""
    if isinstance(value, dict):
        return {key: renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def learn(names: dict[str, str], shown: Any, real: Any) -> None:
    """Every text of an answer that the page shows, with its counterpart."""
    if isinstance(shown, dict):
        for key, inner in shown.items():
            learn(names, inner, real[key])
    elif isinstance(shown, list):
        for inner, other in zip(shown, real, strict=True):
            learn(names, inner, other)
    elif isinstance(shown, str):
        names[shown] = real


def run(demo: Demo, command: str, database: str) -> str:
    """A command of the page in the demo's folder; a server is ended once it serves. Its standard output.

    The demo is what the console script starts; these call the same function in a process that has imported all of it.
    """
    for shown, real in ((ORIGIN, demo.origin), (DATABASE, database), (NODE, demo.node)):
        command = command.replace(shown, real)
    settings, _, words = command.partition(PROGRAM)
    environ = {"HUB_PORT": "0"} | dict(setting.split("=", 1) for setting in settings.split())
    return asyncio.run(_forked(demo.folder, shlex.split(words), environ))


async def _forked(folder: Path, words: list[str], environ: dict[str, str]) -> str:
    output = folder / "printed.txt"
    output.unlink(missing_ok=True)
    process = Serving(words, environ, output, spoil=partial(_at_home, folder))
    try:
        await process.begin()
        if words[0] == "serve":
            await process.wait_until_serving()
            await process.stop()
        await process.ended()
    finally:
        process.send(signal.SIGKILL)
    assert process.code == 0, f"{words} ended with {process.code}: {process.said}{(folder / ERRORS).read_text()}"
    return process.said


def _at_home(folder: Path) -> None:
    """In the new process: where the page's reader stands, and with what is no answer in a file of its own."""
    os.chdir(folder)
    os.dup2(os.open(ERRORS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)


def install_lines() -> list[str]:
    return [block.text.strip() for block in blocks_of(README) if block.language == "sh" and "pip install" in block.text]


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)  # ten processes of the hub, one after the other
def test_the_page_does_what_it_says(demo: Demo, postgres_dsn: str) -> None:
    """In the order of the page. A block's answer is the json or text block right behind it."""
    _lay_out(demo)
    demo.names = {PRINTED_TOKEN: demo.token("learner")}
    page = ""
    for block, variables, shown in _told(blocks_of(README)):
        if block.says == "curl":
            continue
        if block.language == "sh":
            printed = demo.printed if block.text.strip() == install_lines()[0] else _ran(demo, block, postgres_dsn)
            if shown:
                expected = masked(shown.text)
                assert masked(printed)[: len(expected)] == expected, block.text
            continue
        inputs = renamed(json.loads(variables.text), demo.names) if variables else {}
        assert shown is not None, f"no answer is shown to {block.text}"
        if "\nsubscription" in block.text:
            assert asyncio.run(followed(demo, block.text, inputs, page)) == shown.text.strip()
            continue
        answer = asked(demo, block.text, inputs)
        assert masked(json.dumps(answer)) == masked(json.dumps(json.loads(shown.text))), block.text
        learn(demo.names, json.loads(shown.text), answer)
        match answer["data"]:
            case {"checkout": {"paymentAttempt": {"nextAction": {"url": page}}}}:
                pass
            case {"order": {"proof": {"bundle": bundle}}}:
                demo.names[PRINTED_BUNDLE] = bundle


def _ran(demo: Demo, block: Block, database: str) -> str:
    return "" if block.text.strip() in install_lines() else run(demo, block.text.strip(), database)


def _told(blocks: list[Block]) -> Iterator[tuple[Block, Block | None, Block | None]]:
    """Each command or query with its variables and the answer that is shown to it."""
    for place, block in enumerate(blocks):
        if block.language in ("sh", "graphql"):
            rest = blocks[place + 1 :]
            variables = rest.pop(0) if rest and rest[0].says == "variables" else None
            yield block, variables, rest[0] if rest and rest[0].language in ("json", "text") else None


def _lay_out(demo: Demo) -> None:
    """What the page takes for granted: a catalogue file, and the keys of a chain that has funded them."""
    header = (
        "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,"
        "published_timestamp,subject"
    )
    row = (
        "1070968,A Course,https://shop.example/a/,True,200,2147,23,51,All Levels,1.5 hours,2017-01-18T20:58:58Z,Finance"
    )
    (demo.folder / CATALOGUE).write_text(f"{header}\n{row}\n")
    (demo.folder / "other-chain/keys").mkdir(parents=True)
    for role in ("deployer", "gateway", "revoker"):
        shutil.copy2(demo.folder / f"hub-data/keys/{role}.key", demo.folder / "other-chain/keys")


def test_the_shells_own_query_is_answered(demo: Demo) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: the README's curl line was NOT run")
    blocks = blocks_of(README)
    (place,) = (place for place, block in enumerate(blocks) if block.says == "curl")
    command = blocks[place].text.replace(ORIGIN, demo.origin)
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == json.loads(blocks[place + 1].text)


def test_the_program_of_the_partner_page_tells_of_a_grant_and_keeps_its_cursor(demo: Demo) -> None:
    (demo.folder / "follow.py").write_text(_program("partner-guide"))
    process = subprocess.Popen(
        [sys.executable, "follow.py", f"{demo.origin.replace('http', 'ws')}/graphql", demo.token("partner")],
        cwd=demo.folder, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert read_until(process, "ENTITLEMENT_GRANTED").startswith("ENTITLEMENT_GRANTED double-entry-reader ")
        _until(lambda: bool((demo.folder / "cursor.txt").exists() and (demo.folder / "cursor.txt").read_text()))
    finally:
        end(process)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _program(page: str) -> str:
    """The one Python program that a page prints."""
    blocks = blocks_of((ROOT / f"hub/docs/{page}.md").read_text(encoding="utf-8"))
    (program,) = (block.text for block in blocks if block.language == "python")
    return program


def test_the_program_of_the_chain_page_accepts_the_bundle(demo: Demo) -> None:
    """The verifier that the page prints, run as it stands; with one byte changed it refuses."""
    (demo.folder / "verify_bundle.py").write_text(_program("chain-and-proofs"))
    order = asked(demo, OPENED, {})["data"]["orders"]["nodes"][0]
    told = json.loads(order["proof"]["bundle"]) | {"opening": order["receipt"]["opening"]}
    assert _verdict(demo, told).startswith("ok: ")
    assert _verdict(demo, told | {"index": told["index"] + 1}).startswith("REFUSED")
    assert _verdict(demo, told | {"opening": told["opening"] | {"result": "{}"}}).startswith("REFUSED")


def _verdict(demo: Demo, bundle: dict[str, Any]) -> str:
    (demo.folder / "bundle.json").write_text(json.dumps(bundle))
    found = subprocess.run(
        [sys.executable, "verify_bundle.py", "bundle.json"],
        cwd=demo.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout + found.stderr


# ---- without the demo ------------------------------------------------------------------------------------------------


def test_the_install_lines_are_what_ci_runs() -> None:
    """`.ci/run` installs by the same arguments into a fresh environment; the demo's line needs a part of them."""
    newcomer, tester = install_lines()
    begins = "python3 -m venv .venv && .venv/bin/pip install -e"
    assert newcomer == f"{begins} . -c constraints.txt && .venv/bin/hub demo"
    assert tester == f"{begins} '.[test]' -c constraints.txt && .venv/bin/pytest"
    script = (ROOT / ".ci/run").read_text()
    assert re.search(r"""^"\$venv/pip" install .*-e '\.\[test\]' -c constraints\.txt$""", script, re.M)
    assert re.search(r"""^"\$venv/pytest"$""", script, re.M)
    assert re.search(r"""/hub" demo --once""", script)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_query_of_the_pages_is_valid(page: Path) -> None:
    schema = build_schema((ROOT / "schema/schema.graphql").read_text())
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language == "graphql":
            assert validate(schema, parse(block.text)) == [], block.text


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    table = dict(re.findall(r"^\| `(HUB_\w+)` \| (?:`(.*?)`)? *\|", README, re.M))
    defaults = read_settings({})
    told = {
        f"HUB_{each.name.upper()}": getattr(defaults, each.name)
        for each in fields(Settings)
        if each.name not in ("channels", "unknown")
    }
    shown = {True: "true", False: "false", EVERYBODY: "true", None: "", (): ""}
    assert table == {name: shown.get(value, str(value)) for name, value in told.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        assert path or anchor in headings, f"no heading {target}"
        assert target.startswith("https://") or (page.parent / path).exists(), f"no file {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_is_left_to_be_filled(page: Path) -> None:
    assert not re.search(r"@@|\bTODO\b|\bTBD\b|XXX", page.read_text(encoding="utf-8"))
