"""Outgoing webhooks: what is sent, and the sending."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from hub.domain.events import Logged
from hub.domain.people import Viewer
from hub.domain.webhooks import Sent

if TYPE_CHECKING:
    from hub.ports.hub import Hub


class DocumentRefused(ValueError):
    """A document that cannot be stored for an endpoint: the text says what it must be."""


class DocumentFailed(Exception):
    """A stored document that ended with an error for an event: nothing may be sent of it."""


class EventDocuments(Protocol):
    """Partners' stored GraphQL documents, which shape what a webhook's body is."""

    def kinds(self, document: str, viewer: Viewer) -> tuple[str, ...] | None:
        """Which events it asks for; None: all. Raises DocumentRefused for what is not valid, within the limits and
        the viewer's scopes, or no subscription of events."""

    async def body(self, hub: "Hub", viewer: Viewer, document: str, event: Logged) -> str:
        """The JSON of its result over one event. May be repeated. Raises DocumentFailed; never a partial result."""


class Sender(Protocol):
    """Posts to addresses that partners have chosen. Never to one inside the operator's network."""

    async def refuses(self, url: str) -> str | None:
        """Why nothing would be sent there; None: it would. Called when an endpoint gets its URL."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """One attempt, its address checked anew. Repeated with the same body and id until it is delivered. Never
        raises for what name, network or receiver do."""

    async def aclose(self) -> None:
        """Close its connections. Called once, at the end."""
