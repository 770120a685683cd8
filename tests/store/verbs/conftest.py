"""Records which verbs a test calls."""

from functools import wraps
from typing import Any

import pytest

from hub.store.anchors import Anchors
from hub.store.archive import Archive
from hub.store.audit import Audit
from hub.store.catalogue import Catalogue
from hub.store.chain_log import ChainLog
from hub.store.chain_transactions import ChainTransactions
from hub.store.disputes import Disputes
from hub.store.entitlements import Entitlements
from hub.store.events import Events
from hub.store.issuers import Issuers
from hub.store.keys import ApiKeys
from hub.store.ledger import Ledger
from hub.store.notices import Notices
from hub.store.orders import Orders
from hub.store.payments import Payments
from hub.store.people import People
from hub.store.reconciliation import Breaks
from hub.store.refunds import Refunds
from hub.store.requests import Requests
from hub.store.routing import Routing
from hub.store.salts import Salts
from hub.store.tasks import Tasks
from hub.store.tokens import Tokens
from hub.store.wallets import Wallets
from hub.store.webhooks import Webhooks
from tests.store.verbs.calls import verbs


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The verbs that a test has called, by repository."""
    names: set[str] = set()
    for repository in REPOSITORIES:
        for verb in verbs(repository):
            monkeypatch.setattr(repository, verb, recorded(getattr(repository, verb), names, repository, verb))
    return names


def recorded(method: Any, names: set[str], repository: type, verb: str) -> Any:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        names.add(f"{repository.__name__}.{verb}")
        return method(*args, **kwargs)

    return call


REPOSITORIES = (
    People, Catalogue, Orders, Payments, Notices, Ledger, Disputes, Entitlements, Breaks, Anchors, Requests, Events,
    Tasks, ApiKeys, Issuers, Audit, Webhooks, Archive, Routing, Refunds, ChainLog, Wallets, Salts,
    Tokens, ChainTransactions,
)  # fmt: skip
