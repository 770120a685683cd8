"""Where a document comes in, by whatever transport: its text, its hash, or its id in a manifest of trusted ones.

    open      any document within the limits
    apq       likewise, and a document that ran once is known by its SHA-256 (automatic persisted queries)
    trusted   only documents of the operator's manifests, by id or SHA-256; operators may send others

Each transport calls `StoredDocuments.take` and hands `Taken.extensions` to the schema; `DocumentRules` does the rest.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode
from strawberry.extensions import SchemaExtension

from hub.domain.people import Viewer, ViewerKind
from hub.entry.asked import Asked
from hub.entry.limits import refuse_text
from hub.entry.manifests import Trusted, TrustedDocuments

MAX_STORED = 1024  # documents; an app has some dozens
# Characters of all stored documents together. Whoever floods the store costs others a request each, and us no memory.
MAX_STORED_TEXT = 1024 * 1024
TAKEN = "hub.taken"  # our word among an operation's extensions; a client's own by this name is overwritten


@dataclass(frozen=True, slots=True)
class Taken:
    """A document that may be parsed: its text, and what stands in the manifest if it is a trusted one."""

    text: str
    asked: Asked
    trusted: Trusted | None = None
    sha256: str | None = None  # verified, and to be stored once the document has passed validation

    @property
    def extensions(self) -> dict[str, Any]:
        """What the schema is given as the operation's extensions: the client's own, and this document."""
        return {**(self.asked.extensions or {}), TAKEN: self}

    def cache_s(self, viewer: Viewer) -> int | None:
        """How many seconds anybody may keep the answer; None: nobody. What a viewer sees is theirs alone."""
        if self.trusted is None or viewer.kind is not ViewerKind.ANONYMOUS:
            return None
        return self.trusted.cache_s.get(self.asked.operation_name)


class StoredDocuments:
    """What is known by a hash or an id. One per app."""

    def __init__(self, mode: str, trusted: TrustedDocuments | None = None) -> None:
        self._mode = mode
        self._trusted = trusted or TrustedDocuments()
        self._persisted = Persisted()

    def take(self, asked: Asked, viewer: Viewer) -> Taken:
        """The document that is asked for. Raises GraphQLError for one that may not run, is not known or too long."""
        if self._mode == "trusted":
            taken = self._of_manifest(asked, viewer)
        elif asked.document_id is None:
            taken = _free(asked)
        elif self._mode == "apq":
            taken = self._by_hash(asked, asked.document_id)
        elif asked.query is None:
            raise _refused("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
        else:
            taken = _free(asked)
        if not taken.text:
            raise _refused("`query` is empty", "BAD_USER_INPUT")
        if refusal := refuse_text(taken.text):
            raise refusal
        return taken

    def passed(self, taken: Taken) -> None:
        """Keep a document that has passed limits and validation, if it came with its hash."""
        if taken.sha256 is not None:
            self._persisted.keep(taken.sha256, taken.text)

    def _by_hash(self, asked: Asked, hash_: str) -> Taken:
        if asked.query is None:
            text = self._persisted.find(hash_)
            if text is None:
                # Both by the word and by the code: urql looks for the one, Apollo Client for either.
                raise _refused("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
            return Taken(text, asked)
        if hashlib.sha256(asked.query.encode("utf-8", "surrogatepass")).hexdigest() != hash_:
            raise _refused("the hash is not the query's SHA-256 in small hexadecimal digits", "BAD_USER_INPUT")
        return Taken(asked.query, asked, sha256=hash_)

    def _of_manifest(self, asked: Asked, viewer: Viewer) -> Taken:
        known = self._trusted.find(asked.document_id) if asked.document_id is not None else None
        if known is not None and asked.query in (None, known.text):
            return Taken(known.text, asked, known)
        if asked.query is not None and viewer.kind is ViewerKind.OPERATOR:
            return _free(asked)
        if known is not None:
            raise _refused("this is not the text of the trusted document with this id", "BAD_USER_INPUT")
        if asked.document_id is not None:
            raise _refused("no trusted document has this id", "PERSISTED_QUERY_NOT_IN_LIST")
        raise _refused("only trusted documents run here: send the id of one", "PERSISTED_QUERY_ID_REQUIRED")


def _free(asked: Asked) -> Taken:
    assert asked.query is not None  # or else it has an id
    return Taken(asked.query, asked)


def _refused(message: str, code: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code})


@dataclass(slots=True)
class Persisted:
    """The persisted documents that were used last, by SHA-256; bounded in number and in text."""

    _texts: "OrderedDict[str, str]" = field(default_factory=OrderedDict)
    _size: int = 0

    def find(self, sha256: str) -> str | None:
        text = self._texts.get(sha256)
        if text is not None:
            self._texts.move_to_end(sha256)
        return text

    def keep(self, sha256: str, text: str) -> None:
        if sha256 in self._texts:
            return
        self._texts[sha256] = text
        self._size += len(text)
        while len(self._texts) > MAX_STORED or self._size > MAX_STORED_TEXT:
            _, oldest = self._texts.popitem(last=False)
            self._size -= len(oldest)

    def __len__(self) -> int:
        return len(self._texts)


class DocumentRules(SchemaExtension):
    """Strawberry's hook around validation, after that of the limits. Made anew for each operation."""

    def __init__(self, documents: StoredDocuments) -> None:
        self._documents = documents

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        # Strawberry would run the first of several; its public property cannot tell whether one was named.
        is_named = context._provided_operation_name is not None
        if not context.pre_execution_errors and not is_named and _has_several(context.graphql_document):
            context.pre_execution_errors = [
                GraphQLError("Must provide operation name if query contains multiple operations.")
            ]
        yield
        taken = (context.operation_extensions or {}).get(TAKEN)
        if isinstance(taken, Taken) and not context.pre_execution_errors:
            self._documents.passed(taken)


def _has_several(document: DocumentNode | None) -> bool:
    definitions = document.definitions if document else ()
    return sum(isinstance(definition, OperationDefinitionNode) for definition in definitions) > 1
