"""Partners' issuers, as operators make them known: whose signed word is taken, under which keys, and for how much."""

from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain.catalogue import is_storable
from hub.domain.ids import Draw
from hub.domain.issuers import ALGORITHMS, EXCHANGE_SCOPES, MAX_URL, IssuerState, KeySource, TrustedIssuer
from hub.domain.people import Viewer
from hub.domain.refusals import InvalidInput, NotFound, Refusal
from hub.domain.requests import Answer
from hub.flows import audit, rivals
from hub.flows.keys import key_ended
from hub.flows.rivals import MadeMeanwhile
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx

MAX_CLAIM = 100  # characters of a claim's name


async def upsert_issuer(
    hub: Hub,
    viewer: Viewer,
    *,
    platform_id: str,
    issuer: str,
    audience: str,
    algorithms: tuple[str, ...],
    subject_claim: str,
    keys: KeySource,
    client_keys: KeySource,
    scopes: frozenset[str],
    state: IssuerState,
) -> Answer[TrustedIssuer]:
    """A platform's issuer by its `iss`: new, or as a whole as it is given now. Client keys of none: the issuer's."""
    if client_keys == KeySource():
        client_keys = keys
    draw = hub.draw()
    asked = TrustedIssuer(
        id=draw.id("iss"),
        platform_id=platform_id,
        issuer=issuer,
        audience=audience,
        algorithms=tuple(dict.fromkeys(algorithms)),
        subject_claim=subject_claim,
        keys=keys,
        client_keys=client_keys,
        scopes=scopes,
        state=state,
        version=1,
        created_at_us=draw.now_us,
    )
    if refusal := _unfit(hub, asked):
        return Answer(refusal=refusal)
    return await rivals.write(hub, put_issuer, viewer, asked, draw)


def _unfit(hub: Hub, asked: TrustedIssuer) -> Refusal | None:
    for name, text, most in (
        ("issuer", asked.issuer, MAX_URL),
        ("audience", asked.audience, MAX_URL),
        ("subjectClaim", asked.subject_claim, MAX_CLAIM),
    ):
        if not 0 < len(text) <= most or not text.isprintable() or " " in text or not is_storable(text):
            return InvalidInput(name, f"{name} has 1 to {most} printable characters and no blank")
    if unknown := [name for name in asked.algorithms if name not in ALGORITHMS] or not asked.algorithms:
        named = f"not {', '.join(unknown)}" if isinstance(unknown, list) else "at least one"
        return InvalidInput("algorithms", f"algorithms are of {', '.join(ALGORITHMS)}: {named}")
    if beyond := asked.scopes - EXCHANGE_SCOPES:
        return InvalidInput("scopes", f"a learner's token never holds {', '.join(sorted(beyond))}")
    for name, source in (("jwks", asked.keys), ("clientJwks", asked.client_keys)):
        if fault := hub.partners.source_fault(source):
            return InvalidInput(name if source.url is None else f"{name}Url", fault)
    return None


async def put_issuer(tx: "Tx", viewer: Viewer, asked: TrustedIssuer, draw: Draw) -> Answer[TrustedIssuer]:
    if refusal := await key_ended(tx, viewer, "trusting an issuer", draw.now_us):
        return Answer(refusal=refusal)
    if await tx.catalogue.platform(asked.platform_id) is None:
        return Answer(refusal=NotFound("platformId"))
    held = await tx.issuers.lock(asked.issuer)
    if held is None:
        if not await tx.issuers.add(asked):
            raise MadeMeanwhile(f"issuer {asked.issuer!r}")
        return Answer(await _noted(tx, viewer, asked, draw))
    if held.platform_id != asked.platform_id:
        return Answer(refusal=InvalidInput("issuer", "this issuer is another platform's"))
    wanted = replace(asked, id=held.id, version=held.version, created_at_us=held.created_at_us)
    if wanted == held:
        return Answer(held, is_replay=True)
    return Answer(await _noted(tx, viewer, await tx.issuers.update(wanted), draw))


async def _noted(tx: "Tx", viewer: Viewer, issuer: TrustedIssuer, draw: Draw) -> TrustedIssuer:
    await audit.note(
        tx, viewer, "trustedIssuerUpsert", issuer.id, draw,
        platform_id=issuer.platform_id, issuer=issuer.issuer, audience=issuer.audience, state=issuer.state,
        algorithms=list(issuer.algorithms), subjectClaim=issuer.subject_claim, scopes=sorted(issuer.scopes),
        jwksUrl=issuer.keys.url, clientJwksUrl=issuer.client_keys.url, version=issuer.version,
    )  # fmt: skip
    return issuer
