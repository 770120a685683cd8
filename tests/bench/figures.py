"""What a benchmark says: our figure beside another one of the same run, their ratio, and how far the rounds differed.

Both sides take turns within one run, so that whatever else the machine does meets both alike.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Side = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `beside` None: nothing to be compared with, then there is no ratio either."""

    name: str
    ours: float
    beside: float | None
    unit: str
    ratio: float | None = None
    bar: str = ""  # what the issue asks for, to be judged by people
    noise: Mapping[str, Sequence[float]] = field(default_factory=dict)  # [min, median, max] over the rounds
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, values: Sequence[float], *, unit: str, bar: str = "", **detail: Any) -> "Figure":
        """The median of values with nothing beside them."""
        noise = {"ours": spread(values)}
        return cls(name, noise["ours"][1], None, unit, None, bar, noise, detail)

    @property
    def as_json(self) -> str:
        told = {
            "name": self.name,
            "ours": rounded(self.ours),
            "beside": None if self.beside is None else rounded(self.beside),
            "ratio": None if self.ratio is None else rounded(self.ratio),
            "unit": self.unit,
            "bar": self.bar,
            "noise": {side: [rounded(value) for value in spread] for side, spread in self.noise.items()},
            "detail": dict(self.detail),
        }
        return json.dumps(told, ensure_ascii=False)

    @property
    def as_text(self) -> str:
        """The same for a terminal: a line for the figure, then its noise and whatever it is made of."""
        lines = [f"{self.name}: {rounded(self.ours):,} {self.unit}"]
        if self.beside is not None:
            lines[0] += f", beside {rounded(self.beside):,}"
        if self.ratio is not None:
            lines[0] += f", ratio {rounded(self.ratio)}"
        if self.bar:
            lines[0] += f"  (wanted: {self.bar})"
        for side, (least, middle, most) in self.noise.items():
            lines.append(f"    {side}: min {rounded(least):,}, median {rounded(middle):,}, max {rounded(most):,}")
        lines += [f"    {name}: {value}" for name, value in self.detail.items()]
        return "\n".join(lines)


async def interleaved(
    name: str, ours: Side, beside: Side, *, unit: str, rounds: int, bar: str = "", **detail: Any
) -> Figure:
    """Each side once a round, the first one alternating. The figures are medians; so is the ratio, of the rounds'."""
    told: dict[str, list[float]] = {"ours": [], "beside": []}
    for number in range(rounds):
        sides = [("ours", ours), ("beside", beside)]
        for side, measure in sides if number % 2 == 0 else reversed(sides):
            told[side].append(await measure())
    told["ratio"] = [mine / other for mine, other in zip(told["ours"], told["beside"], strict=True)]
    noise = {side: spread(values) for side, values in told.items()}
    return Figure(
        name, noise["ours"][1], noise["beside"][1], unit, noise["ratio"][1], bar, noise, {"rounds": rounds, **detail}
    )


def spread(values: Sequence[float]) -> list[float]:
    """Smallest, median and largest."""
    return [min(values), median(values), max(values)]


def rounded(value: float) -> float:
    """Three significant figures at least: more than the noise leaves."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.3g}")
