"""Embedded nodes for the hubs of tests, forked from a process that has imported the EVM: each start of the program
spends a second and a half on that. Nothing else differs, and tests/chain starts the program itself.

A hub starts this file in the program's place. It hands all that a program inherits to the nursery and ends as the node
ends; when it is killed, so is the node.
"""

import json
import os
import select
import signal
import socket
import sys
import time

READY_WITHIN_S = 60.0  # the nursery's own imports


def stand_in(address: str, arguments: list[str]) -> int:
    """In the program's place: the node's exit code."""
    deadline = time.monotonic() + READY_WITHIN_S
    with socket.socket(socket.AF_UNIX) as nursery:
        while nursery.connect_ex(address) != 0:
            if time.monotonic() > deadline:
                return 1
            time.sleep(0.02)
        inherited = [arguments, dict(os.environ), os.getcwd(), os.umask(0o077)]
        socket.send_fds(nursery, [json.dumps(inherited).encode()], [0, 1, 2])
        return int(nursery.recv(16) or b"1")


def serve(address: str, asker: int) -> None:
    """The nursery, for as long as the process `asker` lives: a keeper for each node, which is the keeper's child."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers leave nothing behind
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        ended = os.pidfd_open(asker)
        while ended not in select.select([ended, listener], [], [])[0]:
            asked, _ = listener.accept()
            _import()
            with asked:
                if os.fork() == 0:
                    listener.close()
                    _keep(asked)


def _import() -> None:
    """What each node would import; once, and only where one is asked for."""
    import gc

    from hub.chain.node import __main__, backend, server  # noqa: F401  # for the nodes, which are forked with them

    gc.freeze()


def _keep(asked: socket.socket) -> None:
    """In the keeper: have the node and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told, streams, _, _ = socket.recv_fds(asked, 1 << 20, 3)
    node = os.fork()
    if node == 0:
        asked.close()
        _live(streams, *json.loads(told))
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(node)
    if ended not in select.select([ended, asked], [], [])[0]:
        os.kill(node, signal.SIGKILL)  # who stood in for it is gone
    code = os.waitstatus_to_exitcode(os.waitpid(node, 0)[1])
    try:
        asked.send(str(code % 256).encode())
    except OSError:
        pass
    os._exit(0)


def _live(streams: list[int], arguments: list[str], environ: dict[str, str], folder: str, umask: int) -> None:
    """In the node."""
    from hub.chain.node import __main__

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.setsid()
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = arguments
    code = 1
    try:
        code = __main__.main()
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(stand_in(sys.argv[1], sys.argv[2:]))
