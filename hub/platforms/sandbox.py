"""A sandbox platform over its own HTTP API: maps our requests to its wire and its answers to the port's errors."""

import asyncio
from typing import Any, Literal

import httpx
import orjson

from hub.domain.money import Money
from hub.ports import (
    Access,
    AccessRequest,
    Cap,
    CatalogueEntry,
    CataloguePage,
    Conflict,
    PlatformError,
    RateLimited,
    Rejected,
    Transient,
)

DEADLINE_S = 10.0  # for one call of ours, whatever number of requests it takes
ANSWER_LIMIT = 4 * 1024 * 1024  # bytes; a page of a hundred long listings stays under it
RATE_LIMITED_MS = 1_000  # where the platform names no time
# Its statuses that another try may mend; every other refusal waits for a person.
TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})
ACCESS: dict[str, Access] = {"open": Access.OPEN, "closed": Access.CLOSED}

Json = dict[str, Any]


class SandboxPlatform:
    """The port `Platform` over a sandbox platform's API."""

    capabilities = frozenset(
        {Cap.LIST, Cap.RESOLVE, Cap.GRANT, Cap.REVOKE, Cap.VERIFY, Cap.LAUNCH, Cap.IDEMPOTENT_GRANT}
    )

    def __init__(self, *, slug: str, base_url: str, api_key: str, client: httpx.AsyncClient) -> None:
        """`base_url` is the API's, up to and without `/catalog`. `client` is closed by us."""
        self.slug = slug
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._client = client

    async def list_catalogue(self, cursor: str | None, limit: int) -> CataloguePage:
        """A page of what it sells, in its lasting order."""
        params = {"limit": str(limit)} | ({} if cursor is None else {"cursor": cursor})
        answer = await self._call("GET", "/catalog", params=params)
        try:
            return CataloguePage(tuple(entry_of(listing) for listing in answer["data"]), answer["next_cursor"])
        except (KeyError, TypeError, ValueError) as error:
            raise Rejected(f"{self.slug} answered with a catalogue we cannot read") from error

    async def grant_access(self, request: AccessRequest) -> None:
        """Open the listing; makes the member first when the platform has none. Conflict if it echoes another."""
        await self._call("POST", "/members", json={"member": member_of(request)})
        answer = await self._call("POST", "/access", json=_named(request), headers={"Idempotency-Key": request.key})
        if self._state(request, answer) is not Access.OPEN:
            raise Conflict(f"{self.slug} took the grant and says that it is closed")

    async def revoke_access(self, request: AccessRequest) -> None:
        """Close it; a member or listing that the platform does not know has no access to close."""
        try:
            answer = await self._call("POST", "/access/revoke", json=_named(request))
        except _Unknown:
            return
        if self._state(request, answer) is not Access.CLOSED:
            raise Conflict(f"{self.slug} took the revocation and says that it is open")

    async def verify_access(self, request: AccessRequest) -> Access:
        """What the platform's own list says."""
        return self._state(request, await self._call("GET", "/access", params=_named(request)))

    async def launch_url(self, request: AccessRequest) -> str:
        """A one-time address, good for five minutes."""
        answer = await self._call("POST", "/access/launch", json=_named(request))
        self._echoes(request, answer)
        url = answer.get("url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise Rejected(f"{self.slug} answered without an address to open")
        return url

    async def aclose(self) -> None:
        await self._client.aclose()

    def _state(self, request: AccessRequest, answer: Json) -> Access:
        self._echoes(request, answer)
        try:
            return ACCESS[answer["state"]]
        except (KeyError, TypeError) as error:
            raise Rejected(f"{self.slug} answered with a state we do not know") from error

    def _echoes(self, request: AccessRequest, answer: Json) -> None:
        """Believe an answer only if it is about the member and the course that were asked for."""
        if (answer.get("platform"), answer.get("member"), answer.get("course")) != (
            self.slug,
            member_of(request),
            request.external_id,
        ):
            raise Conflict(f"{self.slug} answered for another member or course")

    async def _call(
        self, method: Literal["GET", "POST"], path: str, *, headers: dict[str, str] | None = None, **parts: Any
    ) -> Json:
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._client.request(
                    method,
                    self._base_url + path,
                    headers={"Authorization": f"Bearer {self._api_key}", **(headers or {})},
                    timeout=DEADLINE_S,
                    **parts,
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise Transient(f"{self.slug} did not answer ({type(error).__name__})") from error
        if answer.is_success and len(answer.content) <= ANSWER_LIMIT:
            return self._object(answer.content)
        raise refusal_of(self.slug, answer)

    def _object(self, content: bytes) -> Json:
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError as error:  # cut or garbled on the way: what was asked may have happened
            raise Transient(f"{self.slug} answered with something that is not JSON") from error
        if not isinstance(body, dict):
            raise Rejected(f"{self.slug} answered with something that is no object")
        return body


class _Unknown(Rejected):
    """The platform knows no such member or course."""


def member_of(request: AccessRequest) -> str:
    """Under which id the platform knows the buyer: its own for a linked member, else the pairwise one."""
    return request.member_external_id or request.pairwise_id


def entry_of(listing: Json) -> CatalogueEntry:
    """A listing of the platform's catalogue. Raises KeyError, TypeError or ValueError when it is none."""
    price = listing["price"]
    return CatalogueEntry(
        external_id=_text(listing["external_id"]),
        title=_text(listing["title"]),
        kind=_text(listing["kind"]).upper(),
        price=None if price is None else Money(price["amount_minor"], price["currency"]),
        url=_text(listing["url"]),
    )


def refusal_of(slug: str, answer: httpx.Response) -> PlatformError:
    """The port's error for an answer that is no success."""
    code = _code_in(answer.content)
    if answer.status_code == 429:
        told = answer.headers.get("retry-after", "")
        return RateLimited(int(told) * 1_000 if told.isascii() and told.isdigit() else RATE_LIMITED_MS)
    if answer.status_code in TRANSIENT:
        return Transient(f"{slug} is not able to answer now ({answer.status_code})")
    if code == "idempotency_key_in_use":  # the first call with this key is still under way
        return Transient(f"{slug} is still at the first call")
    if code in ("member_unknown", "course_unknown"):
        return _Unknown(f"{slug} refused: {code}")
    return Rejected(f"{slug} refused: {code or answer.status_code}")


def _code_in(content: bytes) -> str:
    try:
        return str(orjson.loads(content)["error"]["code"])[:100]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def _named(request: AccessRequest) -> dict[str, str]:
    return {"member": member_of(request), "course": request.external_id}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text was expected")
    return value
