"""The provider's books: every movement once, its fee, payouts a day later, and the statement with its faults."""

import csv
import io
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.sandbox.definitions import TABLES
from hub.sandbox.tables import FILE_NAME
from tests.sandbox.conftest import NOON, Clock, Sandbox, sandbox_in

DAY_S = 24 * 60 * 60


async def control(sandbox: Sandbox, path: str, **body: Any) -> None:
    answer = await sandbox.client.post(f"/control/{path}", json=body, headers=sandbox.as_controller)
    assert answer.status_code == 200, answer.text


async def refund(sandbox: Sandbox, amount: int, reference: str) -> None:
    body = {"reference": reference, "payment_reference": "TB-1-1", "amount": amount}
    answer = await sandbox.client.post("/v1/refunds", json=body, headers=sandbox.as_hub)
    assert answer.status_code == 200


async def statement(sandbox: Sandbox, days_on: int = 0) -> httpx.Response:
    day = datetime.fromtimestamp(NOON + days_on * DAY_S, UTC).date().isoformat()
    return await sandbox.client.get("/v1/statement", params={"day": day}, headers=sandbox.as_hub)


async def lines(sandbox: Sandbox, days_on: int = 0) -> list[dict[str, str]]:
    answer = await statement(sandbox, days_on)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def shown(line: dict[str, str]) -> tuple[str, str, str, int, int, int]:
    return (
        line["kind"],
        line["reference"],
        line["refund_reference"],
        int(line["gross"]),
        int(line["fee"]),
        int(line["net"]),
    )


async def test_day_lists_every_movement_and_the_next_pays_it_out(sandbox: Sandbox) -> None:
    await sandbox.create(payment_method="pm_card_visa")
    await sandbox.create("declined", payment_method="pm_card_chargeDeclined")
    await sandbox.create("disputed", payment_method="pm_card_createDispute", amount=100_000)
    await refund(sandbox, 250, "R1")
    await control(sandbox, "refunds", reference="R1", status="failed")
    await control(sandbox, "disputes", reference="disputed", status="won")
    await control(sandbox, "clock", advance_s=DAY_S)
    await sandbox.tick()
    await control(sandbox, "clock", advance_s=DAY_S)

    first, second = await lines(sandbox), await lines(sandbox, 1)

    assert [shown(line) for line in first] == [
        ("payment", "TB-1-1", "", 1250, -8, 1242),
        ("payment", "disputed", "", 100_000, -600, 99_400),
        ("dispute", "disputed", "", -100_000, -1500, -101_500),
        ("refund", "TB-1-1", "R1", -250, 0, -250),
        ("adjustment", "TB-1-1", "R1", 250, 0, 250),
        ("dispute", "disputed", "", 100_000, 0, 100_000),
    ]
    assert [shown(line) for line in second] == [("payout", "", "", -99_142, 0, -99_142)]
    assert len({line["id"] for line in first + second}) == 7
    assert {line["occurred_at"] for line in first} == {str(NOON)}


async def test_statement_can_be_had_once_its_day_is_over(sandbox: Sandbox, clock: Clock) -> None:
    early = await statement(sandbox)
    clock.now_s += DAY_S

    assert (early.status_code, early.json()["error"]["code"]) == (404, "statement_not_ready")
    assert await lines(sandbox) == []
    nonsense = await sandbox.client.get("/v1/statement", params={"day": "today"}, headers=sandbox.as_hub)
    assert nonsense.status_code == 400
    assert (await sandbox.client.get("/v1/statement")).status_code == 401


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("statement_omit", [100, 300]),
        ("statement_alter", [100, 201, 300]),
        ("statement_duplicate", [100, 200, 200, 300]),
    ],
)
async def test_statement_goes_wrong_once_and_is_right_again(
    sandbox: Sandbox, clock: Clock, fault: str, expected: list[int]
) -> None:
    for n in (1, 2, 3):
        await sandbox.create(f"TB-{n}-1", payment_method="pm_card_visa", amount=n * 100)
    clock.now_s += DAY_S
    await sandbox.arm("payments", "statement", fault, value=2)

    wrong, right = await lines(sandbox), await lines(sandbox)

    assert [int(line["gross"]) for line in wrong] == expected
    assert [int(line["gross"]) for line in right] == [100, 200, 300]


async def test_moved_clock_stays_moved_and_what_is_signed_keeps_its_real_date(tmp_path: Path) -> None:
    async with sandbox_in(tmp_path, Clock()) as before:
        await control(before, "clock", advance_s=DAY_S)
    async with sandbox_in(tmp_path, Clock()) as after:
        created = await after.create()

    assert created.json()["created"] == NOON + DAY_S
    assert created.headers["Sandbox-Signature"].startswith(f"t={NOON},")


async def test_clock_goes_forward_only(sandbox: Sandbox) -> None:
    for advance in (-1, 10**12, "1"):
        answer = await sandbox.client.post("/control/clock", json={"advance_s": advance}, headers=sandbox.as_controller)
        assert answer.status_code == 400


async def test_file_of_an_earlier_release_is_renewed_with_what_stands_in_it(tmp_path: Path) -> None:
    earlier = TABLES.replace("'requires_payment_method', 'requires_capture',", "'requires_payment_method',")
    cut = earlier.index("    capture_method TEXT")
    earlier = earlier[:cut].rstrip().rstrip(",") + "\n" + earlier[earlier.index(") STRICT;", cut) :]
    earlier = "\n".join(line for line in earlier.splitlines() if "intent_held" not in line)
    file = sqlite3.connect(tmp_path / FILE_NAME)
    file.executescript(earlier)
    file.execute(
        "INSERT INTO intent VALUES ('pi_1', 'page_1', 'TB-1-1', 1250, 'USD', 'succeeded', 'done', 1250, '', '{}', "
        "NULL, NULL, 'card_visa_4242', NULL, NULL, 'ch_1', NULL, 1, 1, 2)"
    )
    file.execute("INSERT INTO notice VALUES ('evt_1', 'pi_1', 'http://127.0.0.1:9', '{}', 'delivered', 1, 1.0)")
    file.commit()
    file.close()

    async with sandbox_in(tmp_path, Clock()) as renewed:
        [intent] = await renewed.find("TB-1-1")
        await refund(renewed, 1250, "R1")
        held = await renewed.create("TB-2-1", payment_method="pm_card_visa", capture_method="manual")

    assert (intent["amount_received"], intent["capture_method"]) == (1250, "automatic")
    assert held.json()["status"] == "requires_capture"
