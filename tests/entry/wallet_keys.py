"""The half of a test's browser wallet that has the key: it answers over HTTP what the half in the page is asked."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.entry.toys import served

EXTENSION = Path(__file__).with_name("wallet_extension.js")


@asynccontextmanager
async def extension(account: LocalAccount) -> AsyncIterator[str]:
    """The script that makes a wallet of this account appear in a page."""

    async def answer(request: Request) -> JSONResponse:
        asked = await request.json()
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "result": await _answered(account, **asked)})

    around = [Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["POST"], allow_headers=["content-type"])]
    async with served(Starlette(routes=[Route("/", answer, methods=["POST"])], middleware=around)) as address:
        yield f"const SIGNER = 'http://{address}/';\n{EXTENSION.read_text()}"


async def _answered(account: LocalAccount, *, method: str, params: list[Any], **_: object) -> object:
    match method:
        case "eth_requestAccounts":
            return [account.address]
        case "personal_sign":
            text, address = params
            assert address.lower() == account.address.lower()
            return _hex(account.sign_message(encode_defunct(hexstr=text)).signature)
        case "eth_signTypedData_v4":
            return _hex(account.sign_typed_data(full_message=json.loads(params[1])).signature)
        case "eth_sendTransaction":
            return await _sent(account, *params)
    raise AssertionError(f"no wallet is asked for {method} here")


async def _sent(account: LocalAccount, call: dict[str, Any], node: str) -> str:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:

        async def ask(method: str, *params: Any) -> str:
            asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            said = (await client.post(node, json=asked)).json()
            assert "error" not in said, (method, said)
            return str(said["result"])

        fields = {
            "type": 2,
            "chainId": int(await ask("eth_chainId"), 16),
            "nonce": int(await ask("eth_getTransactionCount", account.address, "pending"), 16),
            "to": to_checksum_address(call["to"]),
            "value": int(call["value"], 16),
            "data": call["data"],
            "gas": int(await ask("eth_estimateGas", call), 16) * 12 // 10,
            "maxFeePerGas": 2 * int(await ask("eth_gasPrice"), 16),
            "maxPriorityFeePerGas": 10**9,
        }
        return await ask("eth_sendRawTransaction", _hex(account.sign_transaction(fields).raw_transaction))


def _hex(octets: bytes) -> str:
    return "0x" + bytes(octets).hex()
