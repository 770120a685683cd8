"""Wallets from the outside: ask for a text, sign it, and the address is yours."""

import re
from typing import Annotated

import strawberry

from hub.domain.people import Wallet
from hub.domain.refusals import InvalidInput, Refused
from hub.domain.requests import Answer
from hub.domain.siwe import MAX_MESSAGE
from hub.flows import wallets
from hub.flows.wallets import MAX_SIGNATURE, Asked
from resolvers.context import Info
from resolvers.inputs import id_of, storable, web_address
from resolvers.payloads import Payload, told
from resolvers.reading import told_of


async def wallet_challenge(
    info: Info,
    address: Annotated[
        str, strawberry.argument(description="The wallet's address: 0x and 40 hexadecimal digits, in any case.")
    ],
    uri: Annotated[
        str | None,
        strawberry.argument(
            description="The page that asks, as `https://host/path`, at most 2000 characters: wallets warn of another "
            "one than they are on. One of the pages of HUB_PUBLIC_URL and HUB_ALLOWED_ORIGINS; the hub's own if unset."
        ),
    ] = None,
) -> Payload:
    """The text to sign."""

    async def flow() -> Answer[Asked]:
        return await wallets.challenge(
            info.context.hub,
            info.context.viewer,
            address=storable(address, "address"),
            uri=None if uri is None else web_address(uri, "uri"),
        )

    answer = await told(flow)
    return Payload({"challenge": answer.value}, answer.refusal)


async def wallet_link(
    info: Info,
    message: Annotated[
        str, strawberry.argument(description="The text that was signed, letter by letter; at most 4000 characters.")
    ],
    signature: Annotated[
        str,
        strawberry.argument(
            description="What the wallet gave (personal_sign): 0x and hexadecimal digits, 65 bytes of an account, at "
            "most 4096 of a contract wallet."
        ),
    ],
) -> Payload:
    """The wallet that signed is yours."""

    async def flow() -> Answer[Wallet]:
        return await wallets.link(
            info.context.hub,
            info.context.viewer,
            message=storable(message, "message", MAX_MESSAGE),
            signature=_signature(signature),
        )

    answer = await told(flow)
    return Payload({"wallet": await told_of(info, "wallet", answer)}, answer.refusal, answer.is_replay)


def _signature(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        reason = f"signature is 0x and hexadecimal digits, two a byte, of at most {MAX_SIGNATURE} bytes"
        raise Refused(InvalidInput("signature", reason))
    return bytes.fromhex(text[2:])


_HEX = re.compile(rf"0x(?:[0-9A-Fa-f]{{2}}){{1,{MAX_SIGNATURE}}}")


async def wallet_unlink(
    info: Info,
    wallet_id: Annotated[strawberry.ID, strawberry.argument(description="The wallet's id.")],
) -> Payload:
    """The wallet is nobody's."""

    async def flow() -> Answer[Wallet]:
        return await wallets.unlink(
            info.context.hub, info.context.viewer, wallet_id=id_of("Wallet", wallet_id, "walletId")
        )

    answer = await told(flow)
    return Payload({"unlinked_id": answer.value and answer.value.id}, answer.refusal, answer.is_replay)
