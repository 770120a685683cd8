"""Files keep their tests together, and no test is lost on the way."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.ordering import LONG, mixed


def items(*names: str) -> list[Any]:
    return [SimpleNamespace(nodeid=name) for name in names]


def test_a_long_file_comes_first_and_two_others_after_it() -> None:
    first, second = LONG[:2]
    given = items("a.py::1", "b.py::1", "b.py::2", "c.py::1", f"{second}::1", "d.py::1", f"{first}::1", f"{first}::2")
    assert [item.nodeid for item in mixed(given)] == [
        f"{first}::1", f"{first}::2", "b.py::1", "b.py::2", "a.py::1", f"{second}::1", "c.py::1", "d.py::1",
    ]  # fmt: skip


def test_every_file_that_is_named_is_there() -> None:
    root = Path(__file__).parent.parent
    assert [name for name in LONG if not (root / name).exists()] == []
