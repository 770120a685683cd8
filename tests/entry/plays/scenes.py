"""Every scene by its fail-point, and the units and calls that need one."""

import ast
from pathlib import Path

import hub.flows
from hub.entry.failpoints import CALLS
from tests.entry.plays.catalogue import CATALOGUE
from tests.entry.plays.chain import CHAIN
from tests.entry.plays.disputes import DISPUTES
from tests.entry.plays.notices import NOTICES
from tests.entry.plays.people import PEOPLE
from tests.entry.plays.purchases import PURCHASES, given_up, held, undecided
from tests.entry.plays.refunds import REFUNDS
from tests.entry.plays.rights import PLATFORMS, RIGHTS, revoked
from tests.entry.plays.scene import Scene
from tests.entry.plays.tasks import LOG, TASKS
from tests.entry.plays.wallets import WALLETS
from tests.entry.plays.webhooks import WEBHOOKS, hooked

# What the hub asks of others, each by the play that gets there.
CALLED: dict[str, Scene] = {
    "channel.create": Scene(),
    "channel.capture": Scene(held),
    "channel.void": Scene(given_up),
    "channel.query": Scene(undecided),
    "chain.send": Scene(),
    "platform.grant_access": Scene(),
    "platform.revoke_access": Scene(revoked),
    "sender.post": Scene(hooked),
}

# In this order they die, one after the other.
SCENES: dict[str, Scene] = (
    PURCHASES | NOTICES | DISPUTES | REFUNDS | PLATFORMS | CHAIN | RIGHTS | WALLETS
    | PEOPLE | CATALOGUE | WEBHOOKS | TASKS | LOG | CALLED
)  # fmt: skip


def written_units() -> set[str]:
    """The units that the flows hand to a write door: of each call of a `write`, the first argument that is a unit."""
    trees = {path.stem: ast.parse(path.read_text()) for path in Path(hub.flows.__file__).parent.glob("*.py")}
    units = {
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.args.args and node.args.args[0].arg == "tx"
    }
    written = set()
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "write":
                handed = [name for name in map(_name_of, node.args) if name in units][:1]
                assert handed or module == "rivals", f"{module}:{node.lineno}: which unit is written?"
                written |= set(handed)
    return written


def _name_of(argument: ast.expr) -> str:
    if isinstance(argument, ast.Attribute):
        return argument.attr
    return argument.id if isinstance(argument, ast.Name) else ""


def points(engine: str) -> list[str]:
    calls = {f"{kind}.{method}" for kind, methods in CALLS.items() for method in methods}
    found = []
    for step, scene in SCENES.items():
        if engine in scene.engines:
            ends = ("before send", "after answer") if step in calls else ("before commit", "after commit")
            found += [f"{step}: {end}" for end in ends]
    return found
