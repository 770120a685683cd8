"""GET /v1/statement: a day of the provider's own books as signed CSV, once the day is over; struck by faults."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.sandbox import faults
from hub.sandbox.books import DAY_S, as_csv, day_start
from hub.sandbox.wire import Peer, Refused, authorise, sealed, signed, struck


async def statement(request: Request) -> Response:
    """?day=YYYY-MM-DD, UTC. 404 `statement_not_ready` until the provider's clock has left that day."""
    peer: Peer = request.app.state.peer
    try:
        authorise(request, peer.keys.api_key)
        start = _day(request)
        with peer.tables.transaction():
            fault = faults.take(peer.tables, faults.PAYMENTS, "statement", None)
        if peer.now() < start + DAY_S:
            raise Refused(404, "statement_not_ready", "this day is not over yet", "day")
    except Refused as refused:
        return signed(peer, refused.status, refused.as_json())
    movements = faults.altered(peer.books.day(start), fault)

    async def whole() -> Response:
        return sealed(peer, 200, as_csv(movements), "text/csv")

    return await struck(peer, fault, whole)


def _day(request: Request) -> int:
    try:
        return day_start(request.query_params.get("day", ""))
    except ValueError as error:
        raise Refused(400, "parameter_invalid", "give ?day=YYYY-MM-DD", "day") from error


ROUTES = [Route("/v1/statement", statement, methods=["GET"])]
