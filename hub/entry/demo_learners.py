"""Whom the demo's page signs in, what they may do with courses, and how their wallets are helped."""

from typing import Final

from starlette.routing import Route

from hub.chain.faucet import Faucet, Purse
from hub.entry.commands import mint
from hub.entry.demo_client import LINK, Client
from hub.entry.demo_page import WalletHelp, demo_routes
from hub.entry.running import Running
from hub.entry.sign_in import SignIn, own_names

SELLER, HONOURER = "lumen", "folio"
# The people of the page. On the second platform each is a member under the same name.
LEARNERS: Final = ("lin", "noor")
MOST_COURSES: Final = 50

COURSES = "query($most: Int!) { courses(first: $most) { nodes { id listings { platform { slug } } } } }"
LEND = """
mutation($input: CoursePolicySetInput!) { coursePolicySet(input: $input) { userErrors { message } } }
"""


def demo_page(hub: Running) -> list[Route]:
    """What serves the page of this hub."""
    assert hub.origin is not None

    async def token(name: str) -> str:
        return await mint(hub.hub, as_="learner", user=name)

    return demo_routes(SignIn(LEARNERS, token, own_names(hub.settings.port)), hub.origin, _wallet_help(hub))


async def welcome(hub: Running, partner: Client, operator: Client) -> None:
    """The learners are members of the second platform, and may hand on what the first one sells."""
    for name in LEARNERS:
        token = await mint(hub.hub, as_="learner", user=name)
        await partner.mutate(LINK, {"externalId": name, "userToken": token})
    for course in (await operator.query(COURSES, {"most": MOST_COURSES}))["courses"]["nodes"]:
        if any(listing["platform"]["slug"] == SELLER for listing in course["listings"]):
            await operator.mutate(LEND, {"courseId": course["id"], "isTransferable": True})


def _wallet_help(hub: Running) -> WalletHelp | None:
    """On the embedded chain alone: elsewhere a wallet knows the chain, and coins have a price."""
    node, checkout = hub.chain.node, hub.chain.checkout
    if node is None or checkout is None:
        return None
    faucets: list[Faucet] = []

    async def coin() -> str:
        return "0x" + (await checkout.place()).token.hex()

    async def chain() -> dict[str, str]:
        place = await checkout.place()
        return {"chainId": hex(place.chain_id), "name": "Tongbao demo", "rpcUrl": node.url(), "coin": await coin()}

    async def fill(address: str) -> Purse:
        if not faucets:
            faucets.append(Faucet(hub.chain.client, hub.chain.keys.deployer, await coin()))
        return await faucets[0].fill(address)

    return WalletHelp(chain, fill)
