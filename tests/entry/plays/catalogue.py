"""Catalogues that come as files."""

from pathlib import Path

from tests.entry.plays.scene import Scene
from tests.entry.plays.stage import Stage


def catalogue_file(stage: Stage, name: str, *, rows: int) -> Path:
    path = stage.house.data.with_name(f"{name}-{rows}.csv")
    head = (
        "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,"
        "published_timestamp,subject"
    )
    lines = [
        f"{name}-{row},{name} {row},https://example.org/{row},True,20,1,1,1,All Levels,1.5,2017-01-18T20:58:58Z,Crafts"
        for row in range(rows)
    ]
    path.write_text("\n".join([head, *lines, ""]))
    return path


def _import_again(stage: Stage, name: str) -> list[str]:
    return ["import", str(catalogue_file(stage, name, rows=2)), "--platform", f"p{name}", "--format", "udemy"]


async def _imported(stage: Stage, name: str) -> None:
    path = catalogue_file(stage, name, rows=3)
    code, said = await stage.house.command("import", str(path), "--platform", f"p{name}", "--format", "udemy")
    assert code == 0, said


CATALOGUE: dict[str, Scene] = {
    "put_platform": Scene(command=_import_again),
    "put_listings": Scene(command=_import_again),
    "withdraw": Scene(before=_imported, command=_import_again),
}  # fmt: skip
