"""A program: a bare Starlette handler that runs the SQL of one sale a request, in one transaction.

HUB_PORT=… python -m tests.bench.bare_server SCRIPT
"""

import os
import pickle
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from hub.store.sqlite import connect


def main(script: Path) -> None:
    told = pickle.loads(script.read_bytes())  # written by the benchmark itself
    raw = connect(Path(told["database"]))
    orders = iter(told["orders"])

    async def buy(request: Request) -> JSONResponse:
        asked = await request.json()
        raw.execute("BEGIN IMMEDIATE")
        for sql, parameters, is_many in next(orders):
            if is_many:
                raw.executemany(sql, parameters)
            else:
                raw.execute(sql, parameters).fetchall()
        raw.execute("COMMIT")
        return JSONResponse({"key": asked["key"], "state": "CHARGED"})

    async def readyz(_request: Request) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(routes=[Route("/buy", buy, methods=["POST"]), Route("/readyz", readyz)])
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["HUB_PORT"]), http="h11", log_config=None, access_log=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
