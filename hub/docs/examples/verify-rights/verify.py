"""Whether a right stands, without asking the hub that sold it. Needs eth-abi and eth-hash[pycryptodome].

    python verify.py bundle.json trusted.json            by a node: the contract answers
    python verify.py bundle.json trusted.json --offline  by the bundle alone, under a root that you know
"""

import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from eth_abi import encode
from eth_utils import keccak

LEAF = ("uint256", "bytes32", "address", "uint256", "uint64", "bytes32")
VERIFY = ("bytes32", "uint32", "bytes32", "address", "uint256", "uint64", "bytes32", "bytes32[]")


def octets(text):
    return bytes.fromhex(text.removeprefix("0x"))


def root_of(leaf, proof):
    """The root that leaf and siblings lead to: OpenZeppelin's StandardMerkleTree."""
    node = keccak(keccak(encode(LEAF, leaf)))
    for sibling in proof:
        node = keccak(min(node, sibling) + max(node, sibling))
    return node


def rpc(method, *params):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    request = Request(trusted["node"], json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)["result"]


def yes(function, kinds, values):
    """What a view of the hub says."""
    data = keccak(f"{function}({','.join(kinds)})".encode())[:4] + encode(kinds, values)
    return int(rpc("eth_call", {"to": trusted["hub"], "data": "0x" + data.hex()}, "latest"), 16) == 1


bundle, trusted = (json.loads(Path(name).read_text()) for name in sys.argv[1:3])
if (bundle["version"], bundle["chainId"], bundle["hub"].lower()) != (1, trusted["chainId"], trusted["hub"].lower()):
    sys.exit("REFUSED: of another chain or hub")
if bundle["tokenId"] != trusted["tokenId"]:
    sys.exit("REFUSED: for another course")
key, commitment, root = (octets(bundle[name]) for name in ("orderKey", "commitment", "root"))
leaf = (bundle["index"], key, bundle["to"], int(bundle["tokenId"]), int(bundle["expiry"]), commitment)
proof = [octets(sibling) for sibling in bundle["proof"]]
if "--offline" in sys.argv:
    if bundle["root"] not in trusted["roots"] or root_of(leaf, proof) != root:
        sys.exit("REFUSED: the leaf lies under no root that you know")
    sys.exit(print(f"ok: recorded for {bundle['to']}; whether it was revoked since, a node knows"))
if int(rpc("eth_chainId"), 16) != trusted["chainId"]:
    sys.exit("REFUSED: the node is of another chain")
if not yes("verify", VERIFY, (root, *leaf, proof)):
    sys.exit("REFUSED: not anchored, revoked or expired")
held = yes("hasAccess", ("address", "uint256"), (bundle["to"], leaf[3]))
print(f"ok: stands for {bundle['to']}, token claimed: {'yes' if held else 'no'}")
