"""Turns an Authorization header into who asks: a user by the hub's own token, a platform or operator by an API key."""

from collections import OrderedDict
from dataclasses import dataclass

from hub.domain.people import ANONYMOUS, ApiKey, Viewer
from hub.ports import Hub, TokenRefused
from hub.security.tokens import matches, parse_api_key
from resolvers.errors import GatekeepingError, gatekept

# How long a key that was revoked may still work: a partner's every request would else cost a read.
KEY_CACHE_US = 5 * 1_000_000
# Known keys that are remembered, about 1 KB each; unknown ones never are, so nobody can push these out.
MAX_KEYS = 1024
# Characters of a header: a token has about 400, an API key about 90.
MAX_CREDENTIAL = 4096


def unauthenticated(reason: str) -> GatekeepingError:
    return GatekeepingError("UNAUTHENTICATED", reason)


@dataclass(frozen=True, slots=True)
class _Remembered:
    key: ApiKey
    read_at_us: int


class Viewers:
    """Who asks, by credential. One per process: it remembers API keys for a few seconds."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._keys: OrderedDict[str, _Remembered] = OrderedDict()

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
            return self._hub.tokens.verify_user_token(credential, self._hub.clock.now_us())
        except TokenRefused as refused:
            raise unauthenticated(str(refused)) from None

    async def _by_key(self, key_id: str, secret: str) -> Viewer:
        key = await self._key(key_id)
        # An unknown id and a wrong secret are one answer, so that ids cannot be tried.
        if key is None or not matches(secret, key.secret_hash):
            raise unauthenticated("this is no API key of this hub")
        if key.revoked_at_us is not None:
            raise unauthenticated("this API key was revoked")
        if key.is_development and self._hub.is_production:
            raise unauthenticated("this API key was made in development mode")
        return Viewer(key.kind, platform_id=key.platform_id, scopes=key.scopes)

    async def _key(self, key_id: str) -> ApiKey | None:
        now_us = self._hub.clock.now_us()
        known = self._keys.get(key_id)
        if known is not None and 0 <= now_us - known.read_at_us < KEY_CACHE_US:
            return known.key
        with gatekept():
            async with self._hub.store.reading() as rx:
                key = await rx.people.key(key_id)
        self._keys.pop(key_id, None)
        if key is not None:
            self._keys[key_id] = _Remembered(key, now_us)
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)
        return key
