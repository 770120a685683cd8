"""The two content platforms' API: catalogue, members, access lists, one-time launches; each under its own key.

A platform trusts the hub's word for who may read what, and keeps its own access list; its pages ask the hub anew.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.sandbox.catalogue import TITLES, Work, publish
from hub.sandbox.fields import known_only, optional_integer, required_text, text
from hub.sandbox.wire import Answer, Peer, Refused, perform, signed

PAGE_DEFAULT, PAGE_LIMIT = 20, 100  # listings
ID_LIMIT = 200  # characters of a course's or member's id
TEXT_LIMIT = 10_000  # characters of a summary or a body
PRICE_LIMIT = 2**53  # minor units, exact in every client's JSON
LAUNCH_LIVES_S = 300  # from the click to the page
LAUNCH_BYTES = 24
KINDS = ("course", "ebook", "periodical", "qa", "post")

Act = Callable[[Peer, str, dict[str, Any]], Answer]


async def catalogue(request: Request) -> Response:
    """GET /catalog?limit=&cursor=: listings in their lasting order; `next_cursor` null on the last page."""

    def act(peer: Peer, slug: str, _: dict[str, Any]) -> Answer:
        limit, after = _paging(request)
        rows = peer.tables.all(
            "SELECT * FROM course WHERE platform = :slug AND position > :after ORDER BY position LIMIT :limit",
            slug=slug,
            after=after,
            limit=limit + 1,
        )
        cursor = str(rows[limit - 1]["position"]) if len(rows) > limit else None
        return 200, {"data": [_listing(peer, row) for row in rows[:limit]], "next_cursor": cursor}

    return await _perform(request, act, "catalog")


def _paging(request: Request) -> tuple[int, int]:
    given = request.query_params
    try:
        limit, after = int(given.get("limit", PAGE_DEFAULT)), int(given.get("cursor", 0))
    except ValueError as error:
        raise Refused(400, "parameter_invalid", "limit and cursor are whole numbers", "limit") from error
    if not 0 < limit <= PAGE_LIMIT or not 0 <= after < 2**63:
        raise Refused(400, "parameter_invalid", f"limit is 1 to {PAGE_LIMIT}, cursor as given before", "limit")
    return limit, after


async def listing(request: Request) -> Response:
    """GET /catalog/{course}: one listing; never what is paid for."""

    def act(peer: Peer, slug: str, _: dict[str, Any]) -> Answer:
        return 200, _listing(peer, course_row(peer, slug, request.path_params["course"]))

    return await _perform(request, act, "catalog")


async def published(request: Request) -> Response:
    """PUT /catalog/{course} {kind, title, …, price_minor?, currency?, body?}: put a work on the shelf, or renew it."""

    def act(peer: Peer, slug: str, body: dict[str, Any]) -> Answer:
        known_only(body, "kind", "title", "summary", "author", "language", "price_minor", "currency", "body")
        course = request.path_params["course"]
        if not 0 < len(course) <= ID_LIMIT:
            raise Refused(400, "parameter_invalid", f"an id has 1 to {ID_LIMIT} characters", "course")
        price = optional_integer(body, "price_minor", least=0, most=PRICE_LIMIT)
        currency = text(body, "currency", longest=3)
        kind = required_text(body, "kind", longest=20)
        if (price is None) != (currency is None):
            raise Refused(400, "parameter_invalid", "price_minor and currency come together", "currency")
        if kind not in KINDS:
            raise Refused(400, "parameter_invalid", f"one of {', '.join(KINDS)}", "kind")
        work = Work(
            platform=slug,
            external_id=course,
            kind=kind,
            title=required_text(body, "title", longest=ID_LIMIT * 5),
            summary=text(body, "summary", longest=TEXT_LIMIT) or "",
            author=text(body, "author", longest=ID_LIMIT) or "",
            language=text(body, "language", longest=35) or "en",
            price_minor=price,
            body=text(body, "body", longest=TEXT_LIMIT) or "",
        )
        publish(peer.tables, work, peer.now(), currency=currency)
        return 200, _listing(peer, course_row(peer, slug, course))

    return await _perform(request, act, "publish")


async def member(request: Request) -> Response:
    """POST /members {member, display_name?}: the platform's member of that id, made when there is none."""

    def act(peer: Peer, slug: str, body: dict[str, Any]) -> Answer:
        known_only(body, "member", "display_name")
        name = required_text(body, "member", longest=ID_LIMIT)
        row = _member_row(peer, slug, name)
        if row is None:
            peer.tables.insert(
                "member",
                id=peer.tables.draw_id("mem"),
                platform=slug,
                external_id=name,
                display_name=text(body, "display_name", longest=ID_LIMIT) or "",
                created=peer.now(),
            )
        return 200, {"object": "member", "platform": slug, "member": name, "is_new": row is None}

    return await _perform(request, act, "member")


