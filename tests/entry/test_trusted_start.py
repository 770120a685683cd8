"""A hub whose trusted documents cannot be read does not start, and has touched nothing."""

import json
from pathlib import Path

import pytest

from hub.entry.running import running
from hub.entry.settings import SettingRefused, read_settings


@pytest.mark.parametrize("content", [None, "[]", '{"a": "{"}'])
async def test_server_with_a_manifest_that_cannot_be_read_does_not_start(tmp_path: Path, content: str | None) -> None:
    file, data = tmp_path / "persisted.json", tmp_path / "data"
    if content is not None:
        file.write_text(content)
    settings = read_settings({"HUB_DOCUMENTS": "trusted", "HUB_DOCUMENTS_MANIFEST": str(file)}, {"data": str(data)})
    with pytest.raises(SettingRefused, match="HUB_DOCUMENTS_MANIFEST"):
        async with running(settings, is_server=True):
            pass
    assert not data.exists()


async def test_operation_to_be_kept_that_no_document_has_is_named(tmp_path: Path) -> None:
    file = tmp_path / "persisted.json"
    file.write_text(json.dumps({"a": "query Courses { __typename }"}))
    environ = {
        "HUB_DOCUMENTS": "trusted", "HUB_DOCUMENTS_MANIFEST": str(file), "HUB_DOCUMENTS_CACHE": "Course:60",
    }  # fmt: skip
    with pytest.raises(SettingRefused, match=r"^HUB_DOCUMENTS_CACHE: no trusted document has a query called 'Course'$"):
        async with running(read_settings(environ, {"data": str(tmp_path / "data")}), is_server=True):
            pass
