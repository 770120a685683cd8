"""Turns an Authorization header into who asks: a user by the hub's own token, a platform or operator by an API key."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hub.domain.issuers import TrustedIssuer
from hub.domain.keys import USE_NOTED_EVERY_US, ApiKey
from hub.domain.people import ANONYMOUS, Viewer
from hub.flows.keys import note_use
from hub.ports import Hub, TokenRefused
from hub.security.tokens import matches, parse_api_key
from resolvers.errors import GatekeepingError, gatekept

log = logging.getLogger(__name__)

# How long a key that was revoked may still work: a partner's every request would else cost a read.
KEY_CACHE_US = 5 * 1_000_000
# Known keys that are remembered, about 1 KB each; unknown ones never are, so nobody can push these out.
MAX_KEYS = 1024
# Characters of a header: a token has about 700, an API key about 90.
MAX_CREDENTIAL = 4096

T = TypeVar("T")


def unauthenticated(reason: str) -> GatekeepingError:
    return GatekeepingError("UNAUTHENTICATED", reason)


class Viewers:
    """Who asks, by credential. One per process: it remembers API keys for a few seconds."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._keys = Remembered(hub, self._read_key)
        self._issuers = Remembered(hub, self._read_issuer)
        self._noted_us: dict[str, int] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def viewer(self, authorization: str | None) -> Viewer:
        """The viewer of an Authorization header's value; ANONYMOUS without one.

        Raises GatekeepingError: UNAUTHENTICATED for what is not, or no longer, a credential of this hub; UNAVAILABLE
        when the database cannot be asked.
        """
        if authorization is None:
            return ANONYMOUS
        scheme, _, credential = authorization.strip().partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential or len(credential) > MAX_CREDENTIAL:
            raise unauthenticated("the Authorization header must be: Bearer TOKEN")
        api_key = parse_api_key(credential)
        if api_key is not None:
            return await self._by_key(*api_key)
        try:
            viewer = self._hub.tokens.verify_user_token(credential, self._hub.clock.now_us())
        except TokenRefused as refused:
            raise unauthenticated(str(refused)) from None
        if viewer.issuer_id is not None and not await self._is_trusted(viewer.issuer_id):
            raise unauthenticated("the platform through which this token came is not trusted any more")
        return viewer

    async def still(self, viewer: Viewer) -> bool:
        """Whether the credential behind this viewer counts still: asked of running streams, as often as one likes.

        At most one read in five seconds for each key or issuer, however many streams ask. False once the key is
        revoked or at its end, the token at its end, or the issuer behind it no longer trusted. A database that does
        not answer changes nothing: the stream cannot tell anything then either.
        """
        now_us = self._hub.clock.now_us()
        if viewer.expires_at_us is not None and now_us >= viewer.expires_at_us:
            return False
        try:
            if viewer.key_id is not None:
                key = await self._keys.get(viewer.key_id)
                return key is not None and key.is_live(now_us)
            return viewer.issuer_id is None or await self._is_trusted(viewer.issuer_id)
        except GatekeepingError:
            return True

    async def settled(self) -> None:
        """Once every use so far is noted, or could not be."""
        await asyncio.gather(*self._noting)

    async def _by_key(self, key_id: str, secret: str) -> Viewer:
        key = await self._keys.get(key_id)
        # An unknown id and a wrong secret are one answer, so that ids cannot be tried.
        if key is None or not matches(secret, key.secret_hash):
            raise unauthenticated("this is no API key of this hub")
        if key.revoked_at_us is not None:
            raise unauthenticated("this API key was revoked")
        if not key.is_live(self._hub.clock.now_us()):
            raise unauthenticated("this API key has ended")
        if key.is_development and self._hub.is_production:
            raise unauthenticated("this API key was made in development mode")
        self._note_use(key)
        return Viewer(key.kind, None, key.platform_id, key.scopes, key.expires_at_us, key.id)

    def _note_use(self, key: ApiKey) -> None:
        """Beside the request, which does not wait for it; once a minute at most, whoever else notes it too."""
        now_us = self._hub.clock.now_us()
        last_us = max(self._noted_us.get(key.id, 0), key.last_used_at_us or 0)
        if now_us - last_us < USE_NOTED_EVERY_US:
            return
        self._noted_us.pop(key.id, None)
        self._noted_us[key.id] = now_us
        if len(self._noted_us) > MAX_KEYS:
            self._noted_us.pop(next(iter(self._noted_us)))
        task = asyncio.create_task(self._noted(key.id, now_us), name="note the use of a key")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _noted(self, key_id: str, at_us: int) -> None:
        try:
            await note_use(self._hub, key_id, at_us)
        except Exception:
            log.warning("the use of a key could not be noted", exc_info=True)

    async def _is_trusted(self, issuer_id: str) -> bool:
        issuer = await self._issuers.get(issuer_id)
        return issuer is not None and issuer.is_active

    async def _read_key(self, key_id: str) -> ApiKey | None:
        async with self._hub.store.reading() as rx:
            return await rx.keys.by_id(key_id)

    async def _read_issuer(self, issuer_id: str) -> TrustedIssuer | None:
        async with self._hub.store.reading() as rx:
            return await rx.issuers.by_id(issuer_id)


@dataclass(frozen=True, slots=True)
class _Read(Generic[T]):
    value: T
    at_us: int


class Remembered(Generic[T]):
    """What was read by id, for KEY_CACHE_US; what is not there is never remembered. Who asks while it is being read
    waits for that read."""

    def __init__(self, hub: Hub, read: Callable[[str], Awaitable[T | None]]) -> None:
        self._hub = hub
        self._read = read
        self.known: OrderedDict[str, _Read[T]] = OrderedDict()
        self._reading: dict[str, asyncio.Future[T | None]] = {}

    async def get(self, id_: str) -> T | None:
        """Raises GatekeepingError UNAVAILABLE when the database cannot be asked."""
        now_us = self._hub.clock.now_us()
        known = self.known.get(id_)
        if known is not None and 0 <= now_us - known.at_us < KEY_CACHE_US:
            return known.value
        reading = self._reading.get(id_)
        if reading is None:
            reading = self._reading[id_] = asyncio.ensure_future(self._afresh(id_, now_us))
            reading.add_done_callback(lambda _: self._reading.pop(id_, None))
        with gatekept():
            return await asyncio.shield(reading)  # one caller that goes away does not take the others' read along

    async def _afresh(self, id_: str, now_us: int) -> T | None:
        value = await self._read(id_)
        self.known.pop(id_, None)
        if value is not None:
            self.known[id_] = _Read(value, now_us)
            if len(self.known) > MAX_KEYS:
                self.known.popitem(last=False)
        return value
