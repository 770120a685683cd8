"""Wallets by the API: asked for, linked, shown to their owner, unlinked."""

from hub.domain.people import Viewer
from tests.resolvers.conftest import Api
from tests.wallets import PAGE, account, signed
from tests.world import operator

ASK = """mutation($input: WalletChallengeInput!) { walletChallenge(input: $input) {
  challenge { nonce message expiresAt } userErrors { code path } replayed } }"""
LINK = """mutation($input: WalletLinkInput!) { walletLink(input: $input) {
  wallet { id address linkedAt } userErrors { code path message } replayed } }"""
UNLINK = """mutation($input: WalletUnlinkInput!) { walletUnlink(input: $input) {
  unlinkedId userErrors { code path } replayed } }"""
MINE = "{ viewer { user { wallets { id address linkedAt } } } }"


async def linked(api: Api, viewer: Viewer, number: int = 1) -> dict[str, str]:
    asked = (await api.data(viewer, ASK, input={"address": account(number).address}))["walletChallenge"]
    text = asked["challenge"]["message"]
    told = await api.data(viewer, LINK, input={"message": text, "signature": "0x" + signed(text, number).hex()})
    assert told["walletLink"]["userErrors"] == []
    wallet: dict[str, str] = told["walletLink"]["wallet"]
    return wallet


async def test_a_wallet_is_linked_shown_and_unlinked(api: Api) -> None:
    viewer = await api.world.learner()
    wallet = await linked(api, viewer)
    assert (wallet["address"], wallet["linkedAt"]) == (account().address, "2026-01-01T00:00:00.000000Z")
    assert (await api.data(viewer, MINE))["viewer"]["user"]["wallets"] == [wallet]
    node = "query($id: ID!) { node(id: $id) { ... on Wallet { address } } }"
    assert (await api.data(viewer, node, id=wallet["id"]))["node"] == {"address": account().address}
    for stranger in (await api.world.learner(), operator()):
        assert (await api.data(stranger, node, id=wallet["id"]))["node"] is None
    gone = (await api.data(viewer, UNLINK, input={"walletId": wallet["id"]}))["walletUnlink"]
    assert gone == {"unlinkedId": wallet["id"], "userErrors": [], "replayed": False}
    assert (await api.data(viewer, MINE))["viewer"]["user"]["wallets"] == []
    assert (await api.data(viewer, node, id=wallet["id"]))["node"] is None


async def test_a_right_is_bought_for_a_wallet_of_ones_own(api: Api) -> None:
    buy = """mutation($input: OrderCreateInput!) { orderCreate(input: $input) {
      order { entitlement { isOpen } } userErrors { code path } } }"""
    viewer, listing = await api.world.learner(), await api.world.listing(price_minor=0)
    wallet, theirs = await linked(api, viewer), await linked(api, await api.world.learner(), 2)
    asked = {"listingId": listing.id, "idempotencyKey": "k-1"}
    refused = (await api.data(viewer, buy, input=asked | {"walletId": theirs["id"]}))["orderCreate"]
    assert refused == {"order": None, "userErrors": [{"code": "NOT_FOUND", "path": ["input", "walletId"]}]}
    asked["idempotencyKey"] = "k-2"
    made = (await api.data(viewer, buy, input=asked | {"walletId": wallet["id"]}))["orderCreate"]
    assert made == {"order": {"entitlement": {"isOpen": True}}, "userErrors": []}


async def test_what_cannot_be_taken_is_told_by_its_field(api: Api) -> None:
    viewer = await api.world.learner()
    for field, document, given in (
        ("address", ASK, {"address": "0x12"}), ("address", ASK, {"address": "a\0b"}),
        ("uri", ASK, {"address": account().address, "uri": "https://evil.example"}),
        ("uri", ASK, {"address": account().address, "uri": "javascript:alert(1)"}),
        ("message", LINK, {"message": "x" * 4_001, "signature": "0x00"}),
        ("message", LINK, {"message": "hello", "signature": "0x00"}),
        ("signature", LINK, {"message": "hello", "signature": "00"}),
        ("signature", LINK, {"message": "hello", "signature": "0x0"}),
        ("signature", LINK, {"message": "hello", "signature": "0x" + "00" * 4_097}),
        ("walletId", UNLINK, {"walletId": "wal_" + "0" * 26}), ("walletId", UNLINK, {"walletId": "nonsense"}),
    ):  # fmt: skip
        (payload,) = (await api.data(viewer, document, input=given)).values()
        assert [error["path"] for error in payload["userErrors"]] == [["input", field]], given


async def test_the_page_that_asks_stands_in_the_text(api: Api) -> None:
    viewer = await api.world.learner()
    asked = await api.data(viewer, ASK, input={"address": account().address, "uri": f"{PAGE}/wallet"})
    text = asked["walletChallenge"]["challenge"]["message"]
    assert f"\nURI: {PAGE}/wallet\n" in text
    assert "cannot be erased" in text
    assert asked["walletChallenge"]["challenge"]["expiresAt"] == "2026-01-01T00:05:00.000000Z"


async def test_only_people_ask_and_only_with_the_scope(api: Api) -> None:
    given = {"address": account().address}
    assert await api.codes(operator(), ASK, input=given) == ["FORBIDDEN"]
    viewer = await api.world.learner()
    poor = Viewer(viewer.kind, viewer.user_id, scopes=frozenset({"orders:read"}))
    assert await api.codes(poor, ASK, input=given) == ["FORBIDDEN"]
    assert await api.codes(poor, MINE) == ["FORBIDDEN"]
