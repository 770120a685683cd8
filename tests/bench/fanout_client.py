"""A program: so many subscribers of one server, on raw sockets, which tell when the last of them has an event.

python -m tests.bench.fanout_client PORT SUBSCRIBERS

Prints {"ready"} once all have their acknowledgement and the server says that all wait. Each line on its input makes one
event happen; the answer is a line {"last_ms"}: from its publication to the last subscriber's socket.
"""

import json
import select
import socket
import sys
import time
import urllib.request

DOCUMENT = (
    "subscription($after: String) { events(after: $after) { id cursor kind occurredAt subject subjectVersion"
    " payload { ... on ListingChanged { listingId platformId courseId externalId state } } } }"
)
PLAIN = DOCUMENT.replace("... on ListingChanged { ", "").replace(" } } } }", " } } }")
HANDSHAKE = (
    "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
NEXT, ACK = b'"next"', b"connection_ack"
WITHIN_S = 120.0
AT_ONCE = 50  # handshakes under way together


def main(port: int, number: int, document: str) -> None:
    sockets: list[socket.socket] = []
    while len(sockets) < number:
        sockets += _subscribed(port, min(AT_ONCE, number - len(sockets)), document, len(sockets))
        _until_all_wait(port, len(sockets))
    poll = select.epoll()
    for one in sockets:
        one.setblocking(False)
        poll.register(one.fileno(), select.EPOLLIN)
    by_number = {one.fileno(): one for one in sockets}
    print(json.dumps({"ready": len(sockets)}), flush=True)
    for _line in sys.stdin:
        print(json.dumps({"last_ms": _event(port, poll, by_number)}), flush=True)
        _until_all_wait(port, number)


def _event(port: int, poll: select.epoll, sockets: dict[int, socket.socket]) -> float:
    """Make one happen, read until everybody has it; milliseconds between."""
    trigger = socket.create_connection(("127.0.0.1", port))
    trigger.sendall(b"GET /happen HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    left, last_ns, deadline = len(sockets), 0, time.monotonic() + WITHIN_S
    while left:
        for number, _ in poll.poll(1.0, len(sockets)):
            # Pings and beats come too; an event is far below what one read takes.
            if NEXT in sockets[number].recv(65_536):
                left -= 1
        last_ns = time.monotonic_ns()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} subscribers have no event")
    answer = b""
    while piece := trigger.recv(65_536):
        answer += piece
    trigger.close()
    return (last_ns - int(_text(answer))) / 1e6


def _text(answer: bytes) -> bytes:
    """The digits of an answer's body, in pieces or not."""
    return max(answer.partition(b"\r\n\r\n")[2].split(b"\r\n"), key=len)


def _subscribed(port: int, number: int, document: str, first: int) -> list[socket.socket]:
    opened = [socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) for _ in range(number)]
    for one in opened:
        one.sendall(HANDSHAKE.encode())
    for one in opened:
        _seen(one, b"\r\n\r\n")
        one.sendall(_frame({"type": "connection_init"}))
    for one in opened:
        _seen(one, ACK)
    for place, one in enumerate(opened, start=first):
        id_ = f"00000000-0000-4000-8000-{place:012}"  # as clients have them
        one.sendall(_frame({"type": "subscribe", "id": id_, "payload": {"query": document}}))
    return opened


def _seen(one: socket.socket, what: bytes) -> None:
    seen = b""
    while what not in seen:
        piece = one.recv(65_536)
        if not piece:
            raise ConnectionError(f"the server closed: {seen!r}")
        seen += piece


def _frame(message: object) -> bytes:
    """A text frame, masked with zeros."""
    data = json.dumps(message).encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + data


def _until_all_wait(port: int, number: int) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + WITHIN_S
    while int(opener.open(f"http://127.0.0.1:{port}/waiting", timeout=WITHIN_S).read()) < number:
        if time.monotonic() > deadline:
            raise TimeoutError("not all wait")
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), DOCUMENT if sys.argv[3] == "ours" else PLAIN)
