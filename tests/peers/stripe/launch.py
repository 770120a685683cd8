"""localstripe on a loopback port of its own choice, which it prints. Its own command would listen on every interface
and keep its state in one file for the whole machine. Run by its own environment's interpreter."""

import asyncio
import sys

from aiohttp import web
from localstripe import resources, server


@web.middleware
async def without_created(request, handler):
    """It refuses lists bounded by time: all that it has is of now."""
    if request.method != "GET":
        return await handler(request)
    kept = [(name, value) for name, value in request.query.items() if not name.startswith("created[")]
    return await handler(request.clone(rel_url=request.rel_url.with_query(kept)))


def amount_received(intent):
    """It does not say how much came. The rest of a partial capture is a refund of nobody's there."""
    charge = intent.latest_charge
    if charge is None or not charge.captured or charge.status != "succeeded":
        return 0
    return charge.amount - sum(refund.amount for refund in charge.refunds._list if refund.payment_intent is None)


def amount_capturable(intent):
    return intent.amount if intent.status == "requires_capture" else 0


async def main():
    resources.Store.dump_to_disk = lambda store: None
    resources.PaymentIntent.amount_received = property(amount_received)
    resources.PaymentIntent.amount_capturable = property(amount_capturable)
    server.app.middlewares.append(without_created)
    runner = web.AppRunner(server.app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{site._server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main())
