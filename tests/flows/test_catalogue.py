"""What platforms sell: put one by one or by files, the same again changing nothing, and never merged by the import."""

import asyncio
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.domain.catalogue import MAX_TITLE, CourseKind, Listing, ListingDraft, Platform
from hub.domain.catalogue_files import ENCODING, ENCODING_ERRORS, Format, read, summarise
from hub.domain.money import MAX_PRICE_MINOR, Money
from hub.domain.refusals import InvalidInput, NotFound, NotPurchasable
from hub.flows import catalogue, orders
from hub.flows.catalogue import ImportReport
from hub.store.transactions import Store
from tests.flows.benches import Bench
from tests.world import World, operator, partner

KNOTS = ListingDraft("c-1", "Knots", price=Money(9900, "CNY"))


async def connected(bench: Bench, slug: str = "xue", currency: str = "CNY") -> Platform:
    return await catalogue.connect_platform(bench.hub, slug=slug, name=slug.title(), currency=currency)


async def put(bench: Bench, platform: Platform, draft: ListingDraft = KNOTS) -> Listing:
    answer = await catalogue.upsert_listing(bench.hub, partner(platform), draft)
    assert answer.value is not None, answer.refusal
    return answer.value


async def everything(bench: Bench) -> list[object]:
    """All that an import could change."""
    tables = ("listing", "course", "event", "merchant", "platform")
    return [await bench.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables]


# ---- one by one ------------------------------------------------------------------------------------------------------


async def test_platform_comes_with_its_merchant_and_an_agreement_that_owes_it_the_rest(bench: Bench) -> None:
    platform = await connected(bench)
    assert await connected(bench) == platform
    order = await bench.order(await bench.world.learner(), await put(bench, platform))
    shares = await bench.one(f"SELECT shares FROM share_agreement WHERE id = '{order.agreement_id}'")
    assert json.loads(shares) == [[platform.id, 9500], [None, 500]]


async def test_listing_put_by_two_processes_at_once_is_one_listing(bench: Bench) -> None:
    platform, rival = await connected(bench), bench.rival()
    for n in range(3):
        draft = replace(KNOTS, external_id=f"c-{n}")
        listed = await asyncio.gather(*[
            catalogue.upsert_listing((rival if i % 2 else bench).hub, partner(platform), draft) for i in range(8)
        ])  # fmt: skip
        stored = await bench.one(f"SELECT id FROM listing WHERE external_id = 'c-{n}'")
        assert {answer.value and answer.value.id for answer in listed} == {stored}
    assert await bench.one("SELECT count(*) FROM course") == 3


async def test_known_course_is_listed_by_another_platform_and_keeps_its_words(bench: Bench) -> None:
    first = await put(bench, await connected(bench))
    other = await connected(bench, "bo")
    second = await put(bench, other, ListingDraft("b-9", "Rope work", course_id=first.course_id))
    assert (second.course_id, second.title, second.price) == (first.course_id, "Rope work", None)
    assert await bench.rows("SELECT title FROM course") == [("Knots",)]


async def test_listing_of_one_course_is_not_moved_to_another(bench: Bench) -> None:
    platform = await connected(bench)
    first, second = await put(bench, platform), await put(bench, platform, replace(KNOTS, external_id="c-2"))
    moved = replace(KNOTS, course_id=second.course_id)
    answer = await catalogue.upsert_listing(bench.hub, partner(platform), moved)
    assert isinstance(answer.refusal, InvalidInput)
    assert await held(bench, platform, "c-1") == first


async def held(bench: Bench, platform: Platform, external_id: str) -> Listing:
    [listing] = await bench.store.write(all_held, platform.id, [external_id])
    return listing


