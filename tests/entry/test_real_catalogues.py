"""Real, dirty catalogues on a running hub: imported beside it, bought from by many at once, recorded, and verified.

Runs whenever the files are there: in the folder that HUB_TEST_CATALOGS names, or in shared/data/catalogs beside the
checkout.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hub.entry.demo_client import Client
from tests.entry.hubs import CHECKOUT, LINK, LIST, VERIFY, House, Serving, Sold, order_of, reached, until

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "catalogs"
FOLDER = Path(os.environ.get("HUB_TEST_CATALOGS") or BESIDE)
FILES = {
    "udemy": ("udemy_courses.csv", 3678),
    "edx": ("edx_courses.csv", 975),
    "coursera": ("Coursera_courses.csv", 623),
}
MISSING = [name for name, _ in FILES.values() if not (FOLDER / name).exists()]
IMPORTED_AGAIN = "coursera"  # the smallest; all of them, twice, through the flow: tests/flows/test_catalogue.py
BUYERS = 16
MOST_PURCHASES = 500
PURCHASE_WITHIN_S = 0.6  # each of the purchases, recorded on chain, on two busy cores
READER = "reader-1"
COUNTS = re.compile(
    r"hub: (\d+) added, (\d+) changed, (\d+) unchanged, (\d+) withdrawn; (\d+) free, (\d+) with unknown"
)
PAGE = """query($platform: String!, $after: String) {
  courses(first: 100, after: $after, where: { platform: { eq: $platform } }) {
    nodes { id listings { id price { amountMinor currency } } } pageInfo { hasNextPage endCursor } } }"""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"the catalogues are not in {FOLDER}: {', '.join(MISSING)}"),
]


@dataclass(frozen=True, slots=True)
class Market:
    """A hub with all three catalogues. `first` is the counts of their imports, `again` of one's second."""

    house: House
    hub: Serving
    first: dict[str, tuple[int, ...]]
    again: tuple[int, ...]
    priced: list[Sold]
    free: list[Sold]
    unknown: list[str]  # listing ids


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    house = House(tmp_path_factory.mktemp("catalogues") / "data", batch_ms=1_000)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        hub = await house.serve()
        first = {slug: await _import(house, slug) for slug in FILES}
        again = await _import(house, IMPORTED_AGAIN)
        learner = await stack.enter_async_context(Client(hub.origin, await house.token("learner")))
        priced, free, unknown = await _shelf(learner, "udemy")
        unknown += (await _shelf(learner, "edx"))[2]
        yield Market(house, hub, first, again, priced, free, unknown)


async def _import(house: House, slug: str) -> tuple[int, ...]:
    """(added, changed, unchanged, withdrawn, free, unknown) of one import, beside the running server."""
    code, said = await house.command("import", str(FOLDER / FILES[slug][0]), "--platform", slug, "--format", slug)
    counts = COUNTS.search(said)
    assert code == 0, said
    assert f"{FILES[slug][1]} rows" in said
    assert counts is not None, said
    return tuple(map(int, counts.groups()))