async def granted(request: Request) -> Response:
    """POST /access {member, course}: open it. Twice, under one key or two, is one access."""

    def act(peer: Peer, slug: str, body: dict[str, Any]) -> Answer:
        known_only(body, "member", "course")
        person, course = _who_and_what(peer, slug, body)
        peer.tables.run(
            "INSERT INTO access (id, platform, member_id, course_id, granted_at) "
            "VALUES (:id, :slug, :member, :course, :now) "
            "ON CONFLICT (platform, member_id, course_id) DO UPDATE SET revoked_at = NULL",
            id=peer.tables.draw_id("acc"),
            slug=slug,
            member=person["id"],
            course=course["external_id"],
            now=peer.now(),
        )
        return 200, _access(peer, slug, person, course["external_id"])

    return await _perform(request, act, "grant")


async def verified(request: Request) -> Response:
    """GET /access?member=&course=: what the platform's own list says; a stranger's access is closed, not missing."""

    def act(peer: Peer, slug: str, _: dict[str, Any]) -> Answer:
        given = dict(request.query_params)
        course = required_text(given, "course", longest=ID_LIMIT)
        name = required_text(given, "member", longest=ID_LIMIT)
        person = _member_row(peer, slug, name)
        if person is None:
            return 200, {"object": "access", "platform": slug, "member": name, "course": course, "state": "closed"}
        return 200, _access(peer, slug, person, course)

    return await _perform(request, act, "verify")


async def revoked(request: Request) -> Response:
    """POST /access/revoke {member, course}: close it; what is closed stays closed."""

    def act(peer: Peer, slug: str, body: dict[str, Any]) -> Answer:
        known_only(body, "member", "course")
        person, course = _who_and_what(peer, slug, body)
        peer.tables.run(
            "UPDATE access SET revoked_at = :now WHERE platform = :slug AND member_id = :member "
            "AND course_id = :course AND revoked_at IS NULL",
            now=peer.now(),
            slug=slug,
            member=person["id"],
            course=course["external_id"],
        )
        return 200, _access(peer, slug, person, course["external_id"])

    return await _perform(request, act, "revoke")


async def launched(request: Request) -> Response:
    """POST /access/launch {member, course}: an address that opens the course once, within five minutes."""

    def act(peer: Peer, slug: str, body: dict[str, Any]) -> Answer:
        known_only(body, "member", "course")
        person, course = _who_and_what(peer, slug, body)
        access = _access_row(peer, slug, person["id"], course["external_id"])
        if access is None or access["revoked_at"] is not None:
            raise Refused(403, "access_closed", "this member has no access to this course", "course")
        token = secrets.token_urlsafe(
            LAUNCH_BYTES
        )  # a bearer secret: only its digest is kept, so no seed can repeat it
        expires_at = peer.now() + LAUNCH_LIVES_S
        peer.tables.insert("launch", digest=digest_of(token), access_id=access["id"], expires_at=expires_at)
        return 200, {
            "object": "launch",
            "platform": slug,
            "member": person["external_id"],
            "course": course["external_id"],
            "url": f"{peer.base_url}/p/{slug}/launch/{token}",
            "expires_at": expires_at,
            "one_time": True,
        }

    return await _perform(request, act, "launch")


