"""The pay page in a real browser: its policy lets its own forms through, and nothing else is asked for."""

from pathlib import Path

import pytest

from tests.entry.chromium import chromium
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.browser


async def test_buyer_pays_by_card_with_a_3d_secure_step_and_returns_to_the_shop(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    shop = f"{sandbox.address.base_url}/p/lumen"
    intent = (await sandbox.create(return_url=shop)).json()
    async with chromium(tmp_path) as browser:
        page = await browser.open(intent["next_action"]["redirect_to_url"]["url"])
        for name, text in (("number", "4000002500003155"), ("expiry", "12/30"), ("cvc", "123")):
            await page.click(f"#{name}")
            await page.type(text)
        await page.click("form[action$=card] button")
        await page.click("button[value=complete]")
        await page.wait_for("document.querySelector('h1').textContent === 'Paid'")
        complaints, asked = list(page.complaints), set(page.requests)
        await page.click("a.button")
        await page.wait_for(f"location.href.startsWith({shop!r}) && location.search.includes('status=succeeded')")

    assert complaints == []
    assert all(address.startswith(f"{sandbox.address.base_url}/pay/") for address in asked)
    assert (await sandbox.find("TB-1-1"))[0]["status"] == "succeeded"
