"""`hub demo`: one course sold from end to end, through the public GraphQL API over HTTP, like any app and any partner.

A learner buys on Lumen Academy and opens on Folio Reading Room. Only the catalogue and the tokens come from the inside.
"""

import asyncio
import time
from dataclasses import replace
from typing import Any

from hub.channels.stablecoin import CODE as STABLECOIN
from hub.channels.stablecoin import TEST_TOKEN
from hub.domain.catalogue import CourseKind, ListingDraft
from hub.domain.catalogue import Platform as PlatformRecord
from hub.entry.commands import mint
from hub.entry.demo_client import LINK, Client, DemoFailed, pay_by_card
from hub.entry.demo_learners import HONOURER, SELLER, demo_page, welcome
from hub.entry.running import Running, running, serve_hub
from hub.entry.settings import Settings
from hub.entry.sign_in import SignIn, may_offer, own_names
from hub.flows.catalogue import connect_platform, import_listings
from hub.ports import CatalogueEntry
from hub.sandbox.server import introduce_hub

SOLD, OPENED = "double-entry", "double-entry-reader"  # the same course on both shelves
READER = "reader"  # the learner's account on the second platform is this with the number of the sale
CARD = "4242 4242 4242 4242"
# The whole sale, chain included, on a slow machine.
SALE_WITHIN_S = 60.0

COUNT = "query { orders(first: 1) { totalCount } }"
CATALOGUE = """
query { courses(first: 20, search: "double entry") { nodes { id title listings { id externalId
  platform { slug name } price { amountMinor currency amount } } } } }
"""
LIST = """
mutation($input: ListingUpsertInput!) { listingUpsert(input: $input) {
  listing { id isHonoured course { id } } userErrors { message } } }
"""
CHECKOUT = """
mutation($input: CheckoutInput!) { checkout(input: $input) {
  order { id number total { amount currency } } paymentAttempt { id state nextAction { kind url } }
  userErrors { message } } }
"""
FOLLOW = """
subscription($order: ID!) { orderUpdated(orderId: $order, after: "") {
  event { kind cursor } order { status chargeStatus chainStatus } } }
"""
RESULT = """
query($order: ID!) { order(id: $order) { number status chargeStatus chainStatus
  entitlement { id isOpen accesses { state platform { slug } } } receipt { jws commitment }
  anchorBatch { id root count chainId contract transaction { hash blockNumber gasUsed } }
  proof { index proof bundle } } }
"""
PROVE = """
query($bundle: String!, $course: ID!) { verifyEntitlement(input: { proof: $bundle }, courseId: $course) {
  isEntitled reason } }
"""


async def run_demo(settings: Settings, *, once: bool) -> int:
    """The sale, each step printed with its ids; then serve on, unless `once`. 1 if a step fails, with its reason."""
    settings = _demonstrating(settings)
    began = time.monotonic()
    say(f"data folder {settings.data.resolve()}: migrating, starting the sandbox peers and the chain …")
    async with running(settings, is_server=True) as hub:

        async def ready(url: str) -> None:
            say(f"serving     {url}/graphql")
            async with asyncio.timeout(SALE_WITHIN_S):
                tokens = await _sale(hub)
            say(f"done in {time.monotonic() - began:.1f} s")
            if once:
                raise _Sold
            _show(hub, tokens)

        sign_in = _sign_in(hub)
        try:
            await serve_hub(hub, on_ready=ready, sign_in=sign_in, extra_routes=demo_page(hub) if sign_in else ())
        except _Sold:
            return 0
        except (DemoFailed, TimeoutError) as failed:
            say(f"THE SALE FAILED: {failed or f'not done within {SALE_WITHIN_S:.0f} s'}")
            return 1
    return 0


def _demonstrating(settings: Settings) -> Settings:
    """Every sale is a batch of its own, so that nobody waits for a proof; on a chain of our own coins are taken too."""
    channels = dict(settings.channels)
    if settings.chain_url is None:
        channels.setdefault(STABLECOIN, {"token": TEST_TOKEN})
    return replace(settings, chain_batch_ms=0, channels=channels)


class _Sold(Exception):
    """The sale is done, and nothing more was asked for."""


