"""The rehearser's hand on the peers: arm faults, move disputes, refunds and the clock, charge against the rules.

Guarded by its own key, which opens nothing else: no payment is asked for with it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.sandbox import disputes, faults, refunds
from hub.sandbox.fields import ADDRESS_LIMIT, integer, known_only, optional_integer, required_text, text, web_address
from hub.sandbox.intent_rows import MAXIMUM_MINOR, IntentRefused
from hub.sandbox.provider import referred
from hub.sandbox.time import FARTHEST_S
from hub.sandbox.wire import Peer, Refused, authorise, body_of, signed

TIMES_LIMIT = 1_000_000
NAME_LIMIT = 255  # characters of a peer, operation, fault or reference


async def faults_armed(request: Request) -> Response:
    """GET lists, DELETE clears all, or ?peer='s or ?reference='s.

    POST {peer, operation, fault, value?, reference?, times?, chance?, seed?} arms.
    `times` absent: once; 0: until cleared. `chance`: per cent of the calls, drawn from `seed`.
    """

    def act(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        if request.method == "DELETE":
            params = request.query_params
            return {"cleared": faults.clear(peer.tables, params.get("peer"), params.get("reference"))}
        if request.method == "POST":
            _arm(peer, body)
        rows = peer.tables.all("SELECT * FROM fault ORDER BY id LIMIT 1000")
        return {"data": [dict(row) for row in rows]}

    return await _controlled(request, act)


def _arm(peer: Peer, body: dict[str, Any]) -> None:
    known_only(body, "peer", "operation", "fault", "value", "reference", "times", "chance", "seed")
    name = required_text(body, "peer", longest=NAME_LIMIT)
    if name not in {faults.PAYMENTS, *peer.keys.platform_keys}:
        raise Refused(400, "parameter_invalid", "peer must be payments or a platform", "peer")
    times = optional_integer(body, "times", least=0, most=TIMES_LIMIT)
    try:
        faults.arm(
            peer.tables,
            peer=name,
            operation=required_text(body, "operation", longest=NAME_LIMIT),
            fault=required_text(body, "fault", longest=NAME_LIMIT),
            value=optional_integer(body, "value", least=1, most=faults.LARGEST_VALUE),
            reference=text(body, "reference", longest=NAME_LIMIT),
            times=1 if times is None else times or None,
            chance=integer(body, "chance", least=1, most=faults.SURE, default=faults.SURE),
            seed=text(body, "seed", longest=NAME_LIMIT) or "",
        )
    except ValueError as error:
        raise Refused(400, "parameter_invalid", str(error)) from error


async def charge(request: Request) -> Response:
    """POST {reference, amount?}: money that comes late, or another sum than asked; the intent's notice goes out."""

    def act(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        known_only(body, "reference", "amount")
        intent = referred(peer, required_text(body, "reference", longest=NAME_LIMIT))
        amount = optional_integer(body, "amount", least=1, most=MAXIMUM_MINOR)
        return peer.intents.as_json(peer.intents.charge_late(intent, amount or intent.amount, peer.now()))

    return await _controlled(request, act)


async def dispute(request: Request) -> Response:
    """POST {reference, status, amount?}: open the dispute of a charge, or move it on; its notice goes out."""

    def act(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        known_only(body, "reference", "status", "amount")
        intent = referred(peer, required_text(body, "reference", longest=NAME_LIMIT))
        status = _one_of(disputes.STATUSES, body, "status")
        amount = optional_integer(body, "amount", least=1, most=MAXIMUM_MINOR)
        return peer.disputes.as_json(peer.disputes.move(intent, status, peer.now(), amount), intent)

    return await _controlled(request, act)


async def refund(request: Request) -> Response:
    """POST {reference, status}: end a refund that is pending, or let one fail that had succeeded."""

    def act(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        known_only(body, "reference", "status")
        found = peer.refunds.find(required_text(body, "reference", longest=NAME_LIMIT))
        if found is None:
            raise Refused(404, "resource_missing", "no refund carries this reference", "reference")
        status = _one_of(refunds.ENDS, body, "status")
        return peer.refunds.as_json(peer.refunds.move(found, status, peer.now()))

    return await _controlled(request, act)


Word = TypeVar("Word", bound=str)


def _one_of(words: Sequence[Word], body: dict[str, Any], name: str) -> Word:
    given = required_text(body, name, longest=NAME_LIMIT)
    for word in words:
        if word == given:
            return word
    raise Refused(400, "parameter_invalid", f"{name} is one of {', '.join(words)}", name)


async def clock(request: Request) -> Response:
    """POST {advance_s}: the provider's days pass; whatever falls due then is done, notices posted, payouts made."""

    def act(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        known_only(body, "advance_s")
        peer.clock.advance(integer(body, "advance_s", least=0, most=FARTHEST_S))
        return {"now": peer.now()}

    def with_limit(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return act(peer, body)
        except ValueError as error:
            raise Refused(400, "parameter_invalid", str(error), "advance_s") from error

    return await _controlled(request, with_limit)


async def tick(request: Request) -> Response:
    """POST: expire and post whatever is due by the clock, now; gives how many notices were handled."""
    peer: Peer = request.app.state.peer

    try:
        authorise(request, peer.keys.control_key)
    except Refused as refused:
        return signed(peer, refused.status, refused.as_json())
    return signed(peer, 200, {"notices": await peer.courier.work()})


async def notices(request: Request) -> Response:
    """GET ?reference=…: the notices of one payment, with state and tries, oldest first."""

    def act(peer: Peer, _: dict[str, Any]) -> dict[str, Any]:
        rows = peer.tables.all(
            "SELECT notice.id, state, tries, url FROM notice JOIN intent ON intent.id = intent_id "
            "WHERE reference = :reference ORDER BY notice.rowid LIMIT 100",
            reference=request.query_params.get("reference", ""),
        )
        return {"data": [dict(row) for row in rows]}

    return await _controlled(request, act)


async def hub(request: Request) -> Response:
    """PUT /control/platforms/{slug}/hub {graphql_url, api_key}: where and as whom this platform asks for rights."""

    def act(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        slug = request.path_params["slug"]
        if slug not in peer.keys.platform_keys:
            raise Refused(404, "resource_missing", "no such platform", "slug")
        known_only(body, "graphql_url", "api_key")
        url = web_address(body, "graphql_url")
        if url is None:
            raise Refused(400, "parameter_missing", "give graphql_url", "graphql_url")
        peer.tables.keep_setting(f"hub url {slug}", url)
        peer.tables.keep_setting(f"hub key {slug}", required_text(body, "api_key", longest=ADDRESS_LIMIT))
        return {"platform": slug, "graphql_url": url}

    return await _controlled(request, act)


async def _controlled(request: Request, act: Callable[[Peer, dict[str, Any]], dict[str, Any]]) -> Response:
    peer: Peer = request.app.state.peer
    try:
        authorise(request, peer.keys.control_key)
        body = await body_of(request)
        with peer.tables.transaction():
            answer = act(peer, body)
    except IntentRefused as refused:
        return signed(peer, 409, Refused(409, refused.code, str(refused)).as_json())
    except Refused as refused:
        return signed(peer, refused.status, refused.as_json())
    peer.courier.wake()
    return signed(peer, 200, answer)


ROUTES = [
    Route("/control/faults", faults_armed, methods=["GET", "POST", "DELETE"]),
    Route("/control/charge", charge, methods=["POST"]),
    Route("/control/disputes", dispute, methods=["POST"]),
    Route("/control/refunds", refund, methods=["POST"]),
    Route("/control/clock", clock, methods=["POST"]),
    Route("/control/tick", tick, methods=["POST"]),
    Route("/control/notices", notices, methods=["GET"]),
    Route("/control/platforms/{slug}/hub", hub, methods=["PUT"]),
]
