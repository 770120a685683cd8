"""Logs as a contract's ABI tells them: name, arguments by name as plain JSON values, and what the log is about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_utils.address import to_checksum_address

from contracts import abi

ADDRESSES_REMEMBERED = 4_096  # whoever acts often: a checksum is a hash, and a log names up to three addresses


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
    args = _of_words(event, topics, data)
    if args is None:
        try:
            values = abi.logged(event, topics, data)
        except abi.Misread:
            return _raw(topics, data)
        args = {member.name: _json(member.kind, value) for member, value in zip(event.members, values, strict=True)}
    subject = next((str(args[member.name]) for member in event.members if member.is_indexed), "")
    return Told(event.name, subject, args)


def _of_words(event: abi.Event, topics: Sequence[bytes], data: bytes) -> dict[str, Any] | None:
    """The arguments of an event whose every one is a plain word: nearly all are, and a decoder of every type takes most
    of the time of reading a log. None: ask that one."""
    kinds = [_WORDS.get("bytes32" if member.is_hashed else member.kind) for member in event.members]
    words = [data[place : place + 32] for place in range(0, len(data), 32)]
    indexed = sum(member.is_indexed for member in event.members)
    if None in kinds or len(data) % 32 or (len(topics) - 1, len(words)) != (indexed, len(event.members) - indexed):
        return None
    told, rest = iter(topics[1:]), iter(words)
    args = {}
    for member, (most, read) in zip(event.members, filter(None, kinds), strict=True):
        word = next(told if member.is_indexed else rest)
        if len(word) != 32 or word > most:
            return None
        args[member.name] = read(word)
    return args


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
        return _checksummed(str(value))
    if isinstance(value, list | tuple):
        return [_json(kind.partition("[")[0], part) for part in value]
    return str(value)


@lru_cache(ADDRESSES_REMEMBERED)
def _checksummed(address: str) -> str:
    return to_checksum_address(address)


def _hex(octets: bytes) -> str:
    return "0x" + bytes(octets).hex()


def _number(word: bytes) -> str:
    return str(int.from_bytes(word))


def _address(word: bytes) -> str:
    return _checksummed(_hex(word[12:]))


# Types of one word: its greatest value, and what is told of it.
_WORDS: Mapping[str, tuple[bytes, Callable[[bytes], Any]]] = {
    **{f"uint{bits}": ((2**bits - 1).to_bytes(32), _number) for bits in range(8, 257, 8)},
    "address": ((2**160 - 1).to_bytes(32), _address),
    "bool": ((1).to_bytes(32), lambda word: word[31] == 1),
    "bytes32": (b"\xff" * 32, _hex),
}
