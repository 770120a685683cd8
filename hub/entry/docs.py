"""The product's own pages, shipped in the wheel, so that whoever has `hub` has its documentation without a network."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from hub.entry.complaints import Complaint

_SUFFIX = ".md"


def page(name: str) -> str:
    """The Markdown text of one page, by its name without `.md`. Raises Complaint for a name that no page has."""
    pages = _pages()
    if name not in pages:
        raise Complaint(f"there is no page {name!r}: choose {', '.join(pages)}")
    return pages[name].read_text(encoding="utf-8")


def contents() -> list[tuple[str, str]]:
    """Every page's name and its title, in alphabetical order."""
    return [(name, _title(file)) for name, file in _pages().items()]


def _pages() -> dict[str, Traversable]:
    """By name; decisions stand in a folder of their own and are for whoever changes the hub."""
    folder = files("hub") / "docs"
    found = sorted((file.name, file) for file in folder.iterdir() if file.name.endswith(_SUFFIX))
    return {name.removesuffix(_SUFFIX): file for name, file in found}


def _title(file: Traversable) -> str:
    with file.open(encoding="utf-8") as lines:
        return lines.readline().removeprefix("# ").strip()
