"""The audit log: what staff do is in it, in the same transaction; it is read by staff alone and changed by nobody."""

from typing import Any

import pytest
from sqlalchemy import text

from hub.domain.catalogue import ListingDraft
from hub.domain.money import Money
from hub.domain.people import Viewer, ViewerKind
from hub.flows import catalogue
from hub.flows.tasks import drop_task, revive_task
from hub.store.transactions import Tx
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import market
from tests.world import operator, partner

LOG = """query($where: AuditEntryFilter, $first: Int = 20, $after: String) {
  auditEntries(first: $first, after: $after, where: $where) {
    totalCount pageInfo { endCursor } nodes { id action actor actorKind subjectId detail platform { slug } } } }"""
# What says nothing about the database is asked on the embedded one alone.
EMBEDDED = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def staff(key_id: str = "key_00000000000000000000000001") -> Viewer:
    return Viewer(ViewerKind.OPERATOR, scopes=operator().scopes, key_id=key_id)


async def entries(api: Api, **variables: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.data(operator(), LOG, **variables))["auditEntries"]["nodes"]
    return found


@EMBEDDED
async def test_what_staff_do_for_a_platform_is_noted_and_what_it_does_itself_is_not(api: Api) -> None:
    platform = await api.world.platform()
    member = "mutation($i: MemberUpsertInput!) { memberUpsert(input: $i) { member { id } userErrors { code } } }"
    removed = "mutation($i: MemberRemoveInput!) { memberRemove(input: $i) { member { id } userErrors { code } } }"
    listing = "mutation($i: ListingUpsertInput!) { listingUpsert(input: $i) { listing { id } userErrors { code } } }"
    for viewer, name in ((partner(platform), "theirs"), (staff(), "ours")):
        owner = {"platformId": platform.id, "externalId": name}
        for document, more in ((member, {}), (removed, {}), (listing, {"title": "Knots"})):
            answer = await api.data(viewer, document, i=owner | more)
            assert next(iter(answer.values()))["userErrors"] == []
            api.world.clock.pass_us(1)
    noted = await entries(api)
    assert [entry["action"] for entry in noted] == ["listingUpsert", "memberRemove", "memberUpsert"]
    assert {entry["actor"] for entry in noted} == {staff().key_id}
    assert {entry["platform"]["slug"] for entry in noted} == {"xue"}


async def test_the_end_of_a_right_is_noted_once(api: Api) -> None:
    scene = await market(api)
    revoke = """mutation($e: ID!) { entitlementRevoke(input: {entitlementId: $e, reason: "a mistake",
      idempotencyKey: "k"}) { userErrors { code } } }"""
    right = scene.mine["entitlement"]["id"]
    for _ in range(2):
        await api.data(staff(), revoke, e=right)
    [entry] = await entries(api, where={"subject": {"eq": right}})
    assert (entry["action"], entry["actor"], entry["actorKind"]) == ("entitlementRevoke", staff().key_id, "OPERATOR")


async def test_the_log_is_filtered_and_paged(api: Api) -> None:
    create = "mutation($i: ApiKeyCreateInput!) { apiKeyCreate(input: $i) { apiKey { id } } }"
    alpha, beta = [await api.world.platform(slug) for slug in ("alpha", "beta")]
    for platform in (alpha, beta, alpha):
        name = f"key {api.world.clock.now_us()}"
        viewer = partner(platform)
        await api.data(viewer, create, i={"name": name, "scopes": ["orders:read"]})
        api.world.clock.pass_us(1)
    assert [e["platform"]["slug"] for e in await entries(api)] == ["alpha", "beta", "alpha"]
    assert len(await entries(api, where={"platformId": beta.id})) == 1
    assert await entries(api, where={"action": {"oneOf": ["apiKeyRevoke"]}}) == []
    assert len(await entries(api, where={"action": {"eq": "apiKeyCreate"}, "actor": {"eq": "command"}})) == 3
    first = (await api.data(operator(), LOG, first=2))["auditEntries"]
    rest = (await api.data(operator(), LOG, first=2, after=first["pageInfo"]["endCursor"]))["auditEntries"]
    ids = [node["id"] for node in first["nodes"] + rest["nodes"]]
    assert (len(set(ids)), first["totalCount"]) == (3, 3)
    assert await api.codes(operator(), LOG, where={"platformId": "nonsense"}) == ["BAD_USER_INPUT"]


@EMBEDDED
async def test_the_log_is_the_staffs_alone(api: Api) -> None:
    scene = await market(api)
    document = "{ auditEntries(first: 1) { totalCount } }"
    for who, viewer in scene.viewers.items():
        if who != "operator":
            assert await api.codes(viewer, document) == ["UNAUTHENTICATED" if who == "anonymous" else "FORBIDDEN"]
    platform = Viewer(ViewerKind.PLATFORM, platform_id=scene.seller.id, scopes=operator().scopes)
    create = "mutation($i: ApiKeyCreateInput!) { apiKeyCreate(input: $i) { apiKey { id } } }"
    await api.data(platform, create, i={"name": "x", "scopes": ["orders:read"]})
    [entry] = await entries(api)
    found = await api.data(
        platform, "query($id: ID!) { auditEntries(first: 1) { totalCount } node(id: $id) { id } }", id=entry["id"]
    )
    assert found == {"auditEntries": {"totalCount": 0}, "node": None}


@pytest.mark.parametrize("change", ["UPDATE audit_entry SET actor = 'nobody'", "DELETE FROM audit_entry"])
async def test_an_entry_is_never_changed_or_removed(api: Api, change: str) -> None:
    platform = await api.world.platform()
    create = "mutation($i: ApiKeyCreateInput!) { apiKeyCreate(input: $i) { apiKey { id } } }"
    await api.data(partner(platform), create, i={"name": "x", "scopes": ["orders:read"]})
    before = await entries(api)

    async def tamper(tx: Tx) -> None:
        await tx.run(text(change))

    with pytest.raises(Exception, match="audit_entry is append-only"):
        await api.hub.store.write(tamper)
    assert await entries(api) == before


@EMBEDDED
async def test_what_the_command_line_changes_is_noted(api: Api) -> None:
    """Imports, connected platforms, and dead tasks that were settled: only what changed something."""
    platform = await catalogue.connect_platform(api.hub, slug="bulk", name="Bulk", currency="USD")
    draft = ListingDraft(external_id="b-1", title="Knots", price=Money(100, "USD"), url="https://bulk.example/1")
    for _ in range(2):
        await catalogue.import_listings(api.hub, platform.id, [draft])
    await catalogue.import_listings(api.hub, platform.id, [], withdraw_all_but=frozenset())

    async def bury(tx: Tx) -> None:
        for name in ("a", "b"):
            tx.tasks.add("nobodys", name, {}, 0)
        await tx.tasks.flush(tx)
        for task in await tx.tasks.claim(api.world.draw(), 2):
            assert await tx.tasks.die(task, "no such kind", 1)

    await api.hub.store.write(bury)
    assert [await revive_task(api.hub, 1), await drop_task(api.hub, 2)] == [True, True]
    assert [await revive_task(api.hub, 1), await drop_task(api.hub, 2)] == [False, False]
    noted = sorted((entry["action"], entry["actor"]) for entry in await entries(api))
    assert noted == [
        (action, "command") for action in ("import", "importWithdraw", "platformConnect", "tasksDrop", "tasksRetry")
    ]
