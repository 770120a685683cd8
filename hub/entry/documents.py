"""Where a document comes in, by whatever transport: its text, its hash, or its id in a manifest of trusted ones.

    open      any document within the limits
    apq       likewise, and a document that ran once is known by its SHA-256 (automatic persisted queries)
    trusted   only documents of the operator's manifests, by id or SHA-256; operators may send others

Each transport calls `StoredDocuments.take` and hands `Taken.extensions` to the schema, whose limits say when it passed.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from graphql import GraphQLError

from hub.domain.people import Viewer, ViewerKind
from hub.entry.asked import TAKEN, Asked
from hub.entry.limits import refuse_text
from hub.entry.manifests import Trusted, TrustedDocuments

MAX_STORED = 1024  # documents; an app has some dozens
# Characters of all stored documents together. Whoever floods the store costs others a request each, and us no memory.
MAX_STORED_TEXT = 1024 * 1024


def _kept_nowhere() -> None:
    """A document without a hash."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A document that may be parsed: its text, and what stands in the manifest if it is a trusted one."""

    text: str
    asked: Asked
    trusted: Trusted | None = None
    passed: Callable[[], None] = _kept_nowhere  # called once the document is within the limits and valid

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

    def _by_hash(self, asked: Asked, hash_: str) -> Taken:
        if asked.query is None:
            text = self._persisted.find(hash_)
            if text is None:
                # Both by the word and by the code: urql looks for the one, Apollo Client for either.
                raise _refused("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
            return Taken(text, asked)
        if hashlib.sha256(asked.query.encode("utf-8", "surrogatepass")).hexdigest() != hash_:
            raise _refused("the hash is not the query's SHA-256 in small hexadecimal digits", "BAD_USER_INPUT")
        return Taken(asked.query, asked, passed=partial(self._persisted.keep, hash_, asked.query))

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
