"""Every benchmark runs, as small as it can be, and says its figures in JSON. How fast it is, is for people to judge."""

import json
from collections.abc import Iterator

import pytest

from tests.bench.__main__ import BENCHES, main
from tests.bench.figures import Figure, interleaved
from tests.servers import wheel_binaries

FIELDS = {"name", "ours", "beside", "ratio", "unit", "bar", "noise", "detail"}
FIGURES = {
    "checkout": ["checkout_statements", "checkout_commits", "checkout_1_caller", "checkout_16_callers"],
    "group_commit": ["group_commit"],
    "anchor_gas": ["anchor_gas_1", "anchor_gas_1_an_order", "anchor_gas_256", "anchor_gas_256_an_order"],
    "checkout_postgres": ["checkout_postgres_1_caller", "checkout_postgres_16_callers"],
    "checkout_http": ["checkout_http", "checkout_http_parts"],
    "ready": ["ready"],
    "memory": ["memory_hub", "memory_node"],
    "fanout": ["fanout_20", "fanout_20_stock", "fanout_20_memory", "fanout_40"],
    "replay": ["replay"],
    "engine": ["engine_cpu", "engine_units_cpu", "engine_20_at_once"],
    "notices": ["notices"],
    "simulation": ["simulation"],
    "indexer": ["indexer_near_the_head", "indexer"],
    "batch": ["batch"],
}


# The bars that do not depend on the machine.
MOST = {
    "checkout_statements": 24, "checkout_commits": 3, "anchor_gas_256": 50_000, "anchor_gas_256_an_order": 200,
    "gas_anchor_1": 50_000, "gas_anchor_16": 50_000, "gas_verify": 11_500, "gas_claim_fresh": 88_000,
    "gas_claim_next": 72_000, "gas_settle_mint": 85_000, "gas_revoke_256": 50_000, "gas_buy_with_permit": 130_000,
}  # fmt: skip
# These start servers as processes of their own, or run for long: longer than all the others together.
SERVED = {
    "checkout_http",
    "ready",
    "memory",
    "reads",
    "event_delay",
    "fanout",
    "replay",
    "notices",
    "engine",
    "simulation",
    "gas",
    "indexer",
    "checkout_postgres",
    "limits",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.bench] if name in SERVED else []) for name in BENCHES]
)
def test_every_bench_runs_and_says_its_figures_in_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "checkout_postgres" and wheel_binaries() is None:
        pytest.skip("no PostgreSQL: install the extra 'test'")
    assert main([name, "--quick", "--json"]) == 0
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [figure["name"] for figure in figures] == FIGURES.get(name, [figure["name"] for figure in figures])
    for figure in figures:
        assert figure.keys() == FIELDS
        assert 0 < figure["ours"] <= MOST.get(figure["name"], figure["ours"])
        assert (figure["ratio"] is None) == (figure["beside"] is None)


def test_an_unknown_bench_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["chekout"])
    assert ended.value.code == 2
    assert "chekout" in capsys.readouterr().err


async def test_sides_take_turns_and_the_figure_is_the_median() -> None:
    turns: list[str] = []

    def side(name: str, values: Iterator[float]) -> "object":
        async def measure() -> float:
            turns.append(name)
            return next(values)

        return measure

    figure = await interleaved(
        "x", side("ours", iter([1.0, 9.0, 2.0])), side("beside", iter([2.0, 3.0, 8.0])), unit="u", rounds=3  # type: ignore[arg-type]  # the clocks are those of this test
    )  # fmt: skip
    assert turns == ["ours", "beside", "beside", "ours", "ours", "beside"]
    assert (figure.ours, figure.beside, figure.ratio) == (2.0, 3.0, 0.5)
    assert figure.noise == {"ours": [1.0, 2.0, 9.0], "beside": [2.0, 3.0, 8.0], "ratio": [0.25, 0.5, 3.0]}


def test_a_figure_without_another_has_no_ratio() -> None:
    figure = Figure.of("x", [3.0, 1.0, 2.0], unit="MB")
    assert json.loads(figure.as_json) == {
        "name": "x", "ours": 2.0, "beside": None, "ratio": None, "unit": "MB", "bar": "",
        "noise": {"ours": [1.0, 2.0, 3.0]}, "detail": {},
    }  # fmt: skip
