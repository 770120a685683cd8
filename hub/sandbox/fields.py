"""The fields of a request's JSON body, each taken as what it must be or refused by its name."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hub.sandbox.wire import Refused

ADDRESS_LIMIT = 2048  # characters of a web address, what every browser takes


def text(
    body: Mapping[str, Any], name: str, *, longest: int, default: str | None = None, is_required: bool = False
) -> str | None:
    """A string field. Raises Refused (400) for another type, control characters, or more than `longest` characters."""
    value = body.get(name, default)
    if value is None and not is_required:
        return None
    if not isinstance(value, str) or not value or len(value) > longest or any(ord(letter) < 32 for letter in value):
        raise Refused(400, "parameter_invalid", f"{name} must be text of 1 to {longest} characters", name)
    return value


def required_text(body: Mapping[str, Any], name: str, *, longest: int) -> str:
    """A string field that must be there. Raises Refused (400)."""
    value = text(body, name, longest=longest, is_required=True)
    assert value is not None
    return value


def integer(body: Mapping[str, Any], name: str, *, least: int, most: int, default: int | None = None) -> int:
    """An integer field. Raises Refused (400) for another type (a bool or a float too) or a value out of range."""
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(400, "parameter_invalid", f"{name} must be an integer from {least} to {most}", name)
    return value


def optional_integer(body: Mapping[str, Any], name: str, *, least: int, most: int) -> int | None:
    """An integer field, or None when it is absent. Raises Refused (400)."""
    return None if body.get(name) is None else integer(body, name, least=least, most=most)


def web_address(body: Mapping[str, Any], name: str) -> str | None:
    """An absolute http(s) address, or None when it is absent. Raises Refused (400)."""
    value = text(body, name, longest=ADDRESS_LIMIT)
    if value is not None and not (value.startswith(("http://", "https://")) and _has_host(value)):
        raise Refused(400, "parameter_invalid", f"{name} must be an absolute http(s) address", name)
    return value


def _has_host(address: str) -> bool:
    """What cannot be taken apart could not be given the outcome of a payment later on."""
    try:
        return bool(urlsplit(address).hostname)
    except ValueError:
        return False


def known_only(body: Mapping[str, Any], *names: str) -> None:
    """Raises Refused (400) for a field that the endpoint does not know: a typo never passes silently."""
    unknown = sorted(set(body) - set(names))
    if unknown:
        raise Refused(400, "parameter_unknown", f"unknown: {', '.join(unknown)[:200]}", unknown[0][:100])
