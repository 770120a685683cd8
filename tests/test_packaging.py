"""What the wheel installs beside others: four top-level names, which nobody else may own."""

import shutil
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
EXAMPLES = "hub/docs/examples"
CLUTTER = (
    "browser/node_modules/a.js",
    "typescript/node_modules/b/c.js",
    "typescript/src/gql/d.ts",
    "typescript/dist/e.js",
)


def test_the_four_names_are_ours_alone() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert names == ["hub", "schema", "resolvers", "contracts"]
    owners = packages_distributions()  # an editable install names the distribution alone, or not at all
    assert {owner for name in names for owner in owners.get(name, [])} <= {"tongbao"}


@pytest.mark.parametrize("builder", [WheelBuilder, SdistBuilder])
def test_examples_ship_as_they_are_written_without_what_running_them_makes(
    builder: type[WheelBuilder] | type[SdistBuilder], tmp_path: Path
) -> None:
    """From the tree of somebody who has installed and built them."""
    for name in ("pyproject.toml", ".gitignore", "README.md", "LICENSE", "hub/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    made = shutil.ignore_patterns("node_modules", "gql", "dist", "__pycache__")
    shutil.copytree(ROOT / EXAMPLES, tmp_path / EXAMPLES, ignore=made)
    written = {str(path.relative_to(tmp_path)) for path in (tmp_path / EXAMPLES).rglob("*") if path.is_file()}
    for name in CLUTTER:
        (tmp_path / EXAMPLES / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / EXAMPLES / name).write_text("made")
    shipped = {file.distribution_path for file in builder(str(tmp_path)).recurse_included_files()}
    assert {name for name in shipped if name.startswith(EXAMPLES)} == written
    assert len(written) > 10
