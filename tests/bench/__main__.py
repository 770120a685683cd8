"""`python -m tests.bench [NAME …] [--json] [--quick]`: the named benchmarks, or all; judged by people, not by a bar.

Files are made in the temporary folder: TMPDIR=/dev/shm shows what is left of a ratio when the disk costs nothing.
"""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Sequence

BENCHES = (
    "checkout", "statements", "group_commit", "anchor_gas", "checkout_postgres", "checkout_http", "ready", "memory",
    "reads", "event_delay", "limits", "fanout", "replay", "engine", "notices", "simulation", "gas", "indexer", "batch",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them one after the other. Returns 0 however slow they are; a figure that is wrong raises."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="The hub's figures beside others.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure, one a line")
    parser.add_argument("--quick", action="store_true", help="as little as possible: to see that it runs")
    parser.add_argument("--write", action="store_true", help="of gas: write its tables into hub/docs/gas.md too")
    parsed = parser.parse_args(arguments)
    unknown = set(parsed.names) - set(BENCHES)
    if unknown:
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}: there are {', '.join(BENCHES)}")
    if parsed.write and (parsed.quick or parsed.names != ["gas"]):
        parser.error("--write is for gas alone, whole")
    asyncio.run(_run(parsed.names or BENCHES, quick=parsed.quick, as_json=parsed.json))
    if parsed.write:
        importlib.import_module("tests.bench.gas").write()
    return 0


async def _run(names: Sequence[str], *, quick: bool, as_json: bool) -> None:
    for name in names:
        bench = importlib.import_module(f"tests.bench.{name}")
        async for figure in bench.run(quick=quick):
            print(figure.as_json if as_json else figure.as_text, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("CI", "true")  # what a benchmark compares with is installed if it is not there
    sys.exit(main())
