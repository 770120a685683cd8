"""Logs as a contract's ABI tells them: name, arguments by name as plain JSON values, and what the log is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from contracts import artifact


@dataclass(frozen=True, slots=True)
class Told:
    """A decoded log. `subject` is its first indexed argument as text, '' if it has none."""

    name: str
    subject: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Shape:
    name: str
    inputs: tuple[tuple[str, str, bool], ...]  # name, type, whether it is indexed


def told(contract: str, topics: Sequence[bytes], data: bytes) -> Told:
    """What a log of a contract of ours says. One that its ABI does not know, or that does not fit it, is told raw."""
    shape = _shapes(contract).get(topics[0]) if topics else None
    fitting = None if shape is None else _decoded(shape, topics[1:], data)
    if shape is None or fitting is None:
        raw = {"topics": [_hex(topic) for topic in topics], "data": _hex(data)}
        return Told(_hex(topics[0]) if topics else "", _hex(topics[1]) if len(topics) > 1 else "", raw)
    subject = next((str(fitting[name]) for name, _, is_indexed in shape.inputs if is_indexed), "")
    return Told(shape.name, subject, fitting)


def _decoded(shape: _Shape, topics: Sequence[bytes], data: bytes) -> dict[str, Any] | None:
    indexed = [(name, kind) for name, kind, is_indexed in shape.inputs if is_indexed]
    plain = [(name, kind) for name, kind, is_indexed in shape.inputs if not is_indexed]
    if len(indexed) != len(topics):
        return None
    try:
        args = dict(zip((name for name, _ in plain), decode([kind for _, kind in plain], data), strict=True))
        for (name, kind), topic in zip(indexed, topics, strict=True):
            args[name] = topic if _is_hashed(kind) else decode([kind], topic)[0]
    except DecodingError:
        return None
    return {name: _json(kind, args[name]) for name, kind, _ in shape.inputs}


def _is_hashed(kind: str) -> bool:
    """An indexed argument of such a type stands in its topic as a hash alone."""
    return kind in ("string", "bytes") or kind.endswith("]")


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


@cache
def _shapes(contract: str) -> Mapping[bytes, _Shape]:
    """By first topic."""
    shapes = {}
    entries: list[dict[str, Any]] = list(artifact(contract).abi)
    for entry in entries:
        if entry["type"] != "event":
            continue
        inputs = tuple((part["name"], part["type"], part["indexed"]) for part in entry["inputs"])
        signature = f"{entry['name']}({','.join(kind for _, kind, _ in inputs)})"
        shapes[keccak(text=signature)] = _Shape(entry["name"], inputs)
    return shapes


def _hex(octets: bytes) -> str:
    return "0x" + bytes(octets).hex()
