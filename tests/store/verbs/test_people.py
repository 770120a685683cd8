"""People, their wallets and keys, and who vouches for them."""

from dataclasses import replace

from sqlalchemy import select

from hub.domain.audit import AuditEntry
from hub.domain.issuers import IssuerState, KeySource, TrustedIssuer
from hub.domain.keys import ApiKey
from hub.domain.people import UserState, ViewerKind, Wallet, WalletChallenge, member_issuer
from hub.domain.records import RecordedLeaf, SealedSalt
from hub.store.audit import Audit, audit_entry
from hub.store.issuers import Issuers
from hub.store.keys import ApiKeys
from hub.store.people import People
from hub.store.salts import Salts
from hub.store.transactions import Store, Tx
from hub.store.wallets import Wallets
from tests.store.verbs.calls import left_out
from tests.world import START_US, World


async def test_people(store: Store, world: World, called: set[str]) -> None:
    platform, user, other = await world.platform(), await world.user(), await world.user(state=UserState.PROVISIONAL)
    member = await world.member(platform, user, "m-7")

    async def unit(tx: Tx) -> None:
        assert await tx.people.user(other.id) == other
        assert await tx.people.user("usr_nobody") is None
        assert await tx.people.identified("https://id.example", user.id) == user
        assert await tx.people.pairwise_of(user.id, platform.id) == member.pairwise_id
        await tx.people.name_pairwise([(user.id, platform.id, "another"), (other.id, platform.id, "its own")])
        assert await tx.people.pairwise_of(user.id, platform.id) == member.pairwise_id
        assert await tx.people.pairwise_of(other.id, platform.id) == "its own"
        held = await tx.people.lock_member(platform.id, "m-7")
        assert held is not None
        assert (held.id, held.user_id, held.version) == (member.id, user.id, 1)
        assert not await tx.people.add_member(replace(member, id="mem_2"))
        await tx.people.link_member(member.id, other.id)
        await tx.people.move_identity("https://id.example", user.id, other.id)
        assert await tx.people.identified("https://id.example", user.id) == other
        held = await tx.people.lock_member(platform.id, "m-7")
        assert held is not None
        assert (held.user_id, held.version) == (other.id, 2)
        assert await tx.people.activate(other.id)
        assert not await tx.people.activate(other.id)
        stored = await tx.people.identity(member_issuer(platform.id), "m-7")
        assert stored is not None
        assert (stored.user_id, stored.ended_at_us) == (user.id, None)
        assert await tx.people.end_other_identities(user.id, "https://id.example", user.id, START_US) == 1
        assert not await tx.people.end_identity(member_issuer(platform.id), "m-7", START_US)
        assert await tx.people.identity(member_issuer(platform.id), "m-7") == replace(stored, ended_at_us=START_US)
        assert await tx.people.end_identity("https://id.example", user.id, START_US)

    await store.write(unit)
    assert left_out(People, called) == set()


async def test_wallets(store: Store, world: World, called: set[str]) -> None:
    user, other = await world.user(), await world.user()
    asked = WalletChallenge("n1", user.id, "0xA", START_US + 10, None, START_US)
    new = Wallet("wal_1", user.id, "0xA", "n1", START_US)

    async def unit(tx: Tx) -> None:
        await tx.wallets.ask(asked)
        assert await tx.wallets.challenge("n1") == asked
        assert await tx.wallets.challenge("n2") is None
        assert not await tx.wallets.spend("n1", START_US + 10)
        assert await tx.wallets.spend("n1", START_US + 9)
        assert not await tx.wallets.spend("n1", START_US + 9)
        assert await tx.wallets.challenge("n1") == replace(asked, used_at_us=START_US + 9)
        assert await tx.wallets.add(new)
        assert not await tx.wallets.add(replace(new, id="wal_2", nonce="n2", user_id=other.id)), "it is somebody's"
        assert not await tx.wallets.add(replace(new, id="wal_2", address="0xB")), "the nonce has proven"
        assert await tx.wallets.add(replace(new, id="wal_2", nonce="n2", address="0xB", linked_at_us=START_US + 1))
        assert await tx.wallets.linked("0xA") == new
        assert [one.id for one in await tx.wallets.of_user(user.id)] == ["wal_1", "wal_2"]
        await tx.wallets.unlink("wal_1", START_US + 5)
        assert await tx.wallets.linked("0xA") is None
        assert await tx.wallets.lock("wal_1") == replace(new, unlinked_at_us=START_US + 5)
        assert [one.id for one in await tx.wallets.of_user(user.id)] == ["wal_2"]
        assert await tx.wallets.add(replace(new, id="wal_3", nonce="n3", user_id=other.id))
        await tx.wallets.forget(START_US + 10)
        assert await tx.wallets.challenge("n1") is not None
        await tx.wallets.forget(START_US + 11)
        assert await tx.wallets.challenge("n1") is None
        assert await tx.wallets.erase(user.id) == 2
        assert await tx.wallets.of_user(user.id) == []
        assert await tx.wallets.linked("0xA") == replace(new, id="wal_3", nonce="n3", user_id=other.id)

    await store.write(unit)
    assert left_out(Wallets, called) == set()


