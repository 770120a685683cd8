"""Logs as a contract's ABI tells them: name, arguments by name as plain JSON values, and what the log is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from contracts import abi


@dataclass(frozen=True, slots=True)
class Told:
    """A decoded log. `subject` is its first indexed argument as text, '' if it has none."""

    name: str
    subject: str
    args: dict[str, Any]


def told(contract: str, topics: Sequence[bytes], data: bytes) -> Told:
    """What a log of a contract of ours says. One that its ABI does not know, or that does not fit it, is told raw."""
    event = abi.events(contract).get(topics[0]) if topics else None
    if event is None:
        return _raw(topics, data)
    try:
        values = abi.logged(event, topics, data)
    except abi.Misread:
        return _raw(topics, data)
    args = {member.name: _json(member.kind, value) for member, value in zip(event.members, values, strict=True)}
    subject = next((str(args[member.name]) for member in event.members if member.is_indexed), "")
    return Told(event.name, subject, args)


def _raw(topics: Sequence[bytes], data: bytes) -> Told:
    plain = {"topics": [_hex(topic) for topic in topics], "data": _hex(data)}
    return Told(_hex(topics[0]) if topics else "", _hex(topics[1]) if len(topics) > 1 else "", plain)


def _json(kind: str, value: object) -> Any:
    """Numbers as decimal text, since JSON's stop at 2^53; addresses with their checksum."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return _hex(value)
    if kind == "address":
        return to_checksum_address(str(value))
    if isinstance(value, list | tuple):
        return [_json(kind.partition("[")[0], part) for part in value]
    return str(value)


def _hex(octets: bytes) -> str:
    return "0x" + bytes(octets).hex()
