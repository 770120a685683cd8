"""The example of a plain page, in a real browser on another origin: a learner finds a course, buys it, pays, has it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from hub.entry.demo_client import Client
from tests.entry.chromium import Browser, Page, chromium
from tests.entry.hubs import LIST, House, Serving, put_on_sale
from tests.entry.toys import served

EXAMPLE = Path(__file__).parents[2] / "hub/docs/examples/browser"
DEFAULT_HUB = "http://127.0.0.1:8000/graphql"
COURSES = [f"Course {number:02}" for number in range(12)]  # more than a page of the example
WITHIN_S = 60.0

pytestmark = pytest.mark.browser


@dataclass(frozen=True, slots=True)
class Shop:
    """The page on an origin of its own, and a hub."""

    url: str
    token: str
    house: House
    hub: Serving
    settings: dict[str, str]

    async def restart(self) -> None:
        """As an upgrade does: the hub goes away, and another one comes up in its place."""
        await self.hub.stop()
        await self.house.serve(**self.settings)


@asynccontextmanager
async def shop(folder: Path, *, is_allowed: bool = True) -> AsyncIterator[Shop]:
    """The hub knows the page's origin if it `is_allowed`."""
    house, pages = House(folder / "hub"), folder / "pages"
    shutil.copytree(EXAMPLE, pages)
    async with served(Starlette(routes=[Mount("/", StaticFiles(directory=pages, html=True))])) as address:
        try:
            settings = {"HUB_ALLOWED_ORIGINS": f"http://{address}"} if is_allowed else {}
            hub = await house.serve(**settings)
            text = (pages / "index.html").read_text()
            assert text.count(DEFAULT_HUB) == 1
            (pages / "index.html").write_text(text.replace(DEFAULT_HUB, f"{hub.origin}/graphql"))
            await stock(house, hub.origin)
            yield Shop(f"http://{address}/", await house.token("learner"), house, hub, settings)
        finally:
            await house.aclose()


async def stock(house: House, origin: str) -> None:
    """Courses of one platform, and one of them opened by another too."""
    async with Client(origin, await house.token("partner", platform="lumen")) as seller:
        sold = [await put_on_sale(seller, title) for title in COURSES]
    async with Client(origin, await house.token("partner", platform="folio")) as other:
        await other.mutate(LIST, {"externalId": "reader", "courseId": sold[0].course_id})


async def texts(page: Page, selector: str) -> list[str]:
    found: list[str] = await page.evaluate(f"[...document.querySelectorAll('{selector}')].map(e => e.textContent)")
    return found


async def test_a_learner_buys_in_a_plain_page_and_sees_the_order_live(tmp_path: Path) -> None:
    async with shop(tmp_path) as at, chromium(tmp_path) as browser:
        page = await signed_in(browser, at)
        await all_are_listed(page)
        await bought(page)
        assert await events(page) == [
            "order created",
            "payment attempt changed: submitted",
            "payment attempt changed: action",
        ]
        await page.evaluate("scrollTo(0, 0)")
        (tmp_path / "bought.png").write_bytes(await page.screenshot())
        await pay(browser, await page.evaluate("document.querySelector('#pay').href"))
        await recorded(page)
        told = await events(page)
        (tmp_path / "right.png").write_bytes(await page.screenshot())
        await reloaded(page, told)
    assert told[3:6] == ["payment attempt changed: charged", "order paid", "entitlement granted"]
    assert page.complaints == []


async def test_the_page_goes_on_after_its_last_event_when_the_hub_was_away(tmp_path: Path) -> None:
    async with shop(tmp_path) as at, chromium(tmp_path) as browser:
        page = await signed_in(browser, at)
        await bought(page)
        await at.restart()
        await pay(browser, await page.evaluate("document.querySelector('#pay').href"))
        await recorded(page)
        told = await events(page)
    assert told[:3] == ["order created", "payment attempt changed: submitted", "payment attempt changed: action"]
    assert told[3:6] == ["payment attempt changed: charged", "order paid", "entitlement granted"]


async def signed_in(browser: Browser, at: Shop) -> Page:
    page = await browser.open(f"{at.url}#token={at.token}")
    await page.wait_for("document.querySelector('#viewer').textContent === 'user'")
    assert await page.evaluate("location.href") == at.url  # the token is nowhere in it
    await page.wait_for("document.querySelectorAll('#courses li').length > 0")
    return page


async def bought(page: Page) -> None:
    """Ordered, and all told that there is until the buyer does something."""
    await pressed(page, "#courses li:first-child .buy")  # sold by Lumen; Folio, which opens it too, names no price
    await page.wait_for("document.querySelectorAll('#events li').length === 3")


async def recorded(page: Page) -> None:
    """The last that is told of a sale. The order as it is read then may be ahead of its events."""
    await page.wait_for("document.querySelector('#right').textContent.endsWith('Recorded on chain.')", WITHIN_S)
    last = "document.querySelector('#events li:last-child').textContent"
    await page.wait_for(f"{last}.endsWith('order recorded')", WITHIN_S)


async def all_are_listed(page: Page) -> None:
    await pressed(page, "#more")
    await page.wait_for("document.querySelector('#more').hidden")
    assert sorted(set(await texts(page, "#courses .title"))) == COURSES
    assert set(await texts(page, "#courses .price")) == {"49.00 USD", "price unknown"}


async def pressed(page: Page, selector: str) -> None:
    """Clicked, wherever on the page it stands."""
    await page.evaluate(f"document.querySelector('{selector}').scrollIntoView({{ block: 'center' }})")
    await page.click(selector)


async def events(page: Page) -> list[str]:
    """What the page tells of the order, without the times."""
    items = "[...document.querySelectorAll('#events li')]"
    found: list[str] = await page.evaluate(
        f"{items}.map(e => e.textContent.slice(e.firstChild.textContent.length + 1))"
    )
    return found


async def pay(browser: Browser, url: str) -> None:
    """As the buyer does, in another tab, on the provider's page."""
    page = await browser.open(url)
    for name, typed in (("number", "4242 4242 4242 4242"), ("expiry", "12 / 34"), ("cvc", "123")):
        await page.click(f"#{name}")
        await page.type(typed)
    await page.click("form button")
    await page.wait_for("document.querySelector('h1').textContent === 'Paid'")


async def reloaded(page: Page, told: list[str]) -> None:
    """The order is in the address, the token in the tab: a reload tells the same again."""
    await page.evaluate("window.isLeaving = true; location.reload()")
    await page.wait_for(f"!window.isLeaving && document.querySelectorAll('#events li').length >= {len(told)}")
    assert (await events(page))[: len(told)] == told


async def test_a_page_of_an_unknown_origin_is_told_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path, is_allowed=False) as at, chromium(tmp_path) as browser:
        page = await browser.open(f"{at.url}#token={at.token}")
        await page.wait_for("document.querySelector('#told').textContent === 'Failed to fetch'")
        assert await texts(page, "#courses li") == []
        assert any("CORS policy" in complaint for complaint in page.complaints)
