"""Where channels send their notices (异步通知): raw bytes go to the flow, the channel hears what it understands."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hub.entry.metrics import Metrics
from hub.flows.notices import receive
from hub.ports import Ack, Hub, NoticeProbed, NoticeRefused, RawNotice
from hub.store.transactions import StoreFault

log = logging.getLogger(__name__)

# Bytes of a notice; the largest of a real provider's has about a tenth.
MAX_NOTICE = 256 * 1024


def notice_route(hub: Hub, metrics: Metrics) -> Route:
    """`POST /channels/{code}/notices`.

    404 for a channel that is not connected, 413 for too long a body, 400 for what is not provably the channel's. When
    the database cannot take it, the channel's own word for "send it again".
    """

    async def take(request: Request) -> Response:
        code = request.path_params["code"]
        if code not in hub.channels:
            return PlainTextResponse("no such channel", status_code=404)
        raw = RawNotice(dict(request.headers.items()), await _body(request))
        try:
            ack = await receive(hub, code, raw)
        except NoticeProbed:
            metrics.count("hub_notices_total", channel=code, outcome="probe")
            return PlainTextResponse("this notice is not taken", status_code=400)
        except NoticeRefused as refused:
            metrics.count("hub_notices_total", channel=code, outcome="refused")
            log.warning("notice refused", extra={"reason": str(refused), "route": f"/channels/{code}/notices"})
            return PlainTextResponse("this notice is not taken", status_code=400)
        except StoreFault:
            log.exception("a notice of %s could not be kept", code)
            metrics.count("hub_notices_total", channel=code, outcome="again")
            return _answer(hub.channels[code].ack(accepted=False))
        metrics.count("hub_notices_total", channel=code, outcome="taken")
        return _answer(ack)

    return Route("/channels/{code}/notices", take, methods=["POST"])


async def _body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_NOTICE:
            raise HTTPException(413, "a notice is far smaller")
        chunks.append(chunk)
    return b"".join(chunks)


def _answer(ack: Ack) -> Response:
    if ack.status == 204:
        return Response(status_code=204)
    return Response(ack.body, status_code=ack.status, media_type=ack.media_type)
