"""The schema as text, committed beside its source: `hub schema` writes it, a test holds it to what the code says."""

from importlib.resources import as_file, files

from schema import schema

SDL = files("schema") / "schema.graphql"


def printed() -> str:
    """What the file must hold."""
    return f"{schema.as_str()}\n"


def is_current() -> bool:
    return SDL.is_file() and SDL.read_text(encoding="utf-8") == printed()


def write() -> None:
    with as_file(SDL) as path:
        path.write_text(printed(), encoding="utf-8")
