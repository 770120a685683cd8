"""A course bought with a stablecoin on a whole hub: a wallet signs what GraphQL tells it, the splitter takes the coins
and grants, the hub sees it, and it can go back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from contracts import abi
from hub.chain import keys
from hub.entry.demo_client import Client
from tests.chain.keyring import account_of
from tests.entry.hubs import CREATE, House, Serving, Sold, put_on_sale, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAY = """mutation($input: PaymentCreateInput!) { paymentCreate(input: $input) {
  paymentAttempt { id state lastError { providerCode } nextAction { kind data } } userErrors { code message } } }"""
ORDER = """query($id: ID!) { order(id: $id) {
  id number status chargeStatus course { id }
  paymentIntent { status attempts { id state } }
  entitlement { isOpen state grants { id } } } }"""
REFUND = """mutation($input: RefundCreateInput!) { refundCreate(input: $input) {
  refund { id state } userErrors { code message } } }"""
ETHER = 10**18
PATIENCE = ("offer_not_open_yet", "chain_unavailable")  # the offer is on its way to the chain


@dataclass(frozen=True, slots=True)
class Market:
    """A running hub that sells on its own chain for TestUSD, and a wallet with coins and ether."""

    house: House
    hub: Serving
    learner: Client
    seller: Client
    sold: Sold
    chain: "Node"
    wallet: LocalAccount
    splitter: str
    coin: str
    rights: str


class Node:
    """The embedded node, as any wallet sees it."""

    def __init__(self, data: Path) -> None:
        self._data = data

    @property
    def url(self) -> str:
        """One that comes again has another port."""
        return f"http://127.0.0.1:{json.loads((self._data / 'node.json').read_text())['port']}"

    async def ask(self, method: str, *params: Any) -> Any:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
            said = (
                await client.post(self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            ).json()
        assert "error" not in said, said
        return said["result"]

    async def view(self, to: str, contract: str, function: str, *arguments: object) -> Any:
        data = "0x" + abi.call(contract, function, *arguments).hex()
        said = await self.ask("eth_call", {"to": to, "data": data}, "latest")
        return abi.answer(contract, function, bytes.fromhex(said[2:]))

    async def refusal(self, sender: str, to: str, data: str) -> str:
        """Why a call would revert."""
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
            call = {"from": sender, "to": to, "data": data}
            asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
            return str((await client.post(self.url, json=asked)).json()["error"])

    async def send(self, sender: LocalAccount, to: str, data: str, value: int = 0) -> dict[str, Any]:
        """A transaction of this account, mined; its receipt."""
        nonce = int(await self.ask("eth_getTransactionCount", sender.address, "pending"), 16)
        signed = sender.sign_transaction({
            "type": 2, "chainId": int(await self.ask("eth_chainId"), 16), "nonce": nonce, "to": to, "value": value,
            "data": data, "gas": 1_000_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
        })  # fmt: skip
        hash_ = await self.ask("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))

        async def mined() -> Any:
            return await self.ask("eth_getTransactionReceipt", hash_)

        receipt: dict[str, Any] = await until(mined)
        return receipt


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    house = House(tmp_path_factory.mktemp("stablecoin") / "data")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        hub = await house.serve(HUB_CHANNEL_STABLECOIN_TOKEN="test")
        tokens = await asyncio.gather(house.token("learner"), house.token("partner", platform="lumen"))
        learner, seller = [await stack.enter_async_context(Client(hub.origin, token)) for token in tokens]
        sold = await put_on_sale(seller, "double-entry", price_minor=4900)
        places = await until(lambda: deployed(house), within_s=60, what="the contracts are deployed")
        chain = Node(house.data)
        wallet = Account.from_key(keccak(b"a learner's wallet"))
        payer = account_of(keys.load(house.data).deployer)
        await chain.send(payer, wallet.address, "0x", ETHER)
        mint = abi.call("test_usd", "mint", wallet.address, 500 * 10**6)
        await chain.send(payer, places["test_usd"], "0x" + mint.hex())
        yield Market(
            house, hub, learner, seller, sold, chain, wallet, places["checkout_splitter"], places["test_usd"],
            places["entitlement_hub"],
        )  # fmt: skip


async def deployed(house: House) -> dict[str, str] | None:
    rows = dict(await house.rows("SELECT name, address FROM contract"))
    return rows if len(rows) == 3 else None


async def ordered(market: Market, sold: Sold, key: str, method: str) -> tuple[str, dict[str, Any]]:
    """An order, and what its payment asks the wallet to do, once the offer is on chain."""
    asked = {"listingId": sold.listing_id, "expectedAmount": sold.price, "idempotencyKey": key}
    order = (await market.learner.mutate(CREATE, asked))["order"]["id"]
    tries = iter(range(1_000))

    async def payable() -> Any:
        asked = {
            "orderId": order, "channel": "stablecoin", "expectedAmount": sold.price, "method": method,
            "idempotencyKey": f"{key}-{next(tries)}",
        }  # fmt: skip
        attempt = (await market.learner.mutate(PAY, asked))["paymentAttempt"]
        assert attempt["lastError"] is None or attempt["lastError"]["providerCode"] in PATIENCE, attempt
        return attempt if attempt["state"] == "ACTION" else None

    attempt = await until(payable, every_s=0.5, what="payable on chain")
    assert attempt["nextAction"]["kind"] == "TYPED_DATA"
    return order, json.loads(attempt["nextAction"]["data"])


async def followed(market: Market, told: dict[str, Any]) -> None:
    """What a wallet does: sign, append, send."""
    signature = ""
    if told["sign"] is not None:
        made = market.wallet.sign_typed_data(full_message=told["sign"])
        signature = "".join(number.to_bytes(32, "big").hex() for number in (made.v, made.r, made.s))
    for one in told["transactions"]:
        assert one["appends"] == (["v", "r", "s"] if signature else [])
        receipt = await market.chain.send(market.wallet, one["to"], one["data"] + signature, int(one["value"]))
        assert receipt["status"] == "0x1"


async def paid(market: Market, order: str) -> dict[str, Any]:
    async def look() -> Any:
        shown = (await market.learner.query(ORDER, {"id": order}))["order"]
        return shown if shown["status"] == "PAID" else None

    shown: dict[str, Any] = await until(look, within_s=60, what="the order is paid")
    return shown


async def test_a_wallet_buys_a_course_and_holds_the_right_on_chain(market: Market) -> None:
    order, told = await ordered(market, market.sold, "first", f"permit:{market.wallet.address}")
    assert (told["amount"], told["payer"], told["splitter"]) == ("49000000", market.wallet.address, market.splitter)

    await followed(market, told)
    shown = await paid(market, order)

    assert [attempt["state"] for attempt in shown["paymentIntent"]["attempts"]][-1] == "CHARGED"
    assert shown["entitlement"]["isOpen"]
    token = token_of(told)
    assert await market.chain.view(market.rights, "entitlement_hub", "hasAccess", market.wallet.address, token)
    assert await market.chain.view(market.coin, "test_usd", "balanceOf", market.splitter) == 49_000_000


async def test_another_wallet_brings_an_authorization_and_the_signer_has_the_right(market: Market) -> None:
    sold = await put_on_sale(market.seller, "hitches", price_minor=1250)
    order, told = await ordered(market, sold, "second", f"authorization:{market.wallet.address}")
    made = market.wallet.sign_typed_data(full_message=told["sign"])
    [one] = told["transactions"]
    signature = "".join(number.to_bytes(32, "big").hex() for number in (made.v, made.r, made.s))
    relayer = account_of(keys.load(market.house.data).deployer)
    assert (await market.chain.send(relayer, one["to"], one["data"] + signature))["status"] == "0x1"

    await paid(market, order)

    has_access = await market.chain.view(
        market.rights, "entitlement_hub", "hasAccess", market.wallet.address, token_of(told)
    )
    assert has_access
    assert (await market.chain.send(relayer, one["to"], one["data"] + signature))["status"] == "0x0"  # once


async def test_a_refund_gives_the_coins_back_and_ends_the_right_on_chain_too(market: Market) -> None:
    sold = await put_on_sale(market.seller, "bends", price_minor=3300)
    order, told = await ordered(market, sold, "third", f"approve:{market.wallet.address}")
    await followed(market, told)
    await paid(market, order)
    held = await market.chain.view(market.coin, "test_usd", "balanceOf", market.wallet.address)

    part = {"orderId": order, "amount": {"amountMinor": 100, "currency": "USD"}, "idempotencyKey": "part"}
    refused = (await market.seller.query(REFUND, {"input": part}))["refundCreate"]
    assert (refused["refund"], [error["code"] for error in refused["userErrors"]]) == (None, ["CHANNEL_UNAVAILABLE"])
    asked = {"orderId": order, "idempotencyKey": "back"}
    refund = (await market.seller.mutate(REFUND, asked))["refund"]
    assert refund["state"] in ("SUCCEEDED", "PENDING", "SUBMITTED", "UNKNOWN")

    async def back() -> Any:
        return (await market.learner.query(ORDER, {"id": order}))["order"]["status"] == "REFUNDED"

    await until(back, within_s=60, what="the order is refunded")
    assert await market.chain.view(market.coin, "test_usd", "balanceOf", market.wallet.address) == held + 33_000_000
    assert not await market.chain.view(
        market.rights, "entitlement_hub", "hasAccess", market.wallet.address, token_of(told)
    )


async def test_too_little_too_much_and_twice_are_refused_before_money_moves(market: Market) -> None:
    sold = await put_on_sale(market.seller, "whippings", price_minor=700)
    order, told = await ordered(market, sold, "exact", f"approve:{market.wallet.address}")
    approve, buy = told["transactions"]
    more = "0x" + abi.call("test_usd", "approve", market.splitter, 2**64).hex()
    assert (await market.chain.send(market.wallet, approve["to"], more))["status"] == "0x1"
    held = await market.chain.view(market.coin, "test_usd", "balanceOf", market.splitter)
    buying = bytes.fromhex(buy["data"][2:])
    for price in (7_000_000 - 1, 7_000_000 + 1):
        other = buying[:132] + price.to_bytes(32, "big") + buying[164:]
        assert "offer" in await market.chain.refusal(market.wallet.address, market.splitter, "0x" + other.hex())

    assert (await market.chain.send(market.wallet, buy["to"], buy["data"]))["status"] == "0x1"
    await paid(market, order)
    assert "settled" in await market.chain.refusal(market.wallet.address, market.splitter, buy["data"])
    assert (await market.chain.send(market.wallet, buy["to"], buy["data"]))["status"] == "0x0"
    assert await market.chain.view(market.coin, "test_usd", "balanceOf", market.splitter) == held + 7_000_000
    rows = f"SELECT received_minor, total_minor FROM order_ WHERE id = '{order}'"
    assert await market.house.rows(rows) == [(700, 700)]


async def test_an_order_pays_the_price_it_froze_and_after_a_kill_the_old_price_is_closed_in_the_contract(
    market: Market,
) -> None:
    sold = await put_on_sale(market.seller, "splices", price_minor=2000)
    order, told = await ordered(market, sold, "fourth", f"approve:{market.wallet.address}")
    buying = bytes.fromhex(told["transactions"][-1]["data"][2:])
    old = buying[100:260]  # its terms; the price is their second word
    new = old[:32] + (25_000_000).to_bytes(32, "big") + old[64:]
    await put_on_sale(market.seller, "splices", price_minor=2500)
    await until(lambda: is_open(market, new), within_s=60, what="the new price is on sale")
    assert await is_open(market, old)

    await followed(market, told)
    await paid(market, order)
    before = await deployed(market.house)
    await market.hub.kill()
    await market.house.serve(HUB_CHANNEL_STABLECOIN_TOKEN="test")

    async def closed() -> bool:
        try:
            return not await is_open(market, old)
        except httpx.TransportError:  # the node died with its hub, and is on its way
            return False

    await until(closed, within_s=60, what="the old price is off sale")
    another = "0x" + (buying[:4] + keccak(b"another order") + buying[36:]).hex()
    assert "offer" in await market.chain.refusal(market.wallet.address, market.splitter, another)
    assert await is_open(market, new)
    assert await deployed(market.house) == before
    purposes = [purpose.split(":") for [purpose] in await market.house.rows(SPLITTER_CALLS)]
    assert sorted((verb, number) for verb, _, _, number in purposes) == [
        ("close", "0"), *[("offer", "0")] * 6, ("split", "0"),
    ]  # fmt: skip
    assert await market.house.rows("SELECT kind, detail FROM break_") == []
    await market.house.verified()


SPLITTER_CALLS = "SELECT purpose FROM chain_transaction WHERE substr(purpose, 1, 5) IN ('offer', 'split', 'close')"


async def is_open(market: Market, terms: bytes) -> Any:
    return await market.chain.view(market.splitter, "checkout_splitter", "isOpen", keccak(terms))


def token_of(told: dict[str, Any]) -> int:
    """The right that the transaction buys, out of its calldata: the third member of the terms."""
    data = bytes.fromhex(told["transactions"][-1]["data"][2:])
    return int.from_bytes(data[4 + 32 * 5 : 4 + 32 * 6])
