"""Reads the trusted documents of an operator's apps from the manifests that their build tools write.

relay-compiler, graphql-codegen   {"<id or hash>": "<text>", …}
Apollo                            {"format": "apollo-persisted-query-manifest", "version": 1,
                                   "operations": [{"id": …, "body": "<text>", …}, …]}
"""

import hashlib
import logging
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, OperationType, parse, validate

from hub.entry.asked import MAX_ID
from hub.entry.settings import SettingRefused

log = logging.getLogger(__name__)

APOLLO = "apollo-persisted-query-manifest"
MANIFEST, CACHE = "HUB_DOCUMENTS_MANIFEST", "HUB_DOCUMENTS_CACHE"


@dataclass(frozen=True, slots=True)
class Trusted:
    """One document, and for how many seconds anybody may keep the answer to its operation of a name; to its only one
    without a name too."""

    text: str
    cache_s: Mapping[str | None, int]


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """The documents of all manifests, by their id there and by their SHA-256."""

    _by_id: Mapping[str, Trusted] = field(default_factory=dict)

    def find(self, id_: str) -> Trusted | None:
        return self._by_id.get(id_)

    def __len__(self) -> int:
        return len({trusted.text for trusted in self._by_id.values()})


def trusted_documents(
    files: Sequence[Path], cache: Sequence[tuple[str, int]] = (), schema: GraphQLSchema | None = None
) -> TrustedDocuments:
    """Read the manifests; `cache` gives seconds by the name of an operation. Raises SettingRefused for a file that is
    none, for one id of two documents, and for a name that no query has.

    A document that does not fit `schema` is kept (whoever sends it is told what is wrong) and named in the log.
    """
    by_id: dict[str, Trusted] = {}
    names: set[str] = set()
    for file in files:
        for id_, text in _texts(file):
            document = _parsed(file, id_, text)
            queries = {operation.name.value for operation in _queries(document) if operation.name}
            names |= queries
            trusted = Trusted(text, _cache_s(document, queries, cache))
            if by_id.setdefault(id_, trusted).text != text:
                raise SettingRefused(MANIFEST, f"{file}: id {id_!r} stands for two documents")
            by_id.setdefault(hashlib.sha256(text.encode()).hexdigest(), trusted)
            if schema is not None and (errors := validate(schema, document, max_errors=1)):
                log.warning("trusted document %r of %s does not fit the schema: %s", id_, file, errors[0].message)
    for name, _ in cache:
        if name not in names:
            raise SettingRefused(CACHE, f"no trusted document has a query called {name!r}")
    return TrustedDocuments(by_id)


def _texts(file: Path) -> Iterator[tuple[str, str]]:
    try:
        manifest = orjson.loads(file.read_bytes())
    except OSError as error:
        raise SettingRefused(MANIFEST, f"{file}: {error.strerror or error}") from None
    except orjson.JSONDecodeError as error:
        raise SettingRefused(MANIFEST, f"{file} is not JSON: {error}") from None
    for id_, text in _pairs(file, manifest):
        if not (isinstance(id_, str) and 0 < len(id_) <= MAX_ID and isinstance(text, str)):
            raise SettingRefused(MANIFEST, f"{file}: a document has an id of 1 to {MAX_ID} characters, and a text")
        yield id_.removeprefix("sha256:"), text


def _pairs(file: Path, manifest: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(manifest, dict) and "format" not in manifest:
        yield from manifest.items()
        return
    if not isinstance(manifest, dict) or manifest["format"] != APOLLO or manifest.get("version") != 1:
        raise SettingRefused(MANIFEST, f"{file} is neither an object from id to text nor version 1 of {APOLLO}")
    for operation in manifest.get("operations") or ():
        yield (operation.get("id"), operation.get("body")) if isinstance(operation, dict) else (None, None)


def _parsed(file: Path, id_: str, text: str) -> DocumentNode:
    try:
        return parse(text, no_location=True)
    except GraphQLError as error:
        raise SettingRefused(MANIFEST, f"{file}: document {id_!r} is not GraphQL: {error.message}") from None


def _queries(document: DocumentNode) -> Iterator[OperationDefinitionNode]:
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.QUERY:
            yield definition


def _cache_s(
    document: DocumentNode, queries: Container[str], cache: Sequence[tuple[str, int]]
) -> Mapping[str | None, int]:
    found: dict[str | None, int] = {name: seconds for name, seconds in cache if name in queries}
    if found and sum(isinstance(each, OperationDefinitionNode) for each in document.definitions) == 1:
        found[None] = next(iter(found.values()))
    return found
