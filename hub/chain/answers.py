"""What a node answered, as what it has to be. Anything else is as if it had not answered: ask again."""

from hub.chain.rpc import Answer, Json, NodeSaidNo
from hub.ports import ChainUnavailable


def granted(answer: Answer) -> Json:
    """Reading is never refused for good."""
    if isinstance(answer, NodeSaidNo):
        raise ChainUnavailable(f"the node cannot now: {answer}") from answer
    return answer


def member_of(answer: Answer, name: str) -> Json:
    """A member of an object; None where it has none of that name."""
    said = granted(answer)
    if not isinstance(said, dict):
        raise ChainUnavailable(f"the node answered with something that has no {name}")
    return said.get(name)


def number_in(answer: Answer) -> int:
    try:
        return int(text_in(answer), 16)
    except ValueError:
        raise ChainUnavailable("the node answered with something else than a number") from None


def octets_in(answer: Answer) -> bytes:
    try:
        return bytes.fromhex(text_in(answer).removeprefix("0x"))
    except ValueError:
        raise ChainUnavailable("the node answered with something else than bytes") from None


def text_in(answer: Answer) -> str:
    said = granted(answer)
    if not isinstance(said, str):
        raise ChainUnavailable("the node answered with something else than a string")
    return said
