"""How a platform asks the hub, by its public GraphQL API and with its own key, whether a member may open a course."""

from dataclasses import dataclass
from typing import Any, Literal

import httpx
import orjson

from hub.sandbox.wire import Peer

HUB_TIMEOUT_S = 5.0  # a reader waits no longer for a page
ANSWER_LIMIT = 1024 * 1024  # bytes; a page of a hundred courses stays far below
COURSES_A_PAGE, PAGES_LIMIT = 100, 100  # ten thousand courses: more than any platform here sells

# A platform keeps the hub's ids of what it sells. It learns them from the catalogue, the newest course first.
CATALOGUE = """
query Sold($platform: String!, $first: Int!, $after: String) {
  courses(where: { platform: { eq: $platform } }, first: $first, after: $after) {
    nodes { id listings { externalId platform { slug } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
# The reader is known to the platform by its own id, or, before it had one, by the name that the hub gave.
QUESTION = """
query MayOpen($member: String!, $course: ID!) {
  own: verifyEntitlement(input: { member: { externalId: $member } }, courseId: $course) {
    isEntitled reason entitlement { id }
  }
  given: verifyEntitlement(input: { member: { pairwiseId: $member } }, courseId: $course) {
    isEntitled reason entitlement { id }
  }
}
"""
NOT_HERE = "NOT_HONOURED_HERE"

Word = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the hub said; `unknown` when it said nothing sensible. `detail` says why not, for the page."""

    word: Word
    detail: str = ""
    entitlement: str = ""


class NoAnswer(Exception):
    """The hub said nothing that makes sense."""


async def ask_hub(peer: Peer, slug: str, course: str, member: str) -> Verdict:
    """The hub's word on whether `member` of this platform may open `course`. Never raises: silence is `unknown`."""
    try:
        known = _known(peer, slug, course)
        verdict = await _asked(peer, slug, known or await _learned(peer, slug, course), member)
        if known and verdict.detail == NOT_HERE:  # listed anew under another course since we learned it
            verdict = await _asked(peer, slug, await _learned(peer, slug, course), member)
    except NoAnswer as silence:
        return Verdict("unknown", str(silence))
    return verdict


async def _asked(peer: Peer, slug: str, course_id: str | None, member: str) -> Verdict:
    if course_id is None:
        return Verdict("no", "the hub does not list this course here")
    return verdict_in(await _data(peer, slug, QUESTION, {"member": member, "course": course_id}))


def verdict_in(data: Any) -> Verdict:
    """Yes only when the hub says so in so many words. Raises NoAnswer."""
    try:
        words = [data["own"], data["given"]]
        for word in words:
            if word["isEntitled"] is True:
                return Verdict("yes", entitlement=str((word["entitlement"] or {}).get("id", "")))
        reasons = [str(word["reason"]) for word in words]
    except (KeyError, TypeError, AttributeError) as error:
        raise NoAnswer("its answer makes no sense") from error
    return Verdict("no", next((reason for reason in reasons if reason != "UNKNOWN_MEMBER"), reasons[0]))


def _known(peer: Peer, slug: str, course: str) -> str | None:
    row = peer.tables.one(
        "SELECT hub_id FROM hub_course WHERE platform = :slug AND external_id = :course", slug=slug, course=course
    )
    return None if row is None else str(row["hub_id"])


async def _learned(peer: Peer, slug: str, course: str) -> str | None:
    """The hub's id of `course`, kept with all others that were read on the way; None when the hub lists no such."""
    after: str | None = None
    for _ in range(PAGES_LIMIT):
        variables = {"platform": slug, "first": COURSES_A_PAGE, "after": after}
        data = await _data(peer, slug, CATALOGUE, variables)
        try:
            found = {
                listing["externalId"]: node["id"]
                for node in data["courses"]["nodes"]
                for listing in node["listings"]
                if listing["platform"]["slug"] == slug
            }
            has_more, after = data["courses"]["pageInfo"]["hasNextPage"], data["courses"]["pageInfo"]["endCursor"]
        except (KeyError, TypeError) as error:
            raise NoAnswer("its catalogue makes no sense") from error
        _keep(peer, slug, found)
        if course in found:
            return str(found[course])
        if not has_more:
            break
    return None


def _keep(peer: Peer, slug: str, found: dict[str, str]) -> None:
    with peer.tables.transaction():
        for external_id, hub_id in found.items():
            peer.tables.run(
                "INSERT INTO hub_course (platform, external_id, hub_id) VALUES (:slug, :external_id, :hub_id) "
                "ON CONFLICT (platform, external_id) DO UPDATE SET hub_id = excluded.hub_id",
                slug=slug,
                external_id=str(external_id),
                hub_id=str(hub_id),
            )


async def _data(peer: Peer, slug: str, document: str, variables: dict[str, Any]) -> Any:
    """The `data` of one operation. Raises NoAnswer for silence, for errors, and for what is no GraphQL answer."""
    url, key = peer.tables.setting(f"hub url {slug}"), peer.tables.setting(f"hub key {slug}")
    if url is None or key is None:
        raise NoAnswer("this platform has not been told where the hub is")
    try:
        answer = await peer.client.post(
            url,
            json={"query": document, "variables": variables},
            headers={"Authorization": f"Bearer {key}"},
            timeout=HUB_TIMEOUT_S,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoAnswer(f"it does not answer ({type(error).__name__})") from error
    try:
        content = orjson.loads(answer.content[:ANSWER_LIMIT])
        if content.get("errors"):
            raise NoAnswer(f"it refused the question ({answer.status_code})")
        return content["data"]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise NoAnswer(f"its answer makes no sense ({answer.status_code})") from error
