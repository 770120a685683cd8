"""How something of ours is found in Stripe's lists: page after page, by our key in its metadata."""

from collections.abc import AsyncIterator, Awaitable, Callable

import orjson

from hub.channels.exchange import Answer, Silence
from hub.channels.stripe_words import Json, page_in
from hub.domain.payments import Outcome

PAGE = 100  # the most that a list gives at once
MAX_PAGES_SOUGHT = 20  # 2,000 payments of about one moment; after that a person looks
MAX_PAGES_OF_DAY = 10_000  # a million movements

Page = Callable[[Json], Awaitable[Answer | Silence]]


async def listed(page: Page, query: Json, name: str, key: str) -> Answer | Silence | None:
    """The one with our key in its metadata, as an answer of its own; None when the list ends without it."""
    async for one in pages(page, query, MAX_PAGES_SOUGHT):
        if isinstance(one, Answer | Silence):
            return one
        if (one.get("metadata") or {}).get(name) == key:
            return Answer(200, {}, orjson.dumps(one))
    return None


async def pages(page: Page, query: Json, most: int) -> AsyncIterator[Json | Answer | Silence]:
    """What a list holds, page after page; last of all an answer that is no page, if one comes."""
    after: Json = {}
    for _ in range(most):
        answer = await page({**query, **after, "limit": PAGE})
        held = page_in(answer)
        if isinstance(held, Answer | Silence):
            yield held
            return
        for one in held.data:
            yield one
        if not held.has_more:
            return
        after = {"starting_after": held.data[-1]["id"]}
    yield Silence(Outcome.UNKNOWN, "too_many_to_look_through")
