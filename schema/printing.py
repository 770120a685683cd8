"""The printed SDL: what clients, code generators and reviewers read, kept equal to the schema by a test."""

from pathlib import Path

from schema import schema

SDL = Path(__file__).with_name("schema.graphql")


def printed() -> str:
    """The schema as SDL, with one line end at its end."""
    return schema.as_str().rstrip() + "\n"


def is_current() -> bool:
    """Whether the committed SDL is the schema's."""
    return SDL.exists() and SDL.read_text(encoding="utf-8") == printed()


def write() -> None:
    """Write it where it is committed: in the source tree, by `hub schema`."""
    SDL.write_text(printed(), encoding="utf-8")
