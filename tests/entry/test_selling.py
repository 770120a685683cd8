"""What an operator says of selling on chain."""

import pytest

from hub.entry.checkout import confirmations_of
from hub.entry.settings import SettingRefused, read_settings

NAME = "HUB_CHANNEL_STABLECOIN_CONFIRMATIONS"
CHAIN = {"HUB_CHAIN_URL": "https://chain.example"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1),
        (CHAIN, 12),
        (CHAIN | {NAME: "3"}, 3),
        (CHAIN | {NAME: "safe"}, "safe"),
        (CHAIN | {NAME: "finalized"}, "finalized"),
    ],
)
def test_a_purchase_counts_by_blocks_on_it_or_by_the_nodes_own_word(
    settings: dict[str, str], expected: int | str
) -> None:
    assert confirmations_of(read_settings(settings)) == expected


@pytest.mark.parametrize("wrong", ["0", "1001", "-1", "latest", "12 ", "\u0663"])
def test_other_confirmations_are_refused_by_their_name(wrong: str) -> None:
    with pytest.raises(SettingRefused, match=NAME):
        confirmations_of(read_settings(CHAIN | {NAME: wrong}))
