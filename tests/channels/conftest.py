"""A channel on two scripted contracts, for the tests of the stablecoin channel; other files have one of their own."""

import json
from pathlib import Path

import pytest

from hub.channels.stablecoin import StablecoinChannel
from tests.channels.benches import Clock
from tests.channels.splitters import PAYEE, TREASURY, Contracts, made


@pytest.fixture
def contracts() -> Contracts:
    return Contracts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel(contracts: Contracts, clock: Clock, tmp_path: Path) -> StablecoinChannel:
    payees = tmp_path / "payees.json"
    payees.write_text(json.dumps({"mer_1": "0x" + PAYEE.hex()}))
    return made(contracts, clock, token="test", treasury="0x" + TREASURY.hex(), payees=str(payees))
