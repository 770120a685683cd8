"""The contracts as anybody needs them to deploy, call or recognise them: artifacts by name, without a compiler."""

import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract. `abi` is the standard JSON ABI, `bytecode` the creation code before constructor arguments.

    `runtime_hash` is the keccak of the code that the chain holds after deployment (EXTCODEHASH), the same on every
    chain and for all constructor arguments: by it a hub recognises its contract.
    """

    name: str
    abi: tuple[dict[str, object], ...]
    bytecode: bytes
    runtime_hash: bytes
    source_hash: str
    compiler: str


def artifact(name: str) -> Artifact:
    """The artifact of the contract called `name`, such as "entitlement_hub"; FileNotFoundError when there is none."""
    text = resources.files(__name__).joinpath("artifacts", f"{name}.json").read_text(encoding="utf-8")
    content = json.loads(text)
    return Artifact(
        name=content["name"],
        abi=tuple(content["abi"]),
        bytecode=bytes.fromhex(content["bytecode"]),
        runtime_hash=bytes.fromhex(content["runtimeHash"]),
        source_hash=content["sourceHash"],
        compiler=content["compiler"]["version"],
    )
