"""One GraphQL request as it came, whatever carried it: JSON read within bounds, its parts of the right types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

MAX_DEPTH = 64  # objects and lists in each other; no input of the schema has ten
# Brackets and commas of one text: what a document of 32 KiB and variables of 64 KiB can hold. A mebibyte of `[],` takes
# the reader 200 ms, in which nobody else is served.
MAX_PARTS = 65_536
MAX_PARAMETERS = 20  # of a query string; five mean something
TAKEN = "hub.taken"  # the document, among the operation's extensions; a client's own by this name is overwritten
MAX_ID = 512  # characters of a stored document's id; hashes have 32 to 71


class NotARequest(Exception):
    """What came is no GraphQL request; the text says why, without a word of what came."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. It has a `query`, or else the id of a document that is stored here."""

    query: str | None
    document_id: str | None
    variables: dict[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any] | None


def asked_of(parts: Any) -> Asked:
    """The request in a JSON object: a POST's body, a frame's payload. Raises NotARequest.

    A stored document is named by `documentId`, or by `extensions.persistedQuery.sha256Hash` as Apollo and urql do.
    """
    if not isinstance(parts, dict):
        raise NotARequest("one request is a JSON object; lists of them are not taken")
    for name in ("query", "operationName", "documentId"):
        if not isinstance(parts.get(name), str | None):
            raise NotARequest(f"`{name}` must be a string or null")
    for name in ("variables", "extensions"):
        if not isinstance(parts.get(name), dict | None):
            raise NotARequest(f"`{name}` must be an object or null")
    query, id_ = parts.get("query"), _id(parts)
    if query is None and id_ is None:
        raise NotARequest("`query` is missing")
    if id_ is not None:
        query = query or None  # a client's type may demand a text
    return Asked(query, id_, parts.get("variables"), parts.get("operationName") or None, parts.get("extensions"))


def _id(parts: Mapping[str, Any]) -> str | None:
    """The id of the stored document; a hash without its prefix, so that both ways to name it are one."""
    id_ = (parts.get("documentId") or "").removeprefix("sha256:") or None
    persisted = (parts.get("extensions") or {}).get("persistedQuery")
    if persisted is None:
        return _bounded(id_)
    if not isinstance(persisted, dict) or not isinstance(persisted.get("sha256Hash"), str):
        raise NotARequest("`extensions.persistedQuery` must be an object with a sha256Hash")
    if persisted.get("version", 1) != 1:
        raise NotARequest("`extensions.persistedQuery.version` must be 1")
    if id_ not in (None, persisted["sha256Hash"]):
        raise NotARequest("`documentId` and `extensions.persistedQuery` name two documents")
    return _bounded(persisted["sha256Hash"] or None)


def _bounded(id_: str | None) -> str | None:
    if id_ is not None and len(id_) > MAX_ID:
        raise NotARequest(f"a document's id has at most {MAX_ID} characters")
    return id_


def parts_of_url(query_string: bytes) -> dict[str, Any]:
    """The parts of a request in a URL's query: `variables` and `extensions` are JSON. Raises NotARequest."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )  # fmt: skip
    except ValueError:  # of UnicodeError too
        raise NotARequest("the query string is not UTF-8 in percent signs, or has too many parameters") from None
    parts: dict[str, Any] = dict(pairs)
    if len(parts) != len(pairs):
        raise NotARequest("a parameter is given twice")  # a proxy may have read the other one
    for name in ("variables", "extensions"):
        if name in parts:
            parts[name] = read_json(parts[name] or "null", f"`{name}`")
    return parts


def read_json(text: str | bytes, what: str) -> Any:
    """The JSON value, within MAX_DEPTH and MAX_PARTS. Raises NotARequest, which says `what` is wrong."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    brackets = data.count(b"[") + data.count(b"{")
    if brackets + data.count(b",") > MAX_PARTS:
        raise NotARequest(f"{what} has more than {MAX_PARTS} parts")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:  # bad UTF-8, half a character and a number beyond every size too
        raise NotARequest(f"{what} is not JSON in UTF-8") from None
    if brackets > MAX_DEPTH and _is_deep(value):
        raise NotARequest(f"{what} is nested more than {MAX_DEPTH} deep")
    return value


def _is_deep(value: Any) -> bool:
    """Whether more than MAX_DEPTH objects and lists lie in each other, looked at level by level."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
