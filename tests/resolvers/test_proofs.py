"""A proof bundle as a file and as a QR code: for whoever may read `Order.proof`, and for nobody else."""

import json
import re
from xml.etree import ElementTree

import httpx
import pytest
import segno
import zxingcpp
from starlette.applications import Starlette

from hub.domain.people import LEARNER_SCOPES
from hub.entry.proofs import MAX_QR, drawn, proof_routes
from hub.security.tokens import UserTokens
from schema import schema
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import buy
from tests.resolvers.test_verifying import anchored

PAGE = "https://hub.example"


def client(api: Api) -> httpx.AsyncClient:
    app = Starlette(routes=proof_routes(api.hub, schema, PAGE))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PAGE)


def bearer(api: Api, user_id: str, scopes: frozenset[str] = LEARNER_SCOPES) -> dict[str, str]:
    tokens = api.hub.tokens
    assert isinstance(tokens, UserTokens)
    token = tokens.issue_user_token(user_id, api.world.clock.now_us(), 600, scopes)
    return {"Authorization": f"Bearer {token}"}


async def test_bundle_is_a_file_for_its_buyer_alone(api: Api) -> None:
    me, other = await api.world.user(), await api.world.user()
    order = await buy(api, me, await api.world.listing(), "k")
    async with client(api) as http:
        path = f"/proofs/{order['id']}.json"
        assert (await http.get(path, headers=bearer(api, me.id))).status_code == 404, "not proven yet"
        await anchored(api)
        answer = await http.get(path, headers=bearer(api, me.id))
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="{order["number"]}.proof.json"'
        assert set(answer.json()) == {
            "version", "chainId", "hub", "root", "index", "orderKey", "to", "tokenId", "expiry", "commitment", "proof",
        }  # fmt: skip
        assert (await http.get(path, headers=bearer(api, other.id))).status_code == 404
        assert (await http.get(path)).status_code == 401
        assert (await http.get(path, headers={"Authorization": "Bearer nonsense"})).status_code == 401
        assert (await http.get(path, headers=bearer(api, me.id, frozenset({"wallets:read"})))).status_code == 403
        assert (await http.get("/proofs/nonsense.json", headers=bearer(api, me.id))).status_code == 404
        picture = await http.get(f"/proofs/{order['id']}.svg", headers=bearer(api, me.id))
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.content == drawn(answer.text)


def test_code_holds_the_text_it_is_drawn_of_and_the_largest_bundle_fits() -> None:
    largest = {"proof": ["0x" + "ab" * 32] * 10, "root": "0x" + "cd" * 32, "rest": "x" * 560}
    text = json.dumps(largest, separators=(",", ":"))
    assert len(text) < MAX_QR
    assert ElementTree.fromstring(drawn(text)).tag.endswith("svg")
    code = segno.make(text.encode(), error="l", boost_error=False, micro=False)
    assert (code.mode, code.error) == ("byte", "L")
    [read] = zxingcpp.read_barcodes(screen(drawn(text)))
    assert (read.text, read.format) == (text, zxingcpp.BarcodeFormat.QRCode)
    assert segno.make(b"x" * MAX_QR, error="l", boost_error=False, micro=False).version == 40
    with pytest.raises(segno.DataOverflowError):
        drawn("x" * (MAX_QR + 1))


def screen(svg: bytes, pixels: int = 4) -> memoryview:
    """A code as a camera's grey pixels: runs of dark modules, row by row, each so many pixels wide and high."""
    picture = ElementTree.fromstring(svg)
    [path] = picture.iter("{http://www.w3.org/2000/svg}path")
    width = round(float(picture.attrib["width"]) / 4) * pixels
    shown = bytearray(b"\xff" * width**2)
    x, y = 0, 0.0
    for step, numbers in re.findall(r"([Mmh])([-\d. ]+)", path.attrib["d"]):
        run, *down = [float(number) for number in numbers.split()]
        if step == "h":
            for row in range(int(y) * pixels, (int(y) + 1) * pixels):
                start = row * width + x * pixels
                shown[start : start + int(run) * pixels] = bytes(int(run) * pixels)
        x, y = (0 if step == "M" else x) + int(run), y + sum(down)
    return memoryview(bytes(shown)).cast("B", (width, width))
