"""The platforms' pages: a shelf, and the course page that opens only when the hub says that the member has the right.

The platform's own access list is not enough for it: a right may be revoked at the hub a moment ago.
"""

import sqlite3
from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.sandbox.catalogue import ABOUT, TITLES
from hub.sandbox.page import page
from hub.sandbox.platforms import ID_LIMIT, course_row, digest_of
from hub.sandbox.rights import ask_hub
from hub.sandbox.wire import Peer, Refused

SHELF_LIMIT = 200  # works on one page


async def shelf(request: Request) -> Response:
    """GET /p/{slug}: everything the platform sells."""
    peer: Peer = request.app.state.peer
    slug = request.path_params["slug"]
    if slug not in TITLES:
        return _no(404, "No such platform", "Nothing is served here.")
    rows = peer.tables.all(
        "SELECT * FROM course WHERE platform = :slug ORDER BY position LIMIT :limit", slug=slug, limit=SHELF_LIMIT
    )
    works = "".join(
        f"<tr><td>{escape(row['external_id'])}</td><td><b>{escape(row['title'])}</b><br>"
        f"<small>{escape(row['summary'])}</small></td><td>{_price(row)}</td></tr>"
        for row in rows
    )
    return page(
        TITLES[slug],
        f'<h1>{TITLES[slug]}</h1><p class="soft">{ABOUT[slug]}</p><table><tbody>{works}</tbody></table>',
        is_wide=True,
    )


def _price(row: sqlite3.Row) -> str:
    if row["price_minor"] is None:
        return "on request"
    if row["price_minor"] == 0:
        return "free"
    return f"{escape(row['currency'])}&nbsp;{row['price_minor'] / 100:.2f}"


async def opened(request: Request) -> Response:
    """GET /p/{slug}/open/{course}?member=…: the course, or why not."""
    peer: Peer = request.app.state.peer
    slug, course = request.path_params["slug"], request.path_params["course"]
    member = request.query_params.get("member", "")
    if slug not in TITLES:
        return _no(404, "No such platform", "Nothing is served here.")
    if not 0 < len(member) <= ID_LIMIT:
        return _no(400, "Who is reading?", "Open this page from your account: its address must name a member.")
    return await _course_page(peer, slug, course, member)


async def launched(request: Request) -> Response:
    """GET /p/{slug}/launch/{token}: the same page, once, by a one-time address."""
    peer: Peer = request.app.state.peer
    slug = request.path_params["slug"]
    with peer.tables.transaction():
        used = peer.tables.run(
            "UPDATE launch SET used_at = :now WHERE digest = :digest AND used_at IS NULL AND expires_at > :now",
            now=peer.now(),
            digest=digest_of(request.path_params["token"]),
        )
    row = peer.tables.one(
        "SELECT access.platform, course_id, external_id FROM launch JOIN access ON access.id = access_id "
        "JOIN member ON member.id = member_id WHERE digest = :digest",
        digest=digest_of(request.path_params["token"]),
    )
    if not used or row is None or row["platform"] != slug:
        return _no(410, "This link has been used", "A launch link opens once, within five minutes. Ask for a new one.")
    return await _course_page(peer, slug, row["course_id"], row["external_id"])


async def _course_page(peer: Peer, slug: str, course: str, member: str) -> Response:
    try:
        row = course_row(peer, slug, course)
    except Refused:
        return _no(404, "No such course", f"{TITLES[slug]} has nothing under this address.")
    verdict = await ask_hub(peer, slug, course, member)
    platform = f'<p class="soft"><small>{TITLES[slug]} · {escape(member)}</small></p>'
    if verdict.word == "unknown":
        return page(
            "Please try again",
            f'{platform}<h1>{escape(row["title"])}</h1><p class="wrong" role="status">We cannot ask the hub about your '
            f"right just now: {escape(verdict.detail)}.</p>",
            status=503,
        )
    if verdict.word == "no":
        return page(
            "No right to open this",
            f'{platform}<h1>{escape(row["title"])}</h1><p class="wrong" role="status">No right: the hub knows of no '
            f"purchase that opens this for you{f' ({escape(verdict.detail)})' if verdict.detail else ''}.</p>",
            status=403,
        )
    return page(
        row["title"],
        f'{platform}<h1>{escape(row["title"])}</h1><p class="soft">{escape(row["author"])}</p>'
        f'<p class="good" role="status">Open: the hub confirms your right '
        f"<small>{escape(verdict.entitlement)}</small></p>"
        f"<article>{escape(row['body'] or row['summary'])}</article>",
        is_wide=True,
    )


def _no(status: int, title: str, said: str) -> Response:
    return page(title, f"<h1>{title}</h1><p>{said}</p>", status=status)


ROUTES = [
    Route("/p/{slug}", shelf, methods=["GET"]),
    Route("/p/{slug}/open/{course}", opened, methods=["GET"]),
    Route("/p/{slug}/launch/{token}", launched, methods=["GET"]),
]
