"""What the wheel installs beside others: four top-level names, which nobody else may own."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path


def test_the_four_names_are_ours_alone() -> None:
    config = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    names = config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert names == ["hub", "schema", "resolvers", "contracts"]
    owners = packages_distributions()  # an editable install names the distribution alone, or not at all
    assert {owner for name in names for owner in owners.get(name, [])} <= {"tongbao"}
