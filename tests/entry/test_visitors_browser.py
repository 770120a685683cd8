"""GraphiQL behind its gate in a real browser: whoever has signed in gets page, assets and answers in their own name."""

from pathlib import Path

import pytest

from tests.entry.chromium import chromium
from tests.entry.toys import USER, ToyHub, app_of, served

pytestmark = pytest.mark.browser

ASK = """fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json', ...%s},
  body: '{"query":"{ viewer }"}'}).then(async answer => [answer.status, (await answer.json()).data?.viewer ?? null])"""


async def test_browser_signs_in_once_and_acts_by_the_headers_tab_alone(tmp_path: Path) -> None:
    toys = ToyHub()
    token = toys.token()
    async with served(app_of(toys, graphiql="user", introspection="user")) as address, chromium(tmp_path) as browser:
        with pytest.raises(RuntimeError, match="ERR_INVALID_AUTH_CREDENTIALS"):  # nobody is there to be asked
            await browser.open(f"http://{address}/graphql")
        page = await browser.open(f"http://me:{token}@{address}/graphiql")
        await page.goto(f"http://{address}/graphiql")  # the browser remembers what it was asked for
        await page.wait_for("document.querySelector('.graphiql-container')")
        assert await page.evaluate(ASK % f"{{authorization: 'Bearer {token}'}}") == [200, USER]
        # What the browser adds by itself acts for nobody.
        assert (await page.evaluate(ASK % "{}"))[1] in (None, "ANONYMOUS")
