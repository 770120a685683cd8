"""A program: a payment provider on the sandbox's wire that takes the money at once, or after a while.

python -m tests.bench.provider_server ANSWER_SECRET DELAY_S      prints {"port": …}
"""

import asyncio
import json
import sys
import time

import orjson

from hub.sandbox.signatures import HEADER, signature


async def main(secret: str, delay_s: float) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                asked = orjson.loads(await reader.readexactly(length))
                if delay_s:
                    await asyncio.sleep(delay_s)
                body = orjson.dumps(taken(asked))
                signed = f"{HEADER}: {signature(body, secret, int(time.time()))}\r\n"
                writer.write(f"HTTP/1.1 200 OK\r\n{signed}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def taken(asked: dict[str, object]) -> dict[str, object]:
    """The payment that was asked for, charged."""
    now = int(time.time())
    return {
        "object": "payment_intent", "id": f"pi_{asked['reference']}", "livemode": False, "status": "succeeded",
        "reference": asked["reference"], "amount": asked["amount"], "amount_received": asked["amount"],
        "currency": asked["currency"], "latest_charge": f"ch_{asked['reference']}", "cancellation_reason": None,
        "last_payment_error": None, "next_action": None, "status_at": now, "expires_at": now + 1800,
    }  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
