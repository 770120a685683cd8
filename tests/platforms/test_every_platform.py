"""The conformance suite: what the port promises, asked of every registered platform adapter and a living peer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hub.platforms import PLATFORMS
from hub.ports import Access, AccessRequest, Cap, CatalogueEntry, NotSupported, Rejected, Transient
from tests.platforms.benches import BENCHES, Bench


@pytest.fixture(params=sorted(PLATFORMS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with BENCHES[request.param](tmp_path) as standing:
        yield standing


def asked(bench: Bench, key: str = "k1", member: str | None = "ada") -> AccessRequest:
    return AccessRequest(pairwise_id="pw_1", member_external_id=member, external_id=bench.course, key=key)


def test_every_platform_has_a_bench() -> None:
    assert sorted(BENCHES) == sorted(PLATFORMS)


async def test_undeclared_capabilities_answer_not_supported(bench: Bench) -> None:
    calls: dict[Cap, Callable[[], Awaitable[object]]] = {
        Cap.LIST: lambda: bench.platform.list_catalogue(None, 1),
        Cap.GRANT: lambda: bench.platform.grant_access(asked(bench)),
        Cap.REVOKE: lambda: bench.platform.revoke_access(asked(bench)),
        Cap.VERIFY: lambda: bench.platform.verify_access(asked(bench)),
        Cap.LAUNCH: lambda: bench.platform.launch_url(asked(bench)),
    }
    for cap in calls.keys() - bench.platform.capabilities:
        with pytest.raises(NotSupported):
            await calls[cap]()


async def test_catalogue_is_the_same_in_one_page_and_in_many(bench: Bench) -> None:
    whole = await bench.platform.list_catalogue(None, 100)
    entries: list[CatalogueEntry] = []
    cursor = None
    for _ in range(bench.listings):
        page = await bench.platform.list_catalogue(cursor, 2)
        entries += page.entries
        cursor = page.cursor
        if cursor is None:
            break

    assert (tuple(entries), cursor) == (whole.entries, None)
    assert len({entry.external_id for entry in entries}) == bench.listings


@pytest.mark.parametrize("member", ["ada", None])
async def test_grant_then_verify_then_revoke_then_verify(bench: Bench, member: str | None) -> None:
    request = asked(bench, member=member)
    assert await bench.platform.verify_access(request) is Access.CLOSED

    await bench.platform.grant_access(request)
    assert await bench.platform.verify_access(request) is Access.OPEN
    assert await bench.platform.verify_access(replace(request, member_external_id="eve")) is Access.CLOSED

    await bench.platform.revoke_access(request)
    assert await bench.platform.verify_access(request) is Access.CLOSED


async def test_granting_and_revoking_twice_is_fine(bench: Bench) -> None:
    for key in ("k1", "k1", "k2"):
        await bench.platform.grant_access(asked(bench, key))
    assert await bench.platform.verify_access(asked(bench)) is Access.OPEN

    for _ in range(2):
        await bench.platform.revoke_access(asked(bench))
    assert await bench.platform.verify_access(asked(bench)) is Access.CLOSED


async def test_revoking_what_was_never_granted_is_fine(bench: Bench) -> None:
    await bench.platform.revoke_access(asked(bench, member="nobody"))

    assert await bench.platform.verify_access(asked(bench, member="nobody")) is Access.CLOSED


async def test_grant_whose_answer_is_lost_is_transient_and_verifies(bench: Bench) -> None:
    await bench.lose()

    with pytest.raises(Transient):
        await bench.platform.grant_access(asked(bench))

    assert await bench.platform.verify_access(asked(bench)) is Access.OPEN
    await bench.platform.grant_access(asked(bench))
    assert await bench.platform.verify_access(asked(bench)) is Access.OPEN


async def test_unknown_listing_is_rejected_for_good(bench: Bench) -> None:
    with pytest.raises(Rejected):
        await bench.platform.grant_access(replace(asked(bench), external_id="no-such"))


async def test_platform_that_is_down_is_transient_in_every_call(bench: Bench) -> None:
    await bench.shut()

    for platform in (bench.platform, bench.unreachable):
        for call in (
            platform.list_catalogue(None, 1),
            platform.grant_access(asked(bench)),
            platform.revoke_access(asked(bench)),
            platform.verify_access(asked(bench)),
            platform.launch_url(asked(bench)),
        ):
            with pytest.raises(Transient):
                await call


async def test_launch_is_a_new_address_each_time_and_for_members_only(bench: Bench) -> None:
    await bench.platform.grant_access(asked(bench))

    first, second = [await bench.platform.launch_url(asked(bench)) for _ in range(2)]

    assert first.startswith("http")
    assert first != second
    with pytest.raises(Rejected):
        await bench.platform.launch_url(asked(bench, member="eve"))
