"""The demo's page in a real browser with a wallet: one click, a signature, a purchase by coins, a claim, a gift."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.entry.chromium import Page, chromium
from tests.entry.hubs import House, until
from tests.entry.wallet_keys import extension
from tests.wallets import account

WITHIN_S = 90.0  # for a hub's start, and for each wait for the chain, on a busy machine

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[str]:
    """`hub demo`, once its sale is done; gives the page's address."""
    house = House(folder / "data")
    try:
        process = await house.begin("demo", "--port", "0")

        async def look() -> str | None:
            assert process.code is None, process.said[-3000:]
            found = re.search(r"^learners +(\S+/demo)$", process.said, re.MULTILINE)
            return found and found[1]

        yield await until(look, within_s=WITHIN_S, what="the demo's page") or ""
    finally:
        await house.aclose()


async def test_a_learner_with_a_wallet_buys_claims_and_hands_on(tmp_path: Path) -> None:
    async with demo(tmp_path) as url, extension(account(7)) as wallet, chromium(tmp_path) as browser:
        page = await browser.open(url, extension=wallet)
        try:
            await signed_in(page, "lin")
            await bought_by_card(page)
            await connected(page)
            await claimed(page, 1)  # what was bought before there was a wallet
            await page.click(course("Hello, Lumen", ".card"))
            await proven(page)
            await claimed(page, 2)  # what was bought for it
            await bought_with_coins(page)
            await page.evaluate("scrollTo(0, 0)")
            (tmp_path / "demo.png").write_bytes(await page.screenshot())
            await handed_on(page)
        finally:
            (tmp_path / "last.png").write_bytes(await page.screenshot())
        assert page.complaints == []


async def signed_in(page: Page, name: str) -> None:
    await page.click(f"#as-{name}")
    await page.wait_for(f"document.querySelector('#as-{name}[aria-pressed=true]') && location.pathname === '/demo'")


async def connected(page: Page) -> None:
    """The wallet learns the hub's chain, signs the hub's text, and gets coins."""
    await page.evaluate("walletRefuses = true")
    await page.click(".connect")
    await page.wait_for("document.querySelector('#told').textContent.includes('refused it in the wallet')")
    await page.evaluate("walletRefuses = false")
    await page.click(".connect")
    await page.wait_for("document.querySelector('#linked')")
    asked = await page.evaluate("walletAsked.filter((name) => name.startsWith('wallet_') || name === 'personal_sign')")
    assert asked == ["wallet_switchEthereumChain", "wallet_addEthereumChain", "personal_sign"]
    assert await page.evaluate("document.querySelector('#coins').textContent") == "0.00 tUSD"
    await page.click("#fill")
    await page.wait_for("document.querySelector('#coins').textContent === '500.00 tUSD'")


async def bought_with_coins(page: Page) -> None:
    """One signature and one transaction; the token is in the wallet with it."""
    await page.click(course("Double Entry in a Weekend", ".coins"))
    await page.wait_for("document.querySelector('#coins').textContent === '451.00 tUSD'", WITHIN_S)
    await proven(page)
    await page.wait_for("document.querySelectorAll('#rights .token').length === 3", WITHIN_S)


async def bought_by_card(page: Page) -> None:
    await page.click(course("Merkle Trees by Hand", ".card"))
    await page.wait_for("location.pathname.startsWith('/pay/')")
    await page.click("input[name=number]")
    await page.type("4242 4242 4242 4242")
    await page.click("input[name=expiry]")
    await page.type("12 / 34")
    await page.click("input[name=cvc]")
    await page.type("123")
    await page.click("form[action$='/card'] button")
    await page.wait_for("location.pathname === '/demo'", WITHIN_S)
    await proven(page)
    assert await page.wait_for("document.querySelector('#receipt') && document.querySelector('#proof')")


async def proven(page: Page) -> None:
    await page.wait_for("document.querySelectorAll('#steps .done').length === 5", WITHIN_S)


async def claimed(page: Page, tokens: int) -> None:
    await page.click("#rights .claim:enabled")
    await page.wait_for(f"document.querySelectorAll('#rights .token').length === {tokens}", WITHIN_S)


async def handed_on(page: Page) -> None:
    await page.click("#rights .give")
    await page.click("#hand-on input[name=member]")
    await page.type("noor")
    await page.click("#hand-on button[value=give]")
    await page.wait_for("document.querySelector('#told').textContent.startsWith('Handed on')")
    await signed_in(page, "noor")
    await page.wait_for("document.querySelectorAll('#rights .badge.good').length === 1")


def course(title: str, button: str) -> str:
    return f"#courses li[title='{title}'] {button}"
