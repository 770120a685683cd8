"""The demo's page as its hub serves it: its files, its policy, its documents, and a faucet for nobody else."""

import re
from dataclasses import dataclass, field
from importlib.resources import files

import httpx
import pytest
from eth_account.signers.local import LocalAccount
from graphql import NoDeprecatedCustomRule, parse, specified_rules, validate
from starlette.applications import Starlette

from hub.chain.faucet import COINS, GAS_WEI, Faucet, Purse
from hub.chain.rpc import Answer, Question
from hub.entry.app import create_app
from hub.entry.demo_page import WalletHelp, demo_routes
from hub.entry.settings import read_settings
from hub.entry.sign_in import SignIn, own_names
from hub.ports import ChainReceipt, ChainUnavailable, SignedTransaction
from schema import schema
from tests.entry.toys import ToyHub
from tests.wallets import account

ORIGIN = "http://127.0.0.1:8000"
PAGE = files("hub.web") / "demo"
COIN = "0x" + "c0" * 20


async def mint(name: str) -> str:
    return f"token of {name}"


async def chain() -> dict[str, str]:
    return {"chainId": "0x7", "name": "a chain", "rpcUrl": "http://127.0.0.1:1", "coin": COIN}


async def fill(address: str) -> Purse:
    if address != account().address:
        raise ValueError(address)
    return Purse(COINS, GAS_WEI)


async def away(*_: str) -> Purse:
    raise ChainUnavailable("not up yet")


HELP = WalletHelp(chain, fill)


def client(wallets: WalletHelp | None = HELP) -> httpx.AsyncClient:
    routes = demo_routes(SignIn(("lin", "noor"), mint, own_names(8000)), ORIGIN, wallets)
    return httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=routes)), base_url=ORIGIN)


async def test_the_page_and_all_that_it_names_are_served_under_a_strict_policy() -> None:
    async with client() as hub:
        page = await hub.get("/demo")
        named = set(re.findall(r'(?:src|href)="(/demo/[^"]+)"', page.text))
        texts = [file.read_text() for file in PAGE.iterdir()]
        scripts = {f"/demo/{name}" for text in texts for name in re.findall(r"'\./(\S+\.js)'", text)}
        answers = [await hub.get(path) for path in sorted(named | scripts)]
    assert {answer.status_code for answer in (page, *answers)} == {200}
    assert len(named | scripts) == 8
    assert {answer.headers["content-security-policy"] for answer in (page, *answers)} == {
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self' http://127.0.0.1:*"
    }
    assert re.findall(r"<script[^>]*>([^<]*)</script>|style=|\son\w+=", page.text) == [""]


async def test_whoever_comes_by_another_name_is_sent_to_the_one_that_wallets_are_asked_under() -> None:
    async with client() as hub:
        answer = await hub.get("/demo", headers={"Host": "localhost:8000"})
    assert (answer.status_code, answer.headers["location"]) == (307, f"{ORIGIN}/demo")


async def test_the_page_signs_its_own_people_in() -> None:
    async with client() as hub:
        assert (await hub.get("/demo/sign-in")).json() == {"kinds": ["lin", "noor"]}
        assert (await hub.post("/demo/sign-in", json={"kind": "noor"})).json() == {"token": "token of noor"}


def test_every_document_of_the_page_fits_the_schema() -> None:
    text = (PAGE / "documents.js").read_text()
    parts = dict(re.findall(r"^const (\w+) = ['`]([^'`]*)['`];", text, re.MULTILINE))
    parts |= {name: re.sub(r"\$\{(\w+)\}", lambda found: parts[found[1]], part) for name, part in parts.items()}
    documents = re.findall(r"^export const (\w+) = `([^`]*)`;", text, re.MULTILINE)
    assert len(documents) == 10
    for name, document in documents:
        whole = re.sub(r"\$\{(\w+)\}", lambda found: parts[found[1]], document)
        assert validate(schema._schema, parse(whole), [*specified_rules, NoDeprecatedCustomRule]) == [], name


