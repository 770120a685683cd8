"""The pages that ship with the hub: found from anywhere, listed by title, and a wrong name told the right ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from hub.entry.complaints import Complaint
from hub.entry.docs import contents, page

PAGES = Path(__file__).parents[2] / "hub/docs"


def test_every_page_is_listed_with_its_title() -> None:
    listed = contents()
    assert [name for name, _ in listed] == sorted(path.stem for path in PAGES.glob("*.md"))
    assert all(title and not title.startswith("#") for _, title in listed)


def test_a_page_is_given_as_it_is_written() -> None:
    assert page("privacy") == (PAGES / "privacy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["nonsense", "../docs/privacy", "decisions", "privacy.md", ""])
def test_a_name_of_no_page_is_told_all_that_there_are(name: str) -> None:
    with pytest.raises(Complaint, match=r"there is no page .*: choose architecture, .*privacy"):
        page(name)


def test_the_command_prints_a_page_from_any_folder(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "hub", "docs", "operations"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert printed.stdout == page("operations")
    assert list(tmp_path.iterdir()) == []
