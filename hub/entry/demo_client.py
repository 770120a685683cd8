"""The demo's own GraphQL client and browser: plain HTTP, `graphql-transport-ws`, and the pay page's form."""

import html
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urljoin

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from hub.entry.connections import trusted

LINK = """
mutation($input: IdentityLinkInput!) { identityLink(input: $input) {
  member { id externalId user { id } } userErrors { message } } }
"""
# A field of the pay page's form: hidden ones carry the guard against forged posts.
_FORM = re.compile(
    r'<form method="post" action="(?P<action>[^"]+/card)"[^>]*>.*?name="csrf" value="(?P<csrf>[^"]*)"', re.S
)


class DemoFailed(Exception):
    """A step did not do what the story says; the text says which and why."""


class Client:
    """One caller of the API, with their token."""

    def __init__(self, origin: str, token: str) -> None:
        self._origin = origin
        self._token = token
        self._http = httpx.AsyncClient(base_url=origin, trust_env=False, timeout=30, verify=trusted())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def query(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        answer = await self._http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers={"Authorization": f"Bearer {self._token}"},
        )
        body = answer.json()
        if answer.status_code != 200 or body.get("errors"):
            raise DemoFailed(f"{answer.status_code}: {json.dumps(body.get('errors', body))[:500]}")
        return dict(body["data"])

    async def mutate(self, document: str, input_: dict[str, Any]) -> dict[str, Any]:
        """The payload of a document with one mutation; its user errors are this step's failure."""
        payload = next(iter((await self.query(document, {"input": input_})).values()))
        if payload["userErrors"]:
            raise DemoFailed(payload["userErrors"][0]["message"])
        return dict(payload)

    @asynccontextmanager
    async def subscribe(self, document: str, variables: dict[str, Any]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The data of each event, over `graphql-transport-ws`."""
        url = self._origin.replace("http", "ws", 1) + "/graphql"
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], compression=None) as socket:
            token = {"Authorization": f"Bearer {self._token}"}
            await socket.send(json.dumps({"type": "connection_init", "payload": token}))
            if json.loads(await socket.recv())["type"] != "connection_ack":
                raise DemoFailed("the hub does not greet the WebSocket")
            payload = {"query": document, "variables": variables}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))

            async def events() -> AsyncIterator[dict[str, Any]]:
                async for frame in socket:
                    message = json.loads(frame)
                    if message["type"] == "next" and not message["payload"].get("errors"):
                        yield message["payload"]["data"]
                    elif message["type"] not in ("ping", "pong"):
                        raise DemoFailed(f"the subscription ended: {str(message)[:300]}")

            yield events()


async def pay_by_card(url: str, number: str) -> None:
    """Fill the hosted pay page's card form in, as a browser without scripts does."""
    async with httpx.AsyncClient(trust_env=False, timeout=30, verify=trusted()) as browser:
        page = await browser.get(url)
        form = _FORM.search(page.text)
        if form is None:
            raise DemoFailed(f"the pay page has no card form: {page.status_code}")
        card = {"csrf": html.unescape(form["csrf"]), "number": number, "expiry": "12 / 34", "cvc": "123"}
        answer = await browser.post(urljoin(url, form["action"]), data=card)
        if answer.status_code not in (200, 302, 303):
            raise DemoFailed(f"the pay page refuses the card: {answer.status_code}")
