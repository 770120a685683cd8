"""Idempotency (幂等): one row per principal, mutation and key, written before anything else."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import Table, bindparam, literal_column, select, update

from hub.domain.ids import Draw
from hub.domain.refusals import Refusal
from hub.domain.requests import (
    REQUEST_LEASE_US,
    IdempotencyConflict,
    InProgress,
    RequestKey,
    Seen,
    refusal_body,
    refusal_from,
)
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

request = Table(
    "request",
    metadata,
    text("principal", primary_key=True),
    text("operation", primary_key=True),
    text("key", primary_key=True),
    text("fingerprint"),
    text("state"),  # RUNNING, DONE
    text("subject_id"),
    text("refusal", nullable=True),  # JSON
    integer("lease_until_us"),
    integer("created_at_us"),
)


class Requests:
    """`tx.requests`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def begin(self, request_key: RequestKey, subject_id: str, draw: Draw) -> Seen | None:
        """Put the row there RUNNING; None: it is new, go on. Otherwise what the earlier request came to.

        Raises IdempotencyConflict for another input, InProgress while the earlier one lives. A dead one's lease is
        taken over, so that one caller alone resumes it.
        """
        fresh = await self._rx.one(
            _BEGIN,
            str,
            **_names(request_key),
            fingerprint=request_key.fingerprint,
            state="RUNNING",
            subject_id=subject_id,
            refusal=None,
            lease_until_us=draw.now_us + REQUEST_LEASE_US,
            created_at_us=draw.now_us,
        )
        if fresh is not None:
            return None
        stored = await self._rx.one(_SEEN, _Row, **_names(request_key))
        assert stored is not None
        if stored.fingerprint != request_key.fingerprint:
            raise IdempotencyConflict
        if stored.state == "DONE":
            refusal = refusal_from(orjson.loads(stored.refusal)) if stored.refusal else None
            return Seen(stored.subject_id, refusal, is_done=True, is_dead=False)
        lives_for_us = stored.lease_until_us - draw.now_us
        if lives_for_us > 0:
            raise InProgress(retry_after_ms=min(lives_for_us // 1000, RETRY_AFTER_MS))
        until_us = draw.now_us + REQUEST_LEASE_US
        if not await self._rx.run(_TAKE_OVER, **_names(request_key), lease_until_us=until_us, now=draw.now_us):
            raise InProgress(retry_after_ms=RETRY_AFTER_MS)  # another caller was first to take it over
        return Seen(stored.subject_id, None, is_done=False, is_dead=True)

    async def finish(self, request_key: RequestKey, refusal: Refusal | None) -> None:
        """RUNNING → DONE with the refusal or the subject; a DONE row stays as it is."""
        body = None if refusal is None else orjson.dumps(refusal_body(refusal)).decode()
        await self._rx.run(_FINISH, **_names(request_key), refusal=body)


# How soon a client may ask again about a request that runs: a call that answers at all mostly does within a second.
RETRY_AFTER_MS = 1_000


@dataclass(frozen=True, slots=True)
class _Row:
    fingerprint: str
    state: str
    subject_id: str
    refusal: str | None
    lease_until_us: int


def _names(request_key: RequestKey) -> dict[str, str]:
    return {"principal_": request_key.principal, "operation_": request_key.operation, "key_": request_key.key}


_c = request.c
_ours = (
    (_c.principal == bindparam("principal_"))
    & (_c.operation == bindparam("operation_"))
    & (_c.key == bindparam("key_"))
)
_BEGIN = (
    inserted(request, principal="principal_", operation="operation_", key="key_")
    .on_conflict_do_nothing()
    .returning(_c.key)
)
_SEEN = select(_c.fingerprint, _c.state, _c.subject_id, _c.refusal, _c.lease_until_us).where(_ours)
_TAKE_OVER = (
    update(request)
    .where(_ours & (_c.state == literal_column("'RUNNING'")) & (_c.lease_until_us <= bindparam("now")))
    .values(lease_until_us=bindparam("lease_until_us"))
)
_FINISH = (
    update(request)
    .where(_ours & (_c.state == literal_column("'RUNNING'")))
    .values(state=literal_column("'DONE'"), refusal=bindparam("refusal"))
)