async def test_keys(store: Store, world: World, called: set[str]) -> None:
    platform, minute_us = await world.platform(), 60_000_000
    key = ApiKey("key_1", ViewerKind.PLATFORM, platform.id, "hash", frozenset({"orders:read"}), True, START_US,
                 name="shop", created_by="command")  # fmt: skip

    async def unit(tx: Tx) -> None:
        assert await tx.keys.add(key)
        assert not await tx.keys.add(replace(key, id="key_2"))
        turned = replace(key, id="key_2", slot=1, created_at_us=START_US + 1, expires_at_us=START_US + 5)
        assert await tx.keys.add(turned)
        nameless = replace(key, id="key_3", kind=ViewerKind.OPERATOR, platform_id=None, name="")
        assert await tx.keys.add(nameless)
        assert await tx.keys.by_id("key_3") == replace(nameless, name="key_3")
        assert await tx.keys.unrevoked(platform.id) == [key, turned]
        assert [held.id for held in await tx.keys.all_unrevoked(2)] == ["key_2", "key_3"]
        await tx.keys.revoke("key_1", START_US + 2)
        assert await tx.keys.unrevoked(platform.id) == [turned]
        assert await tx.keys.lock("key_1") == replace(key, revoked_at_us=START_US + 2)
        await tx.keys.end_at("key_2", START_US + 3)
        assert await tx.keys.by_id("key_2") == replace(turned, expires_at_us=START_US + 3)
        assert await tx.keys.note_use("key_3", START_US)
        assert not await tx.keys.note_use("key_3", START_US + minute_us - 1)
        assert await tx.keys.note_use("key_3", START_US + minute_us)
        used = await tx.keys.by_id("key_3")
        assert used is not None
        assert used.last_used_at_us == START_US + minute_us

    await store.write(unit)
    assert left_out(ApiKeys, called) == set()


async def test_issuers(store: Store, world: World, called: set[str]) -> None:
    platform = await world.platform()
    issuer = TrustedIssuer(
        "iss_1", platform.id, "https://xue.example", "https://hub.example", ("ES256", "RS256"), "sub",
        KeySource(url="https://xue.example/jwks"), KeySource(jwks="{}"), frozenset({"orders:read"}),
        IssuerState.ACTIVE, 1, START_US,
    )  # fmt: skip

    async def unit(tx: Tx) -> None:
        assert await tx.issuers.add(issuer)
        assert not await tx.issuers.add(replace(issuer, id="iss_2"))
        assert await tx.issuers.by_id("iss_1") == await tx.issuers.lock("https://xue.example") == issuer
        assert await tx.issuers.lock("https://xue.example/") is None
        paused = replace(issuer, state=IssuerState.PAUSED, keys=KeySource(jwks="{}"), algorithms=("EdDSA",))
        assert await tx.issuers.update(paused) == replace(paused, version=2) == await tx.issuers.by_id("iss_1")
        assert await tx.issuers.spend("digest", "iss_1", START_US)
        assert not await tx.issuers.spend("digest", "iss_1", START_US + 9)
        assert await tx.issuers.forget(START_US) == 0
        assert await tx.issuers.forget(START_US + 1) == 1
        assert await tx.issuers.spend("digest", "iss_1", START_US)

    await store.write(unit)
    assert left_out(Issuers, called) == set()


async def test_audit(store: Store, called: set[str]) -> None:
    entry = AuditEntry("aud_1", ViewerKind.OPERATOR, "key_1", None, "apiKeyRevoke", "key_2", "{}", START_US)

    async def unit(tx: Tx) -> None:
        await tx.audit.add(entry)
        assert await tx.many(select(audit_entry), AuditEntry) == [entry]

    await store.write(unit)
    assert left_out(Audit, called) == set()


async def test_salts(store: Store, world: World, called: set[str]) -> None:
    order, other = await world.order(), await world.order()
    first = RecordedLeaf(
        "lef_1", order.id, None, 1, b"k" * 32, "0x" + "00" * 20, "77", 0, "{}", "{}", b"c" * 32, b"old", False,
        None, None, START_US,
    )  # fmt: skip
    theirs = replace(first, id="lef_2", order_id=other.id)
    given = replace(first, id="lef_3", owner_id=other.user_id)

    async def unit(tx: Tx) -> None:
        for leaf in (first, theirs, given):
            await tx.anchors.add_leaf(leaf)
        assert await tx.salts.key_of(order.user_id, b"first", START_US) == b"first"
        assert await tx.salts.key_of(order.user_id, b"second", START_US) == b"first"
        assert await tx.salts.key_of(other.user_id, b"its own", START_US) == b"its own"
        await tx.salts.keep("lef_1", order.user_id, b"s1")
        await tx.salts.keep("lef_3", other.user_id, b"s3")
        assert await tx.salts.of_leaves(["lef_1", "lef_2", "lef_3"]) == {
            "lef_1": SealedSalt("lef_1", order.user_id, b"first", b"s1"),
            "lef_3": SealedSalt("lef_3", other.user_id, b"its own", b"s3"),
        }
        assert await tx.salts.erase(order.user_id) == 3, "the key, a salt and a leaf's words"
        assert await tx.salts.erase(order.user_id) == 0
        assert list(await tx.salts.of_leaves(["lef_1", "lef_3"])) == ["lef_3"]
        said = {leaf.id: (leaf.request, leaf.result, leaf.sealed_salt) async for leaf in tx.anchors.all_leaves(9)}
        assert said == {"lef_1": ("", "", b""), "lef_2": ("{}", "{}", b"old"), "lef_3": ("{}", "{}", b"old")}

    await store.write(unit)
    assert left_out(Salts, called) == set()
