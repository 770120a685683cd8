"""Each contract test gets its own EntitlementHub; deploying happens once."""

import pytest

from tests.contracts.evm import Hub, fresh_hub


@pytest.fixture(scope="session")
def deployed() -> Hub:
    return fresh_hub()


@pytest.fixture
def hub(deployed: Hub) -> Hub:
    """A hub of the test's own with one account in each role, nothing anchored."""
    return deployed.copy()
