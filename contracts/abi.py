"""Calls, answers and logs of any contract here as bytes, by the names of its committed ABI; needs no compiler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from contracts import Artifact, artifact


class Misread(ValueError):
    """Bytes that are no answer of that function, or no log of that event: an account without code answers nothing."""


@dataclass(frozen=True, slots=True)
class Member:
    """An argument of an event. An indexed one is a topic, of types without a fixed length its hash alone."""

    name: str
    kind: str
    is_indexed: bool

    @property
    def is_hashed(self) -> bool:
        return self.is_indexed and (self.kind in ("string", "bytes") or self.kind.endswith((")", "]")))


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    members: tuple[Member, ...]

    @property
    def topic(self) -> bytes:
        """The first topic of its logs."""
        return keccak(text=f"{self.name}({','.join(member.kind for member in self.members)})")


@cache
def compiled(name: str) -> Artifact:
    """The artifact called `name`, read once."""
    return artifact(name)


def creation(contract: str, *arguments: object) -> bytes:
    """The creation code with its constructor's arguments."""
    (entry,) = (entry for entry in compiled(contract).abi if entry["type"] == "constructor")
    return compiled(contract).bytecode + encode(_types(entry, "inputs"), arguments)


def call(contract: str, function: str, *arguments: object) -> bytes:
    """The calldata of a function; a struct is a tuple of its members, an address text or 20 bytes."""
    types = _types(_function(contract, function), "inputs")
    return keccak(text=f"{function}({','.join(types)})")[:4] + encode(types, arguments)


def answer(contract: str, function: str, said: bytes) -> object:
    """What a function answered: one value, or a tuple of several. Raises Misread."""
    try:
        found = decode(_types(_function(contract, function), "outputs"), said)
    except DecodingError as error:
        raise Misread(f"{len(said)} bytes are no answer of {contract}.{function}") from error
    return cast(object, found[0] if len(found) == 1 else found)


def event(contract: str, name: str) -> Event:
    """The event of that name."""
    (found,) = (one for one in events(contract).values() if one.name == name)
    return found


@cache
def events(contract: str) -> Mapping[bytes, Event]:
    """All events, by their first topic."""
    found = [_event(entry) for entry in compiled(contract).abi if entry["type"] == "event"]
    return {one.topic: one for one in found}


def logged(event: Event, topics: Sequence[bytes], data: bytes) -> tuple[object, ...]:
    """The arguments of a log, in the order of its event; a hashed one as the 32 bytes there are. Raises Misread."""
    plain = [member.kind for member in event.members if not member.is_indexed]
    if len(topics) != 1 + len(event.members) - len(plain):
        raise Misread(f"{len(topics)} topics are none of {event.name}")
    words = [member for member in event.members if member.is_indexed]
    try:
        told = iter(decode(plain, data))
        # Each is one word: at once, since a call of `decode` costs more than what it does.
        indexed = iter(decode(["bytes32" if one.is_hashed else one.kind for one in words], b"".join(topics[1:])))
    except DecodingError as error:
        raise Misread(f"{len(data)} bytes are no log of {event.name}") from error
    return tuple(next(indexed) if one.is_indexed else next(told) for one in event.members)


@cache
def _function(contract: str, name: str) -> Mapping[str, object]:
    (found,) = (one for one in compiled(contract).abi if one["type"] == "function" and one["name"] == name)
    return found


def _types(entry: Mapping[str, object], side: str) -> list[str]:
    return [_type(parameter) for parameter in _parameters(entry, side)]


def _type(parameter: Mapping[str, object]) -> str:
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(parameter, 'components'))}){kind.removeprefix('tuple')}"


def _event(entry: Mapping[str, object]) -> Event:
    inputs = _parameters(entry, "inputs")
    members = (Member(str(one["name"]), _type(one), bool(one["indexed"])) for one in inputs)
    return Event(str(entry["name"]), tuple(members))


def _parameters(entry: Mapping[str, object], side: str) -> Sequence[Mapping[str, object]]:
    return cast(Sequence[Mapping[str, object]], entry[side])
