"""Keys that another program holds: what it signs is checked before it is stored, and its silence is not its no."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from hub.chain import results
from hub.chain.keys import KeyFault, Outside, load, prepare_embedded
from hub.chain.rpc import Rpc
from hub.chain.signing import Fields, FileKey, RemoteKey, remote_key
from hub.domain.records import KeyRole
from hub.ports import ChainUnavailable, SigningRefused
from tests.results import signer_of

OURS: LocalAccount = Account.from_key(bytes([7]) * 32)
THEIRS: LocalAccount = Account.from_key(bytes([8]) * 32)
TO = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
CALL: Fields = {
    "type": 2, "chainId": 2**40 + 1, "nonce": 3, "to": TO, "value": 0, "data": b"\x01\x02", "gas": 50_000,
    "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 7,
}  # fmt: skip
CREATION: Fields = {name: value for name, value in CALL.items() if name != "to"}
RESULT = results.PaymentResult(bytes([1]) * 32, bytes([2]) * 32, TO, 5, 2**56 - 1, 1_900_000_000)


SAID_NO = {
    "refuses": (-32000, "denied by policy"),
    "has another key": (-32000, "Signing from is not an unlocked account"),
    "is told no by a person": (4001, "User Rejected Request"),
    "knows no such method": (-32601, "Method not found"),
    "is in trouble": (-32603, "Internal error"),
    "has lost its store of keys": (-32000, "deadline exceeded while reaching the key store"),
}


@dataclass
class Service:
    """A signing service on loopback that holds a key, and does as its `mood` says."""

    key: LocalAccount = OURS
    mood: str = "honest"
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.asked.append(method)
        if self.mood in SAID_NO:
            code, message = SAID_NO[self.mood]
            return {"error": {"code": code, "message": message}}
        if self.mood == "babbles":
            return {"result": "0xzz"}
        return {"result": self.signed(params[0]) if method == "eth_signTransaction" else self.typed(*params)}

    def signed(self, asked: dict[str, str]) -> Any:
        assert asked["from"] == OURS.address
        names = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
        fields: dict[str, Any] = {"type": 2, "data": asked["data"]} | {name: int(asked[name], 16) for name in names}
        if "to" in asked:
            fields["to"] = asked["to"]
        if self.mood == "calls instead":
            fields["to"] = TO
        if self.mood == "alters":
            fields["value"] = 10**18
        raw = "0x" + self.key.sign_transaction(fields).raw_transaction.hex().removeprefix("0x")
        return {"raw": raw, "tx": {}} if self.mood == "as clef" else raw

    def typed(self, address: str, data: dict[str, Any]) -> str:
        assert address == OURS.address
        signature = bytes(self.key.sign_message(encode_typed_data(full_message=data)).signature)
        if self.mood == "counts v from 0":
            signature = signature[:-1] + bytes([signature[-1] - 27])
        return "0x" + signature.hex()


@pytest.fixture
def service() -> Iterator[Service]:
    held, waits = Service(), threading.Event()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if held.mood == "silent":
                waits.wait(5)
                return
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"]} | held.answer(asked["method"], asked["params"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Nothing: a test is quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    held.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield held
    waits.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
async def remote(service: Service) -> AsyncIterator[RemoteKey]:
    rpc = Rpc(lambda: f"http://user:s3cret@127.0.0.1:{service.port}", timeout_ms=500)
    yield remote_key(rpc, OURS.address.lower())
    await rpc.aclose()


@pytest.mark.parametrize("mood", ["honest", "as clef"])
@pytest.mark.parametrize("fields", [CALL, CREATION])
async def test_a_transaction_is_signed_as_by_a_key_of_our_own(
    service: Service, remote: RemoteKey, mood: str, fields: Fields
) -> None:
    service.mood = mood
    assert remote.address == OURS.address
    assert await remote.transaction(fields) == await FileKey(OURS).transaction(fields)
    assert service.asked == ["eth_signTransaction"]


@pytest.mark.parametrize("mood", ["honest", "counts v from 0"])
async def test_a_result_is_signed_as_by_a_key_of_our_own(service: Service, remote: RemoteKey, mood: str) -> None:
    service.mood = mood
    data = results.typed_data(RESULT, CALL["chainId"], TO)
    signature = await remote.typed_data(data)
    assert signature == await FileKey(OURS).typed_data(data)
    assert signer_of(RESULT, CALL["chainId"], TO, signature) == OURS.address
    assert service.asked == ["eth_signTypedData"]


@pytest.mark.parametrize(
    ("mood", "key", "why"),
    [
        ("refuses", OURS, "the signer refuses .*: denied by policy"),
        ("has another key", OURS, "the signer refuses .*: Signing from is not"),
        ("is told no by a person", OURS, "the signer refuses .*: User Rejected"),
        ("knows no such method", OURS, "the signer refuses .*: Method not found"),
        ("honest", THEIRS, f"asked to sign as {OURS.address} and signed as {THEIRS.address}"),
        ("babbles", OURS, "something else than"),
    ],
)
async def test_no_and_nonsense_and_another_keys_answer_are_refusals(
    service: Service, remote: RemoteKey, mood: str, key: LocalAccount, why: str
) -> None:
    service.mood, service.key = mood, key
    with pytest.raises(SigningRefused, match=why) as caught:
        await remote.transaction(CALL)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(SigningRefused, match=why):
        await remote.typed_data(results.typed_data(RESULT, 1, TO))


@pytest.mark.parametrize("mood", ["is in trouble", "has lost its store of keys"])
async def test_a_signers_trouble_is_no_refusal_and_passes(service: Service, remote: RemoteKey, mood: str) -> None:
    service.mood = mood
    with pytest.raises(ChainUnavailable, match=f"the signer of {OURS.address} cannot now"):
        await remote.transaction(CALL)
    service.mood = "honest"
    assert await remote.transaction(CALL) == await FileKey(OURS).transaction(CALL)


@pytest.mark.parametrize(
    ("mood", "fields"), [("alters", CALL), ("alters", CREATION), ("calls instead", CREATION)]
)
async def test_another_transaction_than_was_asked_for_is_refused(
    service: Service, remote: RemoteKey, mood: str, fields: Fields
) -> None:
    service.mood = mood
    with pytest.raises(SigningRefused, match="another transaction than it was asked to"):
        await remote.transaction(fields)


async def test_silence_is_unavailable_in_time_and_names_no_address_of_the_service(
    service: Service, remote: RemoteKey
) -> None:
    service.mood = "silent"
    with pytest.raises(ChainUnavailable, match=f"the signer of {OURS.address} is away: it does not answer") as caught:
        await remote.transaction(CALL)
    assert "s3cret" not in str(caught.value)
    assert str(service.port) not in str(caught.value)


async def test_a_folder_needs_no_file_for_a_role_that_the_service_has(tmp_path: Any, remote: RemoteKey) -> None:
    prepare_embedded(tmp_path)
    (tmp_path / "keys" / "gateway.key").unlink()
    outside = Outside(service=remote.service, addresses={KeyRole.GATEWAY: OURS.address})
    assert load(tmp_path, outside).gateway == remote
    with pytest.raises(KeyFault, match="HUB_CHAIN_SIGNER_URL does not say who holds it"):
        load(tmp_path, Outside(addresses={KeyRole.GATEWAY: OURS.address}))
    published = {KeyRole.GATEWAY: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"}
    with pytest.raises(KeyFault, match="HUB_CHAIN_SIGNER_ADDRESSES is a published development key"):
        load(tmp_path, Outside(service=remote.service, addresses=published))


async def test_what_was_signed_elsewhere_is_what_goes_out(service: Service, remote: RemoteKey) -> None:
    raw = (await remote.transaction(CALL)).raw
    told = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    assert {name: told[name] for name in CALL if name not in ("to", "data")} == {
        name: CALL[name] for name in CALL if name not in ("to", "data")
    }
    assert Account.recover_transaction(raw) == OURS.address
