"""`hub chain` and hub/docs/operations.md: what an operator is told of the chain, and that the page tells all of it."""

import asyncio
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.domain.chain_log import Cursor
from hub.domain.records import AnchorBatch, BatchState, ChainTransaction, KnownContract, TransactionState
from hub.entry import metrics
from hub.entry.cli import main
from hub.store.chain_log import moved
from hub.store.database import open_store
from tests.world import START_US

PAGE = (Path(__file__).parents[2] / "hub/docs/operations.md").read_text(encoding="utf-8")
CURSOR = Cursor(7, 40, "0xb40", 42, 29, 12, "0xb12", None, None, 1, START_US)


@pytest.fixture
def folder(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A data folder whose hub has read a chain."""
    shutil.copyfile(migrated_sqlite, tmp_path / "hub.sqlite3")
    asyncio.run(written(tmp_path, has_read))
    return tmp_path


async def written(folder: Path, unit: Any) -> None:
    store = await open_store(f"sqlite:///{folder}/hub.sqlite3")
    await store.write(unit)
    await store.aclose()


async def has_read(tx: Any) -> None:
    await tx.anchors.add_contract(KnownContract(7, "0xhub", "entitlement_hub", "c0de", 3, START_US))
    assert await tx.chain_log.begin(CURSOR)


async def has_halted(tx: Any) -> None:
    halted = moved(CURSOR, halted_at_us=START_US, halt_reason="block 12 was final as 0xb12")
    assert await tx.chain_log.move(CURSOR, replace(halted, version=CURSOR.version))


def command(folder: Path, *words: str) -> object:
    """The exit code of `hub …` on that folder."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--data", str(folder)])
    return ended.value.code


def test_status_tells_how_far_each_chain_is_read_and_ends_with_1_on_a_halt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(folder, "chain", "status") == 0
    told = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"chain 7: read to block 40 of 42, \d+ s ago; confirmed to 29, final to 12", told[0])
    assert told[1:] == ["  entitlement_hub 0xhub from block 3"]
    asyncio.run(written(folder, has_halted))
    assert command(folder, "chain", "status") == 1
    assert capsys.readouterr().out.endswith("  HALTED: block 12 was final as 0xb12\n")


def test_status_tells_what_an_order_has_cost_of_late_by_the_way_it_took(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(written(folder, has_paid))
    assert command(folder, "chain", "status") == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "  the last batches (2): 197 gas and 394 wei an order",  # of 98,158 gas for 498 orders, at 1 and at 3 wei
        "  the last settlements (1): 84932 gas and 424660 wei an order",
    ]


async def has_paid(tx: Any) -> None:
    for number, (count, gas_used, price_wei) in enumerate([(256, 49_079, 1), (242, 49_079, 3), (1, 84_932, 5)]):
        batch = AnchorBatch(
            f"anb_{number}", number, number, count, bytes([number]) * 32, b"d" * 32, 7, "0xhub", BatchState.QUEUED,
            f"0xt{number}", 9, gas_used, price_wei, 1, START_US, None, is_settlement=count == 1,
        )  # fmt: skip
        signed = ChainTransaction(batch.purpose, 7, "0xgate", number, "0xraw", f"0xt{number}",
                                  TransactionState.CONFIRMED, START_US)  # fmt: skip
        assert await tx.anchors.add_batch(batch, [])
        assert await tx.chain_transactions.add(signed)


@pytest.mark.parametrize("more", [(), ("--accept",)])
def test_going_on_without_a_node_is_refused_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    assert command(folder, "chain", "resume", *more) == 1
    assert capsys.readouterr().err.startswith("hub: the chain is not to be had: ")


def test_the_page_tells_of_every_metric_of_the_chain_and_of_no_other() -> None:
    source = Path(metrics.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r"\bhub_chain_\w+", PAGE)) == set(re.findall(r"\bhub_chain_\w+", source))