async def _sale(hub: Running) -> dict[str, str]:
    """The story, step by step. Returns the tokens of all three kinds of callers."""
    assert hub.origin is not None
    tokens = await _stock(hub)
    async with Client(hub.origin, tokens["partner"]) as partner, Client(hub.origin, tokens["operator"]) as operator:
        number = 1 + (await operator.query(COUNT, {}))["orders"]["totalCount"]
        # Nobody buys a course twice: each sale on one data folder has a learner of its own, the first plain `learner`.
        tokens["learner"] = await mint(hub.hub, as_="learner", user="learner" if number == 1 else f"learner-{number}")
        await _sell(hub, f"{READER}-{number}", tokens["learner"], partner, operator)
        await welcome(hub, partner, operator)
    return {kind: tokens[kind] for kind in ("learner", "partner", "operator")}


async def _sell(hub: Running, reader: str, token: str, partner: Client, operator: Client) -> None:
    """One sale to the learner of this token, whose account on the second platform is `reader`."""
    assert hub.origin is not None
    async with Client(hub.origin, token) as learner:
        course_id, listing = await _listed(learner, partner)
        linked = await partner.mutate(LINK, {"externalId": reader, "userToken": token})
        name = linked["member"]["user"]["id"]
        say(f"identity    {HONOURER}'s member {reader} is the learner, whom it knows as {name}")
        order = await _paid(hub, learner, listing)
        await _opened(hub, reader)
        await _recorded(hub, learner, operator, order["id"], course_id)


async def _stock(hub: Running) -> dict[str, str]:
    """Platforms, their catalogues as their own APIs tell them, and a key for a partner and for an operator."""
    assert hub.sandbox is not None
    for slug in (SELLER, HONOURER):
        platform = await connect_platform(hub.hub, slug=slug, name=hub.sandbox.platforms[slug].title, currency="USD")
        count = await _load(hub, platform)
        key = await mint(hub.hub, as_="partner", platform=slug)
        await introduce_hub(hub.sandbox, slug, graphql_url=f"{hub.origin}/graphql", api_key=key)
        say(f"platform    {slug}: {count} listings ({platform.id})")
    return {
        "partner": await mint(hub.hub, as_="partner", platform=HONOURER),
        "operator": await mint(hub.hub, as_="operator"),
    }


async def _load(hub: Running, platform: PlatformRecord) -> int:
    """A sandbox platform's catalogue, over its API. What it will honour as the other's course is not a course anew."""
    entries: list[CatalogueEntry] = []
    cursor: str | None = None
    while True:
        page = await hub.hub.platforms[platform.slug].list_catalogue(cursor, 100)
        entries += page.entries
        cursor = page.cursor
        if cursor is None:
            break
    drafts = [_draft(entry) for entry in entries if entry.external_id != OPENED]
    await import_listings(hub.hub, platform.id, drafts)
    return len(drafts)


def _draft(entry: CatalogueEntry) -> ListingDraft:
    kind = entry.kind.upper()
    return ListingDraft(
        external_id=entry.external_id,
        title=entry.title,
        url=entry.url,
        kind=CourseKind(kind) if kind in CourseKind.__members__ else CourseKind.COURSE,
        price=entry.price,
        is_honoured=True,
    )


async def _listed(learner: Client, partner: Client) -> tuple[str, dict[str, Any]]:
    """The course that A sells; B lists it as one that it opens too."""
    found = await learner.query(CATALOGUE, {})
    for course in found["courses"]["nodes"]:
        for listing in course["listings"]:
            if (listing["platform"]["slug"], listing["externalId"]) == (SELLER, SOLD):
                listed = await partner.mutate(LIST, {"externalId": OPENED, "courseId": course["id"]})
                say(f"course      {course['title']!r} ({course['id']})")
                say(f"listing     sold by {SELLER} at {listing['price']['amount']} {listing['price']['currency']}")
                say(f"honoured    by {HONOURER} as {OPENED!r} ({listed['listing']['id']})")
                return course["id"], listing
    raise DemoFailed(f"{SELLER} does not list {SOLD!r}")


