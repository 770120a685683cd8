"""GET /proofs/{order id}.json and .svg: an order's proof bundle as a file, and as a QR code to be shown.

Both are `Order.proof { bundle }` asked by whoever sends the request, so nobody gets here what GraphQL would not tell.
The bundle holds no opening: what is shown to a camera is no secret.
"""

from collections.abc import Awaitable, Callable
from io import BytesIO

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.schema import Schema

from hub.domain.ids import kind_of
from hub.entry.logs import request_id
from hub.entry.viewers import Viewers
from hub.ports import Hub
from resolvers.context import request_context
from resolvers.errors import GatekeepingError

BUNDLE = "query($id: ID!) { order(id: $id) { number proof { bundle } } }"
MAX_QR = 2_953  # bytes: what the largest code (version 40, level L) holds; a bundle of 1,024 orders has about 1,300
STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403}

Answer = Callable[[Request], Awaitable[Response]]


def proof_routes(hub: Hub, schema: Schema, public_url: str) -> list[Route]:
    """404 alike for an order that is not there, not yours, or not proven yet."""
    viewers = Viewers(hub)

    async def bundle(request: Request) -> tuple[str, str] | Response:
        order_id = request.path_params["order_id"]
        try:
            viewer = await viewers.viewer(request.headers.get("authorization"))
        except GatekeepingError as error:
            return _no(STATUS.get(error.code, 503), str(error))
        if kind_of(order_id) != "Order":
            return _NOT_FOUND
        context = request_context(hub, viewer, request_id.get())
        result = await schema.execute(BUNDLE, variable_values={"id": order_id}, context_value=context)
        if result.errors:
            code = (result.errors[0].extensions or {}).get("code", "")
            return _no(STATUS.get(code, 503), result.errors[0].message if code in STATUS else "try again")
        order = (result.data or {}).get("order")
        if not order or not order["proof"]:
            return _NOT_FOUND
        return order["number"], order["proof"]["bundle"]

    async def file(request: Request) -> Response:
        found = await bundle(request)
        if isinstance(found, Response):
            return found
        number, text = found
        attached = {"Content-Disposition": f'attachment; filename="{number}.proof.json"'}
        return Response(text, media_type="application/json", headers=attached)

    async def code(request: Request) -> Response:
        found = await bundle(request)
        if isinstance(found, Response):
            return found
        number, text = found
        shown = text if len(text.encode()) <= MAX_QR else f"{public_url}/proofs/{request.path_params['order_id']}.json"
        inline = {"Content-Disposition": f'inline; filename="{number}.proof.svg"'}
        return Response(drawn(shown), media_type="image/svg+xml", headers=inline)

    return [
        Route("/proofs/{order_id}.json", file, methods=["GET"]),
        Route("/proofs/{order_id}.svg", code, methods=["GET"]),
    ]


def drawn(text: str) -> bytes:
    """The QR code of a text of at most MAX_QR bytes, as SVG."""
    import segno  # here, as few requests need it

    picture = BytesIO()
    segno.make(text.encode(), error="l", boost_error=False, micro=False).save(picture, kind="svg", scale=4)
    return picture.getvalue()


def _no(status: int, message: str) -> Response:
    return Response(orjson.dumps({"message": message}), status, media_type="application/json")


_NOT_FOUND = _no(404, "there is no such order, it is not yours, or its record is not proven yet")
