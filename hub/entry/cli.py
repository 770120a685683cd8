"""The command `hub`: one function a subcommand. Whatever is wrong with the caller's side is one line and exit code 2;
a check that fails ends with 1."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from hub import __version__
from hub.entry.complaints import Complaint
from hub.entry.settings import SettingRefused, Settings, read_settings

Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]

# Whatever is made is its account's alone, as the keys are: the database and its neighbours say who bought what.
PRIVATE = 0o077
# (name, its words, what it does) of what a contract's owner, pausers and revokers do.
CONTRACT_ACTS = (
    ("pause", "", "stop anchoring, settling, claiming and buying; nothing that was granted ends"),
    ("unpause", "", "let it go on"),
    ("set-roles", "ACCOUNT ROLE", "give an account exactly these roles: gateway, pauser, revoker, signer, minter; or "
     "seller, refunder, pauser of a splitter"),
    ("rotate-signer", "OLD NEW", "let one signer follow another, whose results are taken for an hour more"),
    ("propose-owner", "ACCOUNT", "name the next owner, who has to accept"),
    ("accept-owner", "", "become the owner with the deployer's key"),
    ("set-successor", "CONTRACT", "name the contract that carries on after this one"),
    ("revoke-root", "ROOT", "end every right under a root that is none of this hub's, by the revoker's key"),
    ("set-uri", "URI", "say where wallets find what a token is; if not said: HUB_PUBLIC_URL/tokens/{id}.json"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.run is None:
        parser.print_help()
        sys.exit(2)
    os.umask(PRIVATE)
    try:
        settings = read_settings(os.environ, vars(parsed))
        for name in settings.unknown:
            print(f"hub: {name} means nothing to this release", file=sys.stderr)
        sys.exit(asyncio.run(_complaining(parsed.run(parsed, settings))))
    except SettingRefused as refused:
        print(f"hub: {refused}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


async def _complaining(command: Awaitable[int]) -> int:
    """Turn what the caller can mend into one line; anything else keeps its traceback."""
    from hub.chain.keys import KeyFault
    from hub.entry.locking import FolderInUse
    from hub.ports import ChainRefused, ChainUnavailable
    from hub.security.keys import KeyRefused
    from hub.store.transactions import Unavailable

    try:
        return await command
    except (Complaint, FolderInUse, KeyFault, KeyRefused, ChainRefused, ChainUnavailable, Unavailable, OSError) as no:
        print(f"hub: {no}", file=sys.stderr)
        return 2


# ---- commands --------------------------------------------------------------------------------------------------------


async def demo(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.demo import run_demo

    _demand_development(settings, "hub demo")
    return await run_demo(settings, once=parsed.once)


async def serve(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.logs import configure
    from hub.entry.running import running, serve_hub

    async def ready(url: str) -> None:
        print(f"hub: serving {url}/graphql", flush=True)

    configure()
    async with running(settings, is_server=True) as hub:
        await serve_hub(hub, on_ready=ready)
    return 0


async def worker(parsed: argparse.Namespace, settings: Settings) -> int:
    import signal

    from hub.entry.logs import configure
    from hub.entry.metrics import Metrics
    from hub.entry.metrics_port import metrics_served
    from hub.entry.running import running

    if settings.sqlite_path is not None:
        raise Complaint("`hub worker` needs PostgreSQL: on SQLite `hub serve` is the worker too")
    configure()
    async with running(settings, is_server=False) as hub, metrics_served(hub.hub, Metrics(), hub.metrics_listener):
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        print("hub: working", flush=True)
        await stopped.wait()
    return 0


async def import_(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.importing import import_file

    return await import_file(
        settings,
        Path(parsed.file),
        slug=parsed.platform,
        format_name=parsed.format,
        currency=parsed.currency,
        mapping=Path(parsed.mapping) if parsed.mapping else None,
    )


async def verify(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.commands import print_verification

    return await print_verification(settings, with_chain=parsed.chain)


async def token(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.commands import development_token

    _demand_development(settings, "hub token")
    print(await development_token(settings, as_=parsed.as_, user=parsed.user, platform=parsed.platform))
    return 0


async def key(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry import keys

    if parsed.what == "list":
        return await keys.list_keys(settings)
    if parsed.what == "revoke":
        return await keys.revoke_key(settings, parsed.id)
    return await keys.create_key(
        settings,
        as_=parsed.as_,
        name=parsed.name,
        platform=parsed.platform,
        currency=parsed.currency,
        scopes=parsed.scopes,
        days=parsed.days,
    )


async def migrate(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.store.migrate import migrate

    settings.data.mkdir(parents=True, exist_ok=True)
    print(f"hub: the database is at revision {await migrate(settings.database)}")
    return 0


async def person(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.commands import erase_person

    return await erase_person(settings, parsed.id)


async def contracts_deploy(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.commands import deploy_contracts

    return await deploy_contracts(settings, succeeds=parsed.succeeds, from_block=parsed.from_block)


async def chain(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry import chain_commands

    if parsed.what == "status":
        return await chain_commands.print_status(settings)
    return await chain_commands.resume(settings, accepts=parsed.accept)


async def contracts_status(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.contract_commands import print_status

    return await print_status(settings)


async def contracts_rotate_gateway(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.rotation import rotate_gateway

    return await rotate_gateway(settings, [parsed.old, parsed.new])


async def contracts_act(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.contract_commands import act

    return await act(settings, parsed.action, parsed.words, at=parsed.at, prints=parsed.print)


async def contracts_build(parsed: argparse.Namespace, settings: Settings) -> int:
    from contracts.build import build

    different = build(check=parsed.check)
    for name in different:
        print(f"hub: {name} {'differs from a fresh compile' if parsed.check else 'written'}")
    return 1 if different and parsed.check else 0


async def tasks(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.commands import list_tasks, settle_dead_task

    if parsed.what == "list":
        return await list_tasks(settings)
    if parsed.id is None:
        raise Complaint(f"`hub tasks {parsed.what}` needs the id of a dead task: see `hub tasks list`")
    return await settle_dead_task(settings, parsed.id, is_retry=parsed.what == "retry")


async def channel(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry import channels

    if parsed.what == "list":
        return await channels.list_channels(settings)
    if parsed.what == "check":
        return await channels.check_channel(settings, parsed.name)
    if parsed.what == "notices":
        return await channels.list_notices(settings)
    if parsed.what == "replay":
        return await channels.replay_notice(settings, parsed.id)
    return await channels.stand(settings, parsed.name, parsed.what, parsed.reason)


async def log_(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.commands import print_archive, print_log, prune_log

    if parsed.what == "prune":
        return await prune_log(settings)
    if parsed.what == "archive":
        return await print_archive(settings, after=parsed.after, limit=parsed.limit)
    return await print_log(settings, stream=parsed.stream, after=parsed.after, limit=parsed.limit)


async def schema(parsed: argparse.Namespace, settings: Settings) -> int:
    from schema import printing

    if parsed.check:
        is_current = printing.is_current()
        print(f"hub: the SDL {'is current' if is_current else 'is not what `hub schema` prints'}")
        return 0 if is_current else 1
    printing.write()
    print(f"hub: {printing.SDL.name} and {printing.SUBGRAPH.name} written")
    return 0


async def docs(parsed: argparse.Namespace, settings: Settings) -> int:
    from hub.entry.docs import contents, page

    if parsed.name is not None:
        print(page(parsed.name), end="")
        return 0
    for name, title in contents():
        print(f"{name:<20} {title}")
    return 0


def _demand_development(settings: Settings, command: str) -> None:
    if settings.is_production:
        raise Complaint(f"{command} is for HUB_MODE=development alone")


# ---- arguments -------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hub",
        description="Tongbao: one purchase, honoured everywhere. Every flag is also a HUB_ environment variable.",
    )
    parser.add_argument("--version", action="version", version=f"tongbao {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    command = _command(commands, "demo", demo, "sell one course from end to end, then go on serving")
    command.add_argument("--once", action="store_true", help="end after the sale: 0 if all went well")
    _listening(command)
    command = _command(commands, "serve", serve, "serve GraphQL, GraphiQL and the worker")
    _listening(command)
    _command(commands, "worker", worker, "work alone, beside `hub serve` on PostgreSQL")

    command = _command(commands, "import", import_, "load a platform's catalogue file")
    command.add_argument("file", metavar="FILE")
    command.add_argument("--platform", required=True, metavar="SLUG", help="whose catalogue; connected if it is new")
    command.add_argument("--format", required=True, choices=("udemy", "edx", "coursera"))
    command.add_argument("--currency", metavar="C", help="of prices without one; default: the platform's own")
    command.add_argument("--mapping", metavar="FILE", help="CSV that names known courses for some of the listings")

    command = _command(commands, "verify", verify, "check the books, the log, the states and the chain")
    command.add_argument("--no-chain", dest="chain", action="store_false", help="do not ask the contract")

    command = _command(commands, "token", token, "print a development token")
    command.add_argument("--as", dest="as_", required=True, choices=("learner", "partner", "operator"))
    command.add_argument("--user", default="learner", metavar="NAME", help="which learner (default: learner)")
    command.add_argument("--platform", metavar="SLUG", help="which platform's partner")

    keys = commands.add_parser("key", help="make, list and revoke API keys, in production too").add_subparsers(
        dest="what", required=True
    )
    command = _command(keys, "create", key, "make a key and print it, once")
    command.add_argument("--as", dest="as_", required=True, choices=("partner", "operator"))
    command.add_argument("--name", required=True, help="what it is called; one live key has the name")
    command.add_argument("--platform", metavar="SLUG", help="whose key (--as partner); connected if it is new")
    command.add_argument("--currency", default="USD", metavar="C", help="of a platform that is new (default: USD)")
    command.add_argument("--scopes", metavar="S,S", help="what it may do (default: all that such a key can)")
    command.add_argument("--days", metavar="N", help="until it ends (default: it does not)")
    _command(keys, "list", key, "list the keys that were not revoked")
    command = _command(keys, "revoke", key, "end a key within seconds, in every process")
    command.add_argument("id")

    people = commands.add_parser("person", help="erase what is personal of somebody").add_subparsers(required=True)
    command = _command(people, "erase", person, "destroy what opens a person's records, and their wallets; for good")
    command.add_argument("id", metavar="USER_ID")

    _command(commands, "migrate", migrate, "bring the database to this release's revision")

    contracts = commands.add_parser("contracts", help="deploy or build the contracts").add_subparsers(required=True)
    command = _command(contracts, "deploy", contracts_deploy, "put the contract on the chain, once, and keys in office")
    text = "let the contract before this one name it as its successor; the deployer owns that one"
    command.add_argument("--succeeds", action="store_true", help=text)
    text = "where the logs of contracts begin that are not recorded, or earlier, if the node cannot tell"
    command.add_argument("--from-block", type=int, metavar="NUMBER", help=text)
    _command(contracts, "status", contracts_status, "who holds which role, what waits, money for gas")
    for action, words, what in CONTRACT_ACTS:
        command = _command(contracts, action, contracts_act, what)
        command.add_argument("words", nargs="*", metavar=words or "-", help="addresses are spelt with their checksum")
        text = "at another contract that `status` names: the splitter, or one that was in use before"
        command.add_argument("--at", metavar="ADDRESS", help=text)
        command.add_argument("--print", action="store_true", help="show where to send what, and send nothing")
        command.set_defaults(action=action)
    text = "let another key anchor: once beside the old one, and once instead of it when the hub has it"
    command = _command(contracts, "rotate-gateway", contracts_rotate_gateway, text)
    for name in ("old", "new"):
        command.add_argument(name, metavar=name.upper(), help="an address with its checksum")
    command = _command(contracts, "build", contracts_build, "compile the contracts (needs the extra `test`)")
    command.add_argument("--check", action="store_true", help="only compare with what is committed")

    command = _command(commands, "chain", chain, "how far the chain is read, or go on where reading halted")
    command.add_argument("what", choices=["status", "resume"])
    text = "with resume: take the node's chain for the true one, and undo what it has taken back"
    command.add_argument("--accept", action="store_true", help=text)
    command = _command(commands, "tasks", tasks, "list what waits, retry or drop what died")
    command.add_argument("what", choices=("list", "retry", "drop"))
    command.add_argument("id", nargs="?", type=int)

    channels = commands.add_parser("channel", help="look at, check, stop and start payment channels").add_subparsers(
        dest="what", required=True
    )
    _command(channels, "list", channel, "list the channels, what they may do, and how they do")
    command = _command(channels, "check", channel, "ask the provider and our own callback; 1 if anything is bad")
    command.add_argument("name", metavar="NAME")
    for word, help_ in (
        ("start", "let a channel take payments again"),
        ("drain", "let a channel take nothing new; what is open goes on to its end"),
        ("stop", "let a channel take nothing new, nor money that it holds"),
    ):
        command = _command(channels, word, channel, help_)
        command.add_argument("name", metavar="NAME")
        command.add_argument("--reason", default="", help="why, for whoever looks next; at most 200 characters")
    _command(channels, "notices", channel, "list the newest notices that channels sent")
    command = _command(channels, "replay", channel, "have a kept notice applied again")
    command.add_argument("id")

    command = _command(commands, "log", log_, "print events of the log or its archive, or move old ones there")
    what = "print the log (default), print what has left it, or move what is older than HUB_LOG_RETENTION_DAYS"
    command.add_argument("what", nargs="?", choices=("print", "archive", "prune"), default="print", help=what)
    command.add_argument("--stream", default="hub", help="hub, a user's or a platform's id (default: hub)")
    command.add_argument("--after", type=int, default=0, metavar="POSITION", help="begin behind it (default: 0)")
    command.add_argument("--limit", type=int, default=100, metavar="N", help="events at most (default: 100)")

    command = _command(commands, "docs", docs, "print a page of the documentation, or list them all")
    command.add_argument("name", nargs="?", metavar="NAME")

    command = _command(commands, "schema", schema, "print the SDL to its files in the source tree")
    command.add_argument("--check", action="store_true", help="only compare")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: Command, help_: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    command.set_defaults(run=run)
    command.add_argument("--data", metavar="DIR", help="the data folder (default: hub-data)")
    command.add_argument("--database", metavar="URL", help="sqlite:///PATH or postgresql://… (default: in the folder)")
    return command


def _listening(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", metavar="H", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", metavar="P", help="port to listen on, 0 for any (default: 8000)")
