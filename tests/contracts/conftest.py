"""Each contract test gets its own EntitlementHub, or a shop beside one; deploying happens once."""

import pytest

from tests.contracts.evm import Hub, fresh_hub
from tests.contracts.splitter import Shop, fresh_shop


@pytest.fixture(scope="session")
def deployed() -> Hub:
    return fresh_hub()


@pytest.fixture
def hub(deployed: Hub) -> Hub:
    """A hub of the test's own with one account in each role, nothing anchored."""
    return deployed.copy()


@pytest.fixture(scope="session")
def standing(deployed: Hub) -> Shop:
    return fresh_shop(deployed.copy())


@pytest.fixture
def shop(standing: Shop) -> Shop:
    """A shop of the test's own: one offer, a buyer with coins, nothing bought."""
    return standing.copy()