async def _shelf(learner: Client, slug: str) -> tuple[list[Sold], list[Sold], list[str]]:
    """What a platform sells, as the public API tells it: priced, free, and of unknown price."""
    priced: list[Sold] = []
    free: list[Sold] = []
    unknown: list[str] = []
    after: str | None = None
    while True:
        page = (await learner.query(PAGE, {"platform": slug, "after": after}))["courses"]
        for course in page["nodes"]:
            for listing in course["listings"]:
                price = listing["price"]
                if price is None:
                    unknown.append(listing["id"])
                else:
                    sold = Sold(listing["id"], course["id"], int(price["amountMinor"]), price["currency"])
                    (priced if sold.price_minor else free).append(sold)
        after = page["pageInfo"]["endCursor"]
        is_enough = (len(priced) > MOST_PURCHASES // BUYERS + 1 and len(free) > 0) or len(unknown) > 0
        if is_enough or not page["pageInfo"]["hasNextPage"]:
            return priced, free, unknown


async def test_every_row_is_taken_or_accounted_for_and_again_changes_nothing(market: Market) -> None:
    for slug in FILES:
        added, changed, unchanged, withdrawn, free, unknown = market.first[slug]
        assert (changed, unchanged, withdrawn) == (0, 0, 0)
        if slug == IMPORTED_AGAIN:
            assert market.again == (0, 0, added, 0, free, unknown)
    assert {slug: market.first[slug][0] for slug in FILES} == {"udemy": 3672, "edx": 974, "coursera": 623}


async def test_course_bought_from_a_real_catalogue_opens_on_the_platform_that_lists_it_too(market: Market) -> None:
    learner_token, partner_token, operator_token = await asyncio.gather(
        market.house.token("learner"), market.house.token("partner", platform="folio"), market.house.token("operator")
    )
    sold = market.priced[0]
    async with (
        Client(market.hub.origin, learner_token) as learner,
        Client(market.hub.origin, partner_token) as partner,
        Client(market.hub.origin, operator_token) as operator,
    ):
        await partner.mutate(LIST, {"externalId": "the-same-course", "courseId": sold.course_id})
        await partner.mutate(LINK, {"externalId": READER, "userToken": learner_token})
        asked: dict[str, Any] = {"input": {"member": {"externalId": READER}}, "course": sold.course_id}
        assert not (await partner.query(VERIFY, asked))["verifyEntitlement"]["isEntitled"]
        bought = await learner.mutate(CHECKOUT, sold.bought("one of the catalogue"))
        assert (await partner.query(VERIFY, asked))["verifyEntitlement"]["isEntitled"]
        order = await reached(learner, bought["order"]["id"], status="PAID", chainStatus="FINALIZED")
        proved = {"input": {"proof": order["proof"]["bundle"]}, "course": sold.course_id}
        assert (await operator.query(VERIFY, proved))["verifyEntitlement"]["isEntitled"]


async def test_unknown_price_cannot_be_bought_and_free_is_granted_at_once(market: Market) -> None:
    async with Client(market.hub.origin, await market.house.token("learner")) as learner:
        answer = await learner.query(CHECKOUT, {"input": Sold(market.unknown[0], "", 0).bought("unknown")})
        refused = answer["checkout"]
        assert refused["order"] is None
        assert [error["code"] for error in refused["userErrors"]] == ["NOT_PURCHASABLE"]
        free = await learner.mutate(CHECKOUT, market.free[0].bought("free"))
        assert (free["order"]["status"], free["paymentAttempt"]) == ("PAID", None)
        assert (await order_of(learner, free["order"]["id"]))["entitlement"]["isOpen"]


# As many as the default run has time for; 500 in it through the flow alone: tests/flows/test_catalogue.py.
@pytest.mark.parametrize("purchases", [80, pytest.param(MOST_PURCHASES, marks=pytest.mark.chaos)])
async def test_sixteen_buyers_buy_courses_at_once_and_every_order_is_recorded(market: Market, purchases: int) -> None:
    # Of the most, what takes too long on a busy machine may be asked about first.
    at_once = {"CHARGED"} if purchases < MOST_PURCHASES else {"CHARGED", "UNKNOWN"}
    before = len(market.house.movements())
    users = [f"buyer {number}" for number in range(BUYERS)]
    tokens = await asyncio.gather(*(market.house.token("learner", user=user) for user in users))
    orders: list[str] = []

    async def shop(number: int, token: str) -> None:
        async with Client(market.hub.origin, token) as buyer:
            for sold in market.priced[: len(range(number, purchases, BUYERS))]:
                bought = await buyer.mutate(CHECKOUT, sold.bought(sold.listing_id))
                assert bought["paymentAttempt"]["state"] in at_once
                orders.append(bought["order"]["id"])

    within_s = purchases * PURCHASE_WITHIN_S
    async with asyncio.timeout(within_s):
        await asyncio.gather(*(shop(number, token) for number, token in enumerate(tokens)))
        assert len(set(orders)) == purchases
        await until(lambda: _all_recorded(market.house), within_s=within_s, every_s=0.5, what="every order FINALIZED")
    states = await market.house.rows(
        "SELECT status, charge_status, chain_status, count(*) FROM order_ WHERE user_id IN "
        "(SELECT user_id FROM identity WHERE subject LIKE 'buyer %') GROUP BY 1, 2, 3"
    )
    assert states == [("PAID", "FULL", "FINALIZED", purchases)]
    charged = [status for _, status in market.house.movements()]
    assert charged == ["succeeded"] * (before + purchases)
    said = await market.house.verified()
    assert re.search(r"open Breaks \(listed, for a person to settle\) +0 ", said)


async def _all_recorded(house: House) -> bool:
    return await house.rows("SELECT count(*) FROM order_ WHERE chain_status <> 'FINALIZED'") == [(0,)]
