"""Erasure of a person (07 §6), as far as rights on chain go: what opens their records, and their wallets.

The person's key goes, so that whatever it sealed is noise wherever a copy of it lies; and with it the salts, the words
of requests and results, wallets and what they were asked to sign. Orders and books stay under an id that means nobody.
What the chain holds stays there, and whoever kept a proof bundle can show it still.
"""

from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.people import User, Viewer
from hub.domain.refusals import NotFound
from hub.domain.requests import Answer
from hub.flows import audit
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx


async def erase(hub: Hub, viewer: Viewer, *, user_id: str) -> Answer[User]:
    """For good. Again is a replay: nothing is left to erase."""
    return await hub.store.write(erase_person, viewer, user_id, hub.draw())


async def erase_person(tx: "Tx", viewer: Viewer, user_id: str, draw: Draw) -> Answer[User]:
    user = await tx.people.user(user_id)
    if user is None:
        return Answer(refusal=NotFound("userId"))
    erased = await tx.salts.erase(user_id) + await tx.wallets.erase(user_id)
    if not erased:
        return Answer(user, is_replay=True)
    await audit.note(tx, viewer, "personErase", user_id, draw)
    return Answer(user)