# ---- the faucet ------------------------------------------------------------------------------------------------------


async def test_the_faucet_fills_the_wallet_of_its_own_page() -> None:
    async with client() as hub:
        answer = await hub.post("/demo/coins", json={"address": account().address}, headers={"Origin": ORIGIN})
        wrong = await hub.post("/demo/coins", json={"address": "0x12"})
    assert answer.json() == {"coins": "500000000", "gasWei": "100000000000000000"}
    assert (wrong.status_code, wrong.json()) == (400, {"message": "address: 0x and 40 hexadecimal digits"})


@pytest.mark.parametrize("headers", [{"Origin": "http://localhost:3000"}, {"Host": "rebound.example:8000"}])
async def test_no_other_page_gets_anything(headers: dict[str, str]) -> None:
    async with client() as hub:
        answer = await hub.post("/demo/coins", json={"address": account().address}, headers=headers)
    assert answer.status_code == 403


async def test_a_chain_that_is_not_up_yet_is_told() -> None:
    async with client(WalletHelp(away, away)) as hub:  # type: ignore[arg-type]  # neither comes to an answer
        asked = await hub.get("/demo/chain")
        filled = await hub.post("/demo/coins", json={"address": account().address})
    assert [(one.status_code, one.json()) for one in (asked, filled)] == [(503, {"message": "not up yet"})] * 2


async def test_on_a_chain_of_others_there_is_no_faucet() -> None:
    async with client(None) as hub:
        assert [(await hub.get("/demo/chain")).status_code, (await hub.post("/demo/coins")).status_code] == [404, 404]


@pytest.mark.parametrize("mode", ["development", "production"])
async def test_a_hub_that_serves_has_neither_page_nor_faucet(mode: str) -> None:
    app = create_app(ToyHub().hub, read_settings({"HUB_MODE": mode, "HUB_PUBLIC_URL": ORIGIN}), schema=schema)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as hub:
        gets = [(await hub.get(path)).status_code for path in ("/demo", "/demo/chain", "/demo/sign-in")]
        posts = [(await hub.post(path)).status_code for path in ("/demo/coins", "/demo/sign-in")]
    assert [*gets, *posts] == [404] * 5


@dataclass(slots=True)
class Ledger:
    """A chain as the faucet uses it: a purse, and what was sent to fill it."""

    purse: list[int]
    sent: list[tuple[str, int]] = field(default_factory=list)

    async def look_up(self, *_: Question) -> list[Answer]:
        return [hex(amount) for amount in self.purse]

    async def count_transactions(self, _address: str, _tag: str) -> int:
        return len(self.sent)

    async def sign(
        self, _payer: LocalAccount, *, to: str, data: bytes, nonce: int, value_wei: int = 0
    ) -> SignedTransaction:
        assert nonce == len(self.sent)
        amount = value_wei or int.from_bytes(data[-32:])
        self.sent.append((to.lower(), amount))
        self.purse[1 if value_wei else 0] += amount
        return SignedTransaction(hash=hex(nonce), raw="0x", nonce=nonce, sender="")

    async def send(self, _: SignedTransaction) -> None: ...

    async def receipt(self, hash_: str) -> ChainReceipt:
        return ChainReceipt(
            hash=hash_, is_ok=True, block_number=1, block_hash="0x", gas_used=1, gas_price_wei=1, confirmations=1
        )


async def test_the_faucet_gives_no_more_than_what_is_missing() -> None:
    ledger = Ledger([20 * 10**6, 0])
    faucet = Faucet(ledger, account(2), COIN)  # type: ignore[arg-type]  # the part of a chain that it uses
    wallet = account().address.lower()
    assert await faucet.fill(wallet) == Purse(COINS, GAS_WEI)
    assert ledger.sent == [(COIN, 480 * 10**6), (wallet, GAS_WEI)]
    assert await faucet.fill(wallet) == Purse(COINS, GAS_WEI)
    assert len(ledger.sent) == 2
    with pytest.raises(ValueError, match="0x12"):
        await faucet.fill("0x12")
