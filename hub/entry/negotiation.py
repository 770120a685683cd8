"""Which media type is wanted and which one came, read from their headers and never by a search for a word in them."""

from collections.abc import Mapping

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"

_NAMED = 2  # how closely a range names a media type: itself, its kind, anything


def negotiated(accept: str | None) -> str | None:
    """Which of our two media types an Accept header prefers; None if it takes neither.

    Weights count; of two with one weight the one that is named wins over a wildcard, and then the newer.
    """
    if accept is None or not accept.strip():
        return JSON
    ranges = ranges_of(accept)
    graphql_json, json = _rank(ranges, GRAPHQL_JSON), _rank(ranges, JSON)
    if max(graphql_json, json)[0] == 0:
        return None
    # By a wildcard the older one is meant: whoever wants the newer names it.
    is_newer = json[0] == 0 or (graphql_json[1] == _NAMED and graphql_json >= json)
    return GRAPHQL_JSON if is_newer else JSON


def names_html(accept: str | None) -> bool:
    """Whether the header names text/html itself, as browsers do and `*/*` does not."""
    return ranges_of(accept).get("text/html", 0) > 0


def ranges_of(accept: str | None) -> dict[str, float]:
    """Media range → weight. Other parameters (charset) do not part ranges here."""
    found: dict[str, float] = {}
    for part in (accept or "").lower().split(","):
        media_range, *parameters = part.split(";")
        weights = [value for name, value in map(_pair, parameters) if name == "q"]
        found[media_range.strip()] = _weight(weights[0]) if weights else 1.0
    return found


def ranges_with_parameters(accept: str | None) -> list[tuple[str, dict[str, str]]]:
    """The media ranges of some weight in the header's order, each with its parameters, all in small letters."""
    found = []
    for part in (accept or "").lower().split(","):
        media_range, *rest = part.split(";")
        parameters = {name: value.strip('"') for name, value in map(_pair, rest)}
        if _weight(parameters.get("q", "1")) > 0:
            found.append((media_range.strip(), parameters))
    return found


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON in UTF-8, which is what it is without a charset."""
    media_type, *parameters = content_type.split(";")
    charsets = [value.strip('"').lower() for name, value in map(_pair, parameters) if name == "charset"]
    return media_type.strip().lower() == JSON and all(charset in ("utf-8", "utf8") for charset in charsets)


def _rank(ranges: Mapping[str, float], media_type: str) -> tuple[float, int]:
    """Weight and closeness of the range that names the media type best; (0, 0) if none does."""
    for closeness, media_range in ((_NAMED, media_type), (1, "application/*"), (0, "*/*")):
        if media_range in ranges:
            return ranges[media_range], closeness
    return 0.0, 0


def _pair(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return name.strip().lower(), value.strip()


def _weight(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