async def all_held(tx: Any, platform_id: str, external_ids: list[str]) -> list[Listing]:
    return [(await tx.catalogue.lock_listing(platform_id, external_id))[0] for external_id in external_ids]


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (replace(KNOTS, external_id=" "), "externalId"),
        (replace(KNOTS, title=""), "title"),
        (replace(KNOTS, title="x" * (MAX_TITLE + 1)), "title"),
        (replace(KNOTS, title="a\x00"), "title"),
        (replace(KNOTS, summary="\ud800"), "summary"),
        (replace(KNOTS, url="javascript:alert(1)"), "url"),
        (replace(KNOTS, price=Money(MAX_PRICE_MINOR + 1, "CNY")), "price"),
    ],
)
async def test_listing_that_cannot_be_kept_is_refused(bench: Bench, draft: ListingDraft, field: str) -> None:
    platform = await connected(bench)
    answer = await catalogue.upsert_listing(bench.hub, partner(platform), draft)
    assert isinstance(answer.refusal, InvalidInput)
    assert answer.refusal.field == field
    assert await bench.one("SELECT count(*) FROM listing") == 0


async def test_listing_needs_a_platform_and_a_course_that_are_there(bench: Bench) -> None:
    platform = await connected(bench)
    nowhere = await catalogue.upsert_listing(bench.hub, operator(), KNOTS)
    unknown = await catalogue.upsert_listing(bench.hub, operator(), KNOTS, platform_id="plt_" + "0" * 26)
    orphan = replace(KNOTS, course_id="crs_" + "0" * 26)
    courseless = await catalogue.upsert_listing(bench.hub, partner(platform), orphan)
    assert [answer.refusal for answer in (nowhere, unknown, courseless)] == [
        NotFound("platformId"), NotFound("platformId"), NotFound("courseId"),
    ]  # fmt: skip


async def test_key_of_one_platform_writes_nothing_of_another(bench: Bench) -> None:
    own, other = await connected(bench), await connected(bench, "bo")
    answer = await catalogue.upsert_listing(bench.hub, partner(own), KNOTS, platform_id=other.id)
    assert answer.value is None or answer.value.platform_id == own.id
    assert await bench.rows(f"SELECT id FROM listing WHERE platform_id = '{other.id}'") == []


async def test_withdrawn_listing_comes_back_and_rights_stay(bench: Bench) -> None:
    platform, viewer = await connected(bench), await bench.world.learner()
    listing = await put(bench, platform)
    await bench.buy(viewer, listing)
    await catalogue.import_listings(bench.hub, platform.id, [], withdraw_all_but=frozenset())
    answer = await bench.buy(await bench.world.learner(), listing)
    assert isinstance(answer.refusal, NotPurchasable)
    assert await bench.rows("SELECT state FROM entitlement") == [("ACTIVE",)]
    assert (await put(bench, platform)).version == 3
    assert (await bench.buy(await bench.world.learner(), listing, key="again")).refusal is None


# ---- files -----------------------------------------------------------------------------------------------------------


async def imported(bench: Bench, platform: Platform, drafts: Iterable[ListingDraft]) -> ImportReport:
    kept = list(drafts)
    named = frozenset(draft.external_id for draft in kept)
    return await catalogue.import_listings(bench.hub, platform.id, kept, withdraw_all_but=named)


async def test_import_counts_what_it_added_changed_left_and_withdrew(bench: Bench) -> None:
    platform = await connected(bench)
    drafts = [replace(KNOTS, external_id=f"c-{n}") for n in range(120)]
    rows: list[int] = []
    report = await catalogue.import_listings(bench.hub, platform.id, drafts, progress=rows.append)
    assert (report.added, report.changed, report.unchanged, sum(rows)) == (120, 0, 0, 120)
    before = await everything(bench)
    report = await imported(bench, platform, drafts)
    assert (report.added, report.changed, report.unchanged, report.withdrawn) == (0, 0, 120, 0)
    assert await everything(bench) == before
    drafts[3] = replace(drafts[3], kind=CourseKind.EBOOK, title="More knots")
    bad = replace(KNOTS, external_id="bad", title="")
    report = await imported(bench, platform, [*drafts[:100], bad])
    assert (report.added, report.changed, report.unchanged, report.withdrawn) == (0, 1, 99, 20)
    assert [external_id for external_id, _ in report.refused] == ["bad"]
    assert await bench.rows("SELECT kind, title FROM course WHERE title <> 'Knots'") == [("EBOOK", "More knots")]


