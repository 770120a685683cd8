"""A program: `hub serve` that tells where its CPU goes. SIGUSR1 begins, SIGUSR2 writes `samples.json` beside its data.

The event loop's thread is sampled each millisecond of CPU, by what lies on its stack; the other threads are the
system's own sums. The parts are these sums, the loop's shared out by its samples.
"""

import json
import os
import signal
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType

from hub.entry.cli import main
from tests.bench.served import TICKS_A_SECOND

EVERY_CPU_S = 0.001
# The first that lies anywhere on the stack names the part: what serves the sale from the outside stands first.
PARTS = (
    ("sandbox peers", ("/hub/sandbox/",)),
    ("channel and platform clients", ("/hub/channels/", "/hub/platforms/")),
    ("notices", ("/hub/entry/notices.py", "/hub/flows/notices.py")),
    ("worker", ("/hub/entry/worker.py",)),
    ("flows", ("/hub/flows/",)),
    ("store, the loop's side", ("/hub/store/",)),
    ("GraphQL", ("/hub/entry/graphql", "/strawberry/", "/graphql/", "/resolvers/", "/schema/")),
    ("HTTP servers, hub's and sandbox's", ("/uvicorn/", "/starlette/", "/h11/", "/hub/entry/")),
)
OTHER, IDLE = "event loop", ("/selectors.py",)


class Sampler:
    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self.begun: dict[str, float] = {}

    def begin(self, _number: int, _frame: FrameType | None) -> None:
        self.samples.clear()
        self.begun = cpu_by_thread()
        signal.setitimer(signal.ITIMER_PROF, EVERY_CPU_S, EVERY_CPU_S)

    def sample(self, _number: int, frame: FrameType | None) -> None:
        """The signal also comes for other threads' CPU: then the loop mostly waits, which counts for nothing."""
        if frame is None or frame.f_code.co_filename.endswith(IDLE):
            return
        files = []
        while frame is not None:
            files.append(frame.f_code.co_filename)
            frame = frame.f_back
        stack = " ".join(files)
        self.samples[next((part for part, marks in PARTS if any(mark in stack for mark in marks)), OTHER)] += 1

    def tell(self, _number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        spent = {name: seconds - self.begun.get(name, 0.0) for name, seconds in cpu_by_thread().items()}
        loop_s, taken = spent.pop("MainThread"), sum(self.samples.values())
        parts = {part: loop_s * count / taken for part, count in self.samples.most_common()}
        parts |= {f"thread {name}": seconds for name, seconds in spent.items()}
        path = Path(os.environ["HUB_DATA"]) / "samples.json"
        path.with_suffix(".new").write_text(json.dumps(parts))
        path.with_suffix(".new").rename(path)


def cpu_by_thread() -> dict[str, float]:
    """User and system time of each thread; those that have no name of ours share one."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    spent: defaultdict[str, float] = defaultdict(float)
    for folder in Path("/proc/self/task").iterdir():
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        name = names.get(int(folder.name), "")
        name = name if name in ("MainThread", "sqlite-writer") else "readers and others"
        spent[name] += (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    return dict(spent)


if __name__ == "__main__":
    sampler = Sampler()
    signal.signal(signal.SIGUSR1, sampler.begin)
    signal.signal(signal.SIGUSR2, sampler.tell)
    signal.signal(signal.SIGPROF, sampler.sample)
    sys.argv[1:] = ["serve"]
    main()
