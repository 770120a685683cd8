"""The peers' own secrets: made at the first start, kept beside their tables, handed to the wiring once."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE_NAME = "keys.json"
SECRET_BYTES = 32  # 256 bits: not to be guessed


@dataclass(frozen=True, slots=True)
class Keys:
    """Every secret of the sandbox. Its text form shows none of them, so that no log line can."""

    api_key: str = field(repr=False)  # the hub's bearer key at the payment provider
    notice_secret: str = field(repr=False)  # signs what the provider posts to the hub
    answer_secret: str = field(repr=False)  # signs the provider's answers; apart, so that no answer passes as a notice
    control_key: str = field(repr=False)  # opens the controls: for rehearsals, and nothing else
    page_key: str = field(repr=False)  # binds a pay page's form to the browser that was shown it
    id_key: str = field(repr=False)  # ids are drawn from it and a counter, so a seed repeats a transcript
    platform_keys: dict[str, str] = field(repr=False)  # by slug: the hub's bearer key at each platform


def load_keys(directory: Path, platforms: tuple[str, ...], *, seed: str | None = None) -> Keys:
    """The keys of this directory, made and stored (mode 0600) when there are none; `seed` makes them repeatable.

    A seed is for tests: whoever knows it knows the keys. Raises OSError when the directory cannot be written.
    """
    path = directory / FILE_NAME
    if path.exists():
        return Keys(**json.loads(path.read_text()))
    keys = _make(platforms, _drawn_from(seed) if seed is not None else lambda _: secrets.token_hex(SECRET_BYTES))
    _store(path, keys)
    return keys


def _make(platforms: tuple[str, ...], draw: Callable[[str], str]) -> Keys:
    return Keys(
        api_key="sk_sandbox_" + draw("api"),
        notice_secret="whsec_" + draw("notice"),
        answer_secret="answer_" + draw("answer"),
        control_key="control_" + draw("control"),
        page_key=draw("page"),
        id_key=draw("id"),
        platform_keys={slug: f"pk_{slug}_" + draw("platform " + slug) for slug in platforms},
    )


def _drawn_from(seed: str) -> Callable[[str], str]:
    return lambda name: hmac.new(seed.encode(), name.encode(), hashlib.sha256).hexdigest()


def _store(path: Path, keys: Keys) -> None:
    """Whole or not at all: a crash between the two steps leaves a draft that the next start overwrites."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(asdict(keys), file, indent=1)
    draft.rename(path)