async def _perform(request: Request, act: Act, operation: str) -> Response:
    peer: Peer = request.app.state.peer
    slug = request.path_params["slug"]
    if slug not in TITLES:
        refused = Refused(404, "resource_missing", "no such platform", "slug")
        return signed(peer, refused.status, refused.as_json())
    return await perform(
        request,
        lambda peer, body: act(peer, slug, body),
        name=slug,
        operation=operation,
        secret=peer.keys.platform_keys[slug],
        reference=lambda body: body.get("course") or request.query_params.get("course"),
    )


def digest_of(token: str) -> str:
    """What is kept of a launch address."""
    return hashlib.sha256(token.encode()).hexdigest()


def course_row(peer: Peer, slug: str, course: str) -> sqlite3.Row:
    """A work on the shelf. Raises Refused (404)."""
    row = peer.tables.one(
        "SELECT * FROM course WHERE platform = :slug AND external_id = :course", slug=slug, course=course
    )
    if row is None:
        raise Refused(404, "course_unknown", "this platform has no such course", "course")
    return row


def _member_row(peer: Peer, slug: str, name: str) -> sqlite3.Row | None:
    return peer.tables.one("SELECT * FROM member WHERE platform = :slug AND external_id = :name", slug=slug, name=name)


def _who_and_what(peer: Peer, slug: str, body: dict[str, Any]) -> tuple[sqlite3.Row, sqlite3.Row]:
    name = required_text(body, "member", longest=ID_LIMIT)
    course = course_row(peer, slug, required_text(body, "course", longest=ID_LIMIT))
    person = _member_row(peer, slug, name)
    if person is None:
        raise Refused(404, "member_unknown", "this platform has no such member", "member")
    return person, course


def _access_row(peer: Peer, slug: str, member_id: str, course: str) -> sqlite3.Row | None:
    return peer.tables.one(
        "SELECT * FROM access WHERE platform = :slug AND member_id = :member AND course_id = :course",
        slug=slug,
        member=member_id,
        course=course,
    )


def _access(peer: Peer, slug: str, person: sqlite3.Row, course: str) -> dict[str, Any]:
    row = _access_row(peer, slug, person["id"], course)
    is_open = row is not None and row["revoked_at"] is None
    return {
        "object": "access",
        "id": row and row["id"],
        "platform": slug,
        "member": person["external_id"],
        "course": course,
        "state": "open" if is_open else "closed",
        "granted_at": row and row["granted_at"],
        "revoked_at": row and row["revoked_at"],
    }


def _listing(peer: Peer, row: sqlite3.Row) -> dict[str, Any]:
    price = row["price_minor"]
    return {
        "object": "listing",
        "platform": row["platform"],
        "external_id": row["external_id"],
        "kind": row["kind"],
        "title": row["title"],
        "summary": row["summary"],
        "author": row["author"],
        "language": row["language"],
        "price": None if price is None else {"amount_minor": price, "currency": row["currency"]},
        "url": f"{peer.base_url}/p/{row['platform']}/open/{row['external_id']}",
        "updated_at": row["updated_at"],
    }


_AT = "/platforms/{slug}/v1"
ROUTES = [
    Route(_AT + "/catalog", catalogue, methods=["GET"]),
    Route(_AT + "/catalog/{course}", listing, methods=["GET"]),
    Route(_AT + "/catalog/{course}", published, methods=["PUT"]),
    Route(_AT + "/members", member, methods=["POST"]),
    Route(_AT + "/access", granted, methods=["POST"]),
    Route(_AT + "/access", verified, methods=["GET"]),
    Route(_AT + "/access/revoke", revoked, methods=["POST"]),
    Route(_AT + "/access/launch", launched, methods=["POST"]),
]
