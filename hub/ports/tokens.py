"""The hub's own tokens."""

from enum import StrEnum
from typing import Protocol

from hub.domain.ids import Draw
from hub.domain.issuers import TrustedIssuer
from hub.domain.keys import NewApiKey
from hub.domain.people import Viewer


class TokenProblem(StrEnum):
    """Why a user's token is not taken."""

    UNREADABLE = "this is no token of this hub"
    EXPIRED = "the token has ended: ask for a new one"
    NOT_YET = "the token does not count yet: check the clocks"


class TokenRefused(Exception):
    """A token that is not taken; the reason is all it says, never the token."""

    def __init__(self, reason: TokenProblem) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Tokens(Protocol):
    """The hub's own tokens of users, and the making of API keys."""

    def new_api_key(self, draw: Draw) -> NewApiKey:
        """A fresh key, the same for the same draw."""

    def verify_user_token(self, token: str, now_us: int) -> Viewer:
        """Who asks. Raises TokenRefused."""

    def issue_exchanged_token(
        self, user_id: str, pairwise_id: str, issuer: TrustedIssuer, scopes: frozenset[str], now_us: int
    ) -> str:
        """A token for a user that a partner got for them: it names the partner, and to the partner the user by
        `pairwise_id` alone. It ends after ACCESS_TOKEN_S."""