async def _paid(hub: Running, learner: Client, listing: dict[str, Any]) -> dict[str, Any]:
    """R, G, API, G: checkout, the hosted pay page, and the order as the subscription tells it."""
    price = listing["price"]
    asked = await learner.mutate(
        CHECKOUT,
        {
            "listingId": listing["id"],
            "channel": "sandbox",
            "expectedAmount": {"amountMinor": price["amountMinor"], "currency": price["currency"]},
            "idempotencyKey": f"demo-{time.time_ns()}",
            "returnUrl": f"{hub.origin}/graphiql",
        },
    )
    order, attempt = asked["order"], asked["paymentAttempt"]
    say(f"M           order {order['number']} ({order['id']})")
    say(f"R G API     attempt {attempt['id']}: {attempt['state']}, pay at {attempt['nextAction']['url']}")
    async with learner.subscribe(FOLLOW, {"order": order["id"]}) as updates:
        await pay_by_card(attempt["nextAction"]["url"], CARD)
        async for update in updates:
            told = update["orderUpdated"]
            if told["order"]["status"] == "PAID":
                break
    entries, position = await _booked(hub, order["id"])
    say(f"G           paid: {told['order']['chargeStatus']}, ledger entry {entries}, event position {position}")
    return dict(order)


async def _booked(hub: Running, order_id: str) -> tuple[str, int]:
    """What only the inside shows: the journal entry of the charge, and where the log stands."""
    async with hub.hub.store.reading() as rx:
        entries = await rx.ledger.entries_of(order_id)
        head = await rx.events.head()
    return ", ".join(entries), head.position


async def _opened(hub: Running, reader: str) -> None:
    """T: the platform asks the hub, and opens the course that was bought elsewhere."""
    import httpx

    assert hub.sandbox is not None
    url = f"{hub.sandbox.platforms[HONOURER].pages_url}/open/{OPENED}"
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.get(url, params={"member": reader})
        if page.status_code != 200:
            raise DemoFailed(f"{HONOURER} does not open {OPENED!r}: {page.status_code}")
    say(f"T           bought on {SELLER}, opened on {HONOURER}: {page.url}")


async def _recorded(hub: Running, learner: Client, operator: Client, order_id: str, course_id: str) -> None:
    """B and SC: the batch is on chain, and the contract accepts the order's proof."""
    while True:
        order = (await learner.query(RESULT, {"order": order_id}))["order"]
        if order["chainStatus"] in ("CONFIRMED", "FINALIZED"):
            break
        mark = hub.hub.wakeups.mark("hub")
        await asyncio.wait([asyncio.ensure_future(hub.hub.wakeups.wait("hub", mark))], timeout=1.0)
    batch, proof = order["anchorBatch"], order["proof"]
    say(f"B           root {batch['root']}, {batch['count']} leaf on chain {batch['chainId']}")
    sent = batch["transaction"]
    say(f"SC          transaction {sent['hash']}, block {sent['blockNumber']}, {sent['gasUsed']} gas")
    proved = (await operator.query(PROVE, {"bundle": proof["bundle"], "course": course_id}))["verifyEntitlement"]
    if not proved["isEntitled"]:
        raise DemoFailed(f"the contract refuses the proof: {proved['reason']}")
    say(f"proof       leaf {proof['index']}, accepted by {batch['contract']}")
    say(f"right       {order['entitlement']['id']}, receipt {order['receipt']['jws'][:24]}…")


def _sign_in(hub: Running) -> SignIn | None:
    """GraphiQL's buttons: whoever reaches this machine's own address may be anybody in the demo."""
    if not may_offer(hub.settings.host):
        return None

    async def token(kind: str) -> str:
        return await mint(hub.hub, as_=kind, platform=HONOURER)

    return SignIn(("learner", "partner", "operator"), token, own_names(hub.settings.port))


def _show(hub: Running, tokens: dict[str, str]) -> None:
    """What is worth opening now: the IDE as each kind of caller, and the course on the platform that honours it."""
    say("")
    if may_offer(hub.settings.host):
        say(f"learners    {hub.origin}/demo")
    for kind, token in tokens.items():
        say(f"{kind:<11} {token}")
    for kind, token in tokens.items():
        say(f"GraphiQL    as {kind}: {hub.origin}/graphiql#token={token}")
    assert hub.sandbox is not None
    for slug, address in hub.sandbox.platforms.items():
        say(f"{slug:<11} {address.pages_url}")
    say("stop with Ctrl-C")


def say(line: str) -> None:
    print(line, flush=True)
