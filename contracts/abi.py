"""Calls and answers of any contract here as bytes, by the names of its committed ABI; needs no compiler."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import cast

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from contracts import Artifact, artifact


class Misread(ValueError):
    """Bytes that are no answer to what was asked: an account without code answers nothing."""


@cache
def compiled(name: str) -> Artifact:
    """The artifact called `name`, read once."""
    return artifact(name)


def creation(contract: str, *arguments: object) -> bytes:
    """The creation code with its constructor's arguments."""
    entry = next(entry for entry in compiled(contract).abi if entry["type"] == "constructor")
    return compiled(contract).bytecode + encode(_types(entry, "inputs"), arguments)


def call(contract: str, function: str, *arguments: object) -> bytes:
    """The calldata of a function; a struct is a tuple of its members, an address text or 20 bytes."""
    entry = _function(contract, function)
    types = _types(entry, "inputs")
    return keccak(text=f"{function}({','.join(types)})")[:4] + encode(types, arguments)


def answer(contract: str, function: str, said: bytes) -> object:
    """What a function answered: one value, or a tuple of several. Raises Misread."""
    try:
        found = decode(_types(_function(contract, function), "outputs"), said)
    except DecodingError as error:
        raise Misread(f"{len(said)} bytes are no answer of {contract}.{function}") from error
    return cast(object, found[0] if len(found) == 1 else found)


@cache
def _function(contract: str, name: str) -> dict[str, object]:
    entries = compiled(contract).abi
    return next(entry for entry in entries if entry["type"] == "function" and entry["name"] == name)


def _types(entry: Mapping[str, object], side: str) -> list[str]:
    return [_type(parameter) for parameter in cast(Sequence[Mapping[str, object]], entry[side])]


def _type(parameter: Mapping[str, object]) -> str:
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(parameter, 'components'))}){kind.removeprefix('tuple')}"
