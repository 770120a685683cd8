"""What the schema promises of itself: read off the built schema, so that a new type cannot forget it."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
    get_named_type,
    is_specified_directive,
    is_specified_scalar_type,
)

from hub.domain import refusals
from hub.domain.events import EVENTS
from hub.domain.people import ANONYMOUS, LEARNER_SCOPES, OPERATOR_SCOPES, PARTNER_SCOPES, Viewer, ViewerKind
from resolvers.errors import GatekeepingError
from resolvers.nodes import NOUNS
from schema import printing, schema
from schema.errors import UserErrorCode
from schema.scopes import SCOPES

CORE = schema._schema
REFUSALS = [
    of
    for of in vars(refusals).values()
    if isinstance(of, type) and issubclass(of, refusals.Refusal) and of is not refusals.Refusal
]
# Mutations that move money or rights: a repeat must be harmless whatever happened to the first answer.
OF_MONEY_OR_RIGHTS = {
    "checkout", "orderCreate", "orderCancel", "paymentCreate", "paymentCapture", "paymentVoid", "refundCreate",
    "refundCancel", "disputeSubmitEvidence", "disputeAccept", "entitlementRevoke", "entitlementClaim",
    "entitlementTransfer",
}  # fmt: skip


def types() -> Iterator[Any]:
    for type_ in CORE.type_map.values():
        if not type_.name.startswith("__") and not is_specified_scalar_type(type_):
            yield type_


def fields() -> Iterator[tuple[str, GraphQLField]]:
    for type_ in types():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in type_.fields.items():
                yield f"{type_.name}.{name}", field


def test_committed_sdl_is_the_printed_one() -> None:
    assert printing.is_current(), "run `hub schema`"


def test_every_type_field_argument_and_member_has_a_description() -> None:
    bare = [type_.name for type_ in types() if not type_.description]
    bare += [name for name, field in fields() if not field.description]
    bare += [
        f"{name}({argument})" for name, field in fields() for argument, of in field.args.items() if not of.description
    ]
    for type_ in types():
        if isinstance(type_, GraphQLEnumType):
            bare += [f"{type_.name}.{name}" for name, value in type_.values.items() if not value.description]
        if isinstance(type_, GraphQLInputObjectType):
            bare += [f"{type_.name}.{name}" for name, field in type_.fields.items() if not field.description]
    assert bare == []
    assert [d.name for d in CORE.directives if not is_specified_directive(d)] == ["defer"]


# Texts that name what is there already, as the hub itself has told it: a wrong one finds nothing, however long.
NAMING = {
    "Query.platform(slug)", "Query.order(number)", "TextFilter.eq", "PlatformFilter.eq", "MemberRef.externalId",
    "MemberRef.pairwiseId", "WebhookRedeliverInput.after",
}  # fmt: skip


def given() -> Iterator[tuple[str, Any]]:
    """Everything that a caller writes: arguments and input fields."""
    for name, field in fields():
        yield from ((f"{name}({argument})", of) for argument, of in field.args.items())
    for type_ in types():
        if isinstance(type_, GraphQLInputObjectType):
            yield from ((f"{type_.name}.{name}", field) for name, field in type_.fields.items())


def is_bounded(name: str, type_: Any) -> bool:
    """Whether there is a most that a caller can run into: of a text, a number, a list; not of a cursor or an enum."""
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    named = get_named_type(type_)
    if isinstance(named, GraphQLEnumType) or name.endswith(("(after)", "(before)")) or name in NAMING:
        return False
    return isinstance(inner, GraphQLList) or getattr(named, "name", "") in ("Int", "String", "BigInt", "Decimal")


def test_what_has_a_limit_says_which() -> None:
    """A number, with or without its unit: characters where nothing else is said."""
    silent = [name for name, of in given() if is_bounded(name, of.type) and not any(map(str.isdigit, of.description))]
    assert silent == []
    assert {name for name, _ in given()} >= NAMING


def test_there_is_no_float() -> None:
    assert "Float" not in CORE.type_map


def test_whole_numbers_that_may_pass_31_bits_are_no_int() -> None:
    """Whoever adds an Int says here why 31 bits are enough."""
    ints = {name for name, field in fields() if getattr(get_named_type(field.type), "name", "") == "Int"}
    assert ints == {
        "Money.scale", "Course.version", "Listing.version", "Entitlement.version",
        "PaymentAttempt.number",  # at most 10
        "Refund.number",  # at most 50
        "RoutingChoice.weight", "RoutingChoice.costBps", "RoutingCandidate.weight", "RoutingCandidate.costBps",
        "RoutingCandidate.score", "RoutingCandidate.successBps", "RoutingCandidate.tried",  # at most 1,000,000
        "RoutingRule.priority", "RoutingRule.version", "Notice.tries",  # counted by people, or hourly
        "WebhookDelivery.attempts", "WebhookAttempt.number",  # ten in three days, and some more after a redelivery
        "SandboxFault.value", "SandboxFault.times", "SandboxFault.chancePercent",  # at most 1,000,000
        "WebhookAttempt.status", "WebhookAttempt.latencyMs",  # at most 10,000
        "EventEnvelope.subjectVersion",
        "AnchorBatch.count", "Proof.index",  # at most 1,024
        "AnchorTransaction.blockNumber", "AnchorTransaction.confirmations", "AnchorTransaction.gasUsed",  # as above
        "Chain.headNumber", "Chain.readNumber", "Chain.confirmedNumber", "Chain.finalNumber", "ChainBlock.number",
        "ChainEvent.blockNumber", "ChainContract.fromBlock",  # a block a second for 68 years
        "ChainEvent.logIndex", "ChainContract.generation",  # what a block's gas can pay for; counted by people
        "AnchorBatch.blockNumber", "AnchorBatch.gasUsed",  # deprecated
        "Proof.version",
        *(f"{name}.totalCount" for name in CORE.type_map if name.endswith("Connection") and name != "EventConnection"),
    }  # fmt: skip


def mutations() -> list[str]:
    assert CORE.mutation_type is not None
    return list(CORE.mutation_type.fields)


@pytest.mark.parametrize("name", mutations())
def test_mutation_has_one_input_and_a_payload(name: str) -> None:
    assert CORE.mutation_type is not None
    field = CORE.mutation_type.fields[name]
    assert list(field.args) == ["input"]
    title = name[0].upper() + name[1:]
    input_type = get_named_type(field.args["input"].type)
    assert isinstance(field.args["input"].type, GraphQLNonNull)
    assert isinstance(input_type, GraphQLInputObjectType)
    assert input_type.name == f"{title}Input"
    payload = get_named_type(field.type)
    assert isinstance(payload, GraphQLObjectType)
    assert payload.name == f"{title}Payload"
    assert str(payload.fields["userErrors"].type) == "[UserError!]!"
    assert str(payload.fields["replayed"].type) == "Boolean!"
    objects = [of for of in payload.fields if of not in ("userErrors", "replayed")]
    assert objects
    assert not [of for of in objects if isinstance(payload.fields[of].type, GraphQLNonNull)]
    demanded = str(input_type.fields["idempotencyKey"].type) if "idempotencyKey" in input_type.fields else None
    assert demanded == ("String!" if name in OF_MONEY_OR_RIGHTS else None)


def test_mutations_are_the_listed_ones() -> None:
    assert {*mutations()} == OF_MONEY_OR_RIGHTS | {
        "listingUpsert", "memberUpsert", "memberRemove", "identityLink", "apiKeyCreate", "apiKeyRotate", "apiKeyRevoke",
        "routingRuleUpsert", "routingRuleDelete", "noticeReplay",
        "merchantPolicySet",
        "trustedIssuerUpsert", "sandboxFaultSet", "sandboxFaultsClear", "sandboxDisputeMove",
        "sandboxClockAdvance", "walletChallenge", "walletLink", "walletUnlink",
        "personErase", "coursePolicySet",
        "webhookEndpointCreate", "webhookEndpointUpdate", "webhookEndpointDelete", "webhookEndpointPause",
        "webhookEndpointResume", "webhookEndpointRotateSecret", "webhookRedeliver",
    }  # fmt: skip


def test_order_create_names_no_channel() -> None:
    field = CORE.type_map["OrderCreateInput"]
    assert isinstance(field, GraphQLInputObjectType)
    assert set(field.fields) == {"listingId", "expectedAmount", "idempotencyKey", "walletId"}


def shows(type_: Any, value: object) -> bool:
    return bool(type_.is_type_of is not None and type_.is_type_of(value, None))


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda of: of.__name__)
def test_every_refusal_has_its_own_error_type_and_code(refusal: type[refusals.Refusal]) -> None:
    errors = CORE.get_possible_types(CORE.type_map["UserError"])  # type: ignore[arg-type]  # the type of that name is an interface
    value = object.__new__(refusal)
    assert [type_.name for type_ in errors if shows(type_, value)] == [f"{refusal.__name__}Error"]
    assert UserErrorCode(refusal.code)


def test_there_is_no_error_type_or_code_without_a_refusal() -> None:
    errors = CORE.get_possible_types(CORE.type_map["UserError"])  # type: ignore[arg-type]  # the type of that name is an interface
    assert len(errors) == len(UserErrorCode) == len(REFUSALS)


@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_has_its_own_payload_type(kind: str) -> None:
    union = CORE.type_map["EventPayload"]
    assert isinstance(union, GraphQLUnionType)
    value = object.__new__(EVENTS[kind])
    assert [type_.name for type_ in union.types if shows(type_, value)] == [EVENTS[kind].__name__]
    assert kind in CORE.type_map["EventKind"].values  # type: ignore[attr-defined]  # the type of that name is an enum


def test_every_field_of_an_event_is_shown() -> None:
    for event in EVENTS.values():
        type_ = CORE.type_map[event.__name__]
        assert isinstance(type_, GraphQLObjectType)
        told = set(event.__slots__) | {n for base in event.__mro__ for n in getattr(base, "__slots__", ())}
        shown = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name) for name in type_.fields}
        if "amount_minor" in told:
            told = told - {"amount_minor", "currency"} | {"amount"}
        assert shown == {name.removesuffix("_us") for name in told}, event.__name__


def test_every_node_can_be_asked_by_its_id() -> None:
    nodes = CORE.get_possible_types(CORE.type_map["Node"])  # type: ignore[arg-type]  # the type of that name is an interface
    assert {type_.name for type_ in nodes} == set(NOUNS)


def test_every_list_holds_no_nulls_but_those_of_objects_by_id() -> None:
    """`nodes(ids:)` and `_entities` alone have null in place."""
    loose = []
    for name, field in fields():
        type_ = field.type
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if isinstance(inner, GraphQLList) and not (
            isinstance(type_, GraphQLNonNull) and isinstance(inner.of_type, GraphQLNonNull)
        ):
            loose.append(name)
    assert loose == ["Query.nodes", "Query._entities"]


@pytest.mark.parametrize(("written", "value"), [("9007199254740993", 2**53 + 1), (str(2**255), 2**255), ("-1", -1)])
def test_big_integers_survive_a_round_trip(written: str, value: int) -> None:
    scalar = CORE.type_map["BigInt"]
    assert isinstance(scalar, GraphQLScalarType)
    assert scalar.parse_value(written) == value  # type: ignore[attr-defined]  # its own function, which graphql-core keeps as an attribute
    assert scalar.serialize(value) == written  # type: ignore[attr-defined]  # its own function, which graphql-core keeps as an attribute


@pytest.mark.parametrize("wrong", ["1e2", "NaN", "1.0", "", "0x10", "01", 1.5, float("nan"), True, None, "9" * 90])
def test_what_is_no_whole_number_is_refused(wrong: object) -> None:
    scalar = CORE.type_map["BigInt"]
    assert isinstance(scalar, GraphQLScalarType)
    with pytest.raises(ValueError, match="BigInt"):
        scalar.parse_value(wrong)  # type: ignore[attr-defined]  # its own function, which graphql-core keeps as an attribute


# ---- the scope table -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCOPES)
def test_each_rule_lets_nobody_in_without_its_scopes(name: str) -> None:
    rule = SCOPES[name]
    assert rule.scopes
    with pytest.raises(GatekeepingError) as stranger:
        rule.demand(ANONYMOUS)
    assert stranger.value.code == "UNAUTHENTICATED"
    with pytest.raises(GatekeepingError) as poor:
        rule.demand(Viewer(ViewerKind.PLATFORM, platform_id="plt_1", scopes=frozenset({"else:read"})))
    assert poor.value.code == "FORBIDDEN"


def test_nobody_but_a_user_buys() -> None:
    platform = Viewer(ViewerKind.PLATFORM, platform_id="plt_1", scopes=PARTNER_SCOPES | LEARNER_SCOPES)
    operator = Viewer(ViewerKind.OPERATOR, scopes=PARTNER_SCOPES | LEARNER_SCOPES)
    for name in ("checkout", "orderCreate", "orderCancel", "paymentCreate"):
        rule = SCOPES[f"Mutation.{name}"]
        assert not rule.lets(platform)
        assert not rule.lets(operator)
        assert rule.lets(Viewer(ViewerKind.USER, user_id="usr_1", scopes=LEARNER_SCOPES))


def test_nobody_but_a_user_links_wallets() -> None:
    operator = Viewer(ViewerKind.OPERATOR, scopes=OPERATOR_SCOPES)
    for name in ("walletChallenge", "walletLink", "walletUnlink", "entitlementClaim"):
        assert not SCOPES[f"Mutation.{name}"].lets(operator)
        assert SCOPES[f"Mutation.{name}"].lets(Viewer(ViewerKind.USER, user_id="usr_1", scopes=LEARNER_SCOPES))


def test_nobody_but_staff_ends_rights() -> None:
    rule, scopes = SCOPES["Mutation.entitlementRevoke"], frozenset({"operations:write"})
    assert not rule.lets(Viewer(ViewerKind.PLATFORM, platform_id="plt_1", scopes=scopes))
    assert not rule.lets(Viewer(ViewerKind.USER, user_id="usr_1", scopes=scopes))
    assert rule.lets(Viewer(ViewerKind.OPERATOR, scopes=scopes))


def test_every_mutation_and_subscription_has_a_rule() -> None:
    assert CORE.subscription_type is not None
    needed = {f"Mutation.{name}" for name in mutations()}
    needed |= {f"Subscription.{name}" for name in CORE.subscription_type.fields}
    assert needed <= SCOPES.keys()
