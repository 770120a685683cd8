"""What a wallet is told of a token: the same of all, to anybody, and nothing of whose it is or what it opens."""

from xml.etree import ElementTree

import httpx
import pytest
from starlette.applications import Starlette

from hub.entry.token_metadata import metadata_uri, token_metadata_routes

PAGE = "https://hub.example"


def client() -> httpx.AsyncClient:
    app = Starlette(routes=token_metadata_routes(PAGE))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app))


async def test_a_wallet_that_follows_the_contracts_address_gets_a_name_and_a_picture() -> None:
    async with client() as http:
        answer = await http.get(metadata_uri(PAGE).replace("{id}", f"{7 << 200:064x}"))
        told = answer.json()
        picture = await http.get(told["image"])
    assert answer.headers["access-control-allow-origin"] == "*"
    assert (told["name"], told["decimals"]) == ("Tongbao entitlement 通宝知识权益", 0)
    assert picture.headers["content-type"] == "image/svg+xml"
    assert ElementTree.fromstring(picture.content).tag == "{http://www.w3.org/2000/svg}svg"


async def test_06_25_metadata_tells_no_token_from_another() -> None:
    async with client() as http:
        answers = [await http.get(f"{PAGE}/tokens/{token_id:064x}.json") for token_id in (0, 1, 2**256 - 1)]
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("token_id", ["7", "0x" + "0" * 62, "A" * 64, "0" * 65])
async def test_what_erc_1155_does_not_spell_so_is_no_token(token_id: str) -> None:
    async with client() as http:
        answer = await http.get(f"{PAGE}/tokens/{token_id}.json")
    assert (answer.status_code, list(answer.json())) == (400, ["message"])
