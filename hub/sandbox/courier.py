"""The provider's outgoing notices: signed, posted to the merchant, tried again until a 2xx, kept across restarts."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from hub.sandbox import faults
from hub.sandbox.keys import Keys
from hub.sandbox.signatures import HEADER, signature
from hub.sandbox.tables import Tables
from hub.sandbox.time import Clock

log = logging.getLogger(__name__)

RETRY_AFTER_S: tuple[float, ...] = (1, 2, 5, 15, 60, 300, 900, 3600, 3600, 7200, 14400, 28800)  # about 16 hours in all
TIMEOUT_S = 10.0  # for one post, as the large providers have it
AT_ONCE = 16  # posts under way together
SHORTEST_SLEEP_S = 0.01  # no round follows the last without letting the server breathe
LONGEST_SLEEP_S = 30.0  # an expiry that nobody looks at is noticed within this time
HELD_AT_MOST_S = 30.0  # a notice that is to come after a later one, when none comes
STALE_S = 600  # twice the window that merchants allow


@dataclass(frozen=True, slots=True)
class Letter:
    """One waiting notice; `tries` posts were made before this one."""

    id: str
    url: str
    body: str
    tries: int
    reference: str


class Courier:
    """Posts what waits, and first does what is `due` by the clock (each gets unix seconds, inside a transaction).

    One per provider; `run` is its task, `wake` tells it that something new waits.
    """

    def __init__(
        self,
        tables: Tables,
        keys: Keys,
        due: Sequence[Callable[[int], object]],
        client: httpx.AsyncClient,
        clock: Clock,
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
    ) -> None:
        self._tables = tables
        self._keys = keys
        self._due_by_clock = due
        self._client = client
        self._clock = clock
        self._retry_after_s = retry_after_s
        self._something_new = asyncio.Event()
        self._one_round = asyncio.Lock()  # two rounds at once would post one notice twice

    def wake(self) -> None:
        self._something_new.set()

    async def run(self) -> None:
        """Until cancelled: close what expired, post what is due, sleep until the next is."""
        while True:
            self._something_new.clear()
            try:
                await self.work()
                async with asyncio.timeout(self._until_next_s()):  # wait_for loses a cancellation that meets a wake-up
                    await self._something_new.wait()
            except TimeoutError:
                pass
            except sqlite3.Error:  # a full disk, say: the notices wait in their table
                log.exception("the sandbox's notices wait: its tables cannot be used")
                await asyncio.sleep(LONGEST_SLEEP_S)

    async def work(self) -> int:
        """Do all that is due now; gives the number of notices posted or dropped."""
        async with self._one_round:
            with self._tables.transaction():
                for do in self._due_by_clock:
                    do(int(self._clock()))
                self._tables.forget_old_answers(int(self._clock()))
            letters = self._due()
            await asyncio.gather(*(self._post(letter) for letter in letters))
            return len(letters)

    def _due(self) -> list[Letter]:
        rows = self._tables.all(
            "SELECT notice.id, url, body, tries, reference FROM notice JOIN intent ON intent.id = intent_id "
            "WHERE state = 'waiting' AND due_at <= :now ORDER BY due_at, notice.id LIMIT :limit",
            now=self._clock(),
            limit=AT_ONCE,
        )
        return [Letter(**dict(row)) for row in rows]

    def _until_next_s(self) -> float:
        row = self._tables.one(
            "SELECT MIN(at) AS at FROM (SELECT MIN(due_at) AS at FROM notice WHERE state = 'waiting' "
            "UNION ALL SELECT MIN(expires_at) FROM intent WHERE status = 'requires_action' "
            "UNION ALL SELECT MIN(capture_before) FROM intent WHERE status = 'requires_capture' "
            "UNION ALL SELECT MIN(settles_at) FROM refund WHERE status = 'pending')"
        )
        next_at = row["at"] if row else None
        if next_at is None:
            return LONGEST_SLEEP_S
        return float(min(max(next_at - self._clock(), SHORTEST_SLEEP_S), LONGEST_SLEEP_S))

    async def _post(self, letter: Letter) -> None:
        with self._tables.transaction():
            fault = faults.take(self._tables, faults.PAYMENTS, faults.NOTICE, letter.reference)
            if fault and fault.kind == "never":
                self._settle(letter, "abandoned")
                return
            if fault and fault.kind == "late_s" and not letter.tries:
                assert fault.value is not None
                self._postpone(letter, fault.value)
                return
            if fault and fault.kind == "out_of_order" and not letter.tries:
                self._postpone(letter, HELD_AT_MOST_S, is_held=True)
                return
        body, headers = self._sealed(letter.body, fault)
        copies = fault.value or 1 if fault and fault.kind == "duplicate_n" else 1
        taken = await asyncio.gather(*(self._was_taken(letter.url, body, headers) for _ in range(copies)))
        with self._tables.transaction():
            if all(taken):
                self._settle(letter, "delivered")
                self._let_go(letter)
            elif letter.tries >= len(self._retry_after_s):
                log.warning("sandbox notice %s was given up after %d tries", letter.id, letter.tries + 1)
                self._settle(letter, "abandoned")
            else:
                self._postpone(letter, self._retry_after_s[letter.tries])

    def _sealed(self, text: str, fault: faults.Fault | None) -> tuple[bytes, dict[str, str]]:
        kind = fault.kind if fault else None
        if kind == "tamper_amount":
            event = json.loads(text)
            for name in {"amount", "amount_received"} & event["data"]["object"].keys():
                event["data"]["object"][name] += 1
            text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        body = text.encode()
        secret = "not the secret" if kind == "forged" else self._keys.notice_secret
        at = int(self._clock.real()) - (STALE_S if kind == "stale" else 0)
        return body, {HEADER: signature(body, secret, at), "Content-Type": "application/json"}

    async def _was_taken(self, url: str, body: bytes, headers: dict[str, str]) -> bool:
        try:
            answer = await self._client.post(url, content=body, headers=headers, timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL):
            return False  # whatever became of it, the merchant sees it again
        return answer.is_success

    def _settle(self, letter: Letter, state: str) -> None:
        self._tables.run(
            "UPDATE notice SET state = :state, tries = tries + 1 WHERE id = :id", state=state, id=letter.id
        )

    def _postpone(self, letter: Letter, delay_s: float, *, is_held: bool = False) -> None:
        self._tables.run(
            "UPDATE notice SET tries = tries + 1, due_at = :due_at, is_held = :is_held WHERE id = :id",
            due_at=self._clock() + delay_s,
            is_held=int(is_held),
            id=letter.id,
        )

    def _let_go(self, letter: Letter) -> None:
        """A later notice was taken: now go those that were to come after it."""
        self._tables.run(
            "UPDATE notice SET due_at = :now, is_held = 0 WHERE is_held = 1 AND state = 'waiting' "
            "AND intent_id = (SELECT intent_id FROM notice WHERE id = :id)",
            now=self._clock(),
            id=letter.id,
        )
        self.wake()