async def test_progress_counts_refused_rows_too(bench: Bench) -> None:
    rows: list[int] = []
    drafts = [KNOTS, replace(KNOTS, external_id="bad", title="")]
    platform = await connected(bench)
    await catalogue.import_listings(bench.hub, platform.id, drafts, progress=rows.append)
    assert sum(rows) == 2


FILES = (
    ("udemy_courses.csv", Format.UDEMY, "USD", 3_672),
    ("edx_courses.csv", Format.EDX, None, 974),
    ("Coursera_courses.csv", Format.COURSERA, None, 623),
)


def real(name: str, format: Format, currency: str | None) -> list[ListingDraft]:
    shared = Path(__file__).resolve().parents[3] / "shared" / "data" / "catalogs"
    folder = Path(os.environ.get("HUB_TEST_CATALOGS") or shared)
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not here: HUB_TEST_CATALOGS names no folder with the three real catalogues")
    with open(folder / name, newline="", encoding=ENCODING, errors=ENCODING_ERRORS) as stream:
        return [row.draft for row in summarise(read(stream, format, currency=currency)).rows]


@pytest.mark.parametrize(("name", "format", "currency", "count"), FILES, ids=lambda value: str(value)[:12])
async def test_real_catalogue_twice_changes_nothing(
    sqlite_store: Store, name: str, format: Format, currency: str | None, count: int
) -> None:
    bench = Bench(sqlite_store, World(sqlite_store))
    drafts = real(name, format, currency)
    platform = await connected(bench, "real", currency or "USD")
    report = await imported(bench, platform, drafts)
    assert (report.added, report.refused) == (count, [])
    assert await bench.one("SELECT count(DISTINCT course_id) FROM listing") == count
    unknown = sum(draft.price is None for draft in drafts)
    assert await bench.one("SELECT count(*) FROM listing WHERE price_minor IS NULL") == unknown
    before = await everything(bench)
    report = await imported(bench, platform, drafts)
    assert (report.added, report.changed, report.unchanged, report.withdrawn) == (0, 0, count, 0)
    assert await everything(bench) == before


async def test_five_hundred_purchases_by_sixteen_buyers_at_once(sqlite_store: Store) -> None:
    bench = Bench(sqlite_store, World(sqlite_store))
    drafts = real("udemy_courses.csv", Format.UDEMY, "USD")[:500]
    platform = await connected(bench, "udemy", "USD")
    await imported(bench, platform, drafts)
    listings = await bench.store.write(all_held, platform.id, [draft.external_id for draft in drafts])
    buyers = [await bench.world.learner() for _ in range(16)]

    async def shop(n: int) -> None:
        for listing in listings[n::16]:
            answer = await bench.buy(buyers[n], listing, key=listing.id)
            assert answer.refusal is None

    await asyncio.gather(*[shop(n) for n in range(16)])
    assert await bench.rows("SELECT DISTINCT status, charge_status FROM order_") == [("PAID", "FULL")]
    paid = [draft.price.amount_minor for draft in drafts if draft.price]
    assert await bench.one("SELECT count(*) FROM order_") == len(paid) == 500
    assert await bench.one("SELECT count(*) FROM grant_") == 500
    assert await bench.balance("channel:sandbox:clearing", "USD") == -sum(paid)
    assert bench.channel.count("create") == sum(price > 0 for price in paid)
    await bench.assert_books_fold()
    await bench.record()
    assert list(bench.chain.roots.values()) == [500]
    assert await bench.rows("SELECT DISTINCT chain_status FROM order_") == [("CONFIRMED",)]
    assert await orders.expire_orders(bench.hub) == 0
