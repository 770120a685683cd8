"""Choosing a channel: previews and rules of merchants; the notices that channels sent, for operators."""

import strawberry

from hub.domain import routing as domain
from resolvers import routing
from resolvers.scalars import BigInt, CurrencyCode, Instant
from schema.cost import FREE, ONE_LIST, at_most
from schema.fields import changed_by, plain, relation, represents, resolved_by
from schema.payloads import Payload


@represents(domain.Choice)
@strawberry.type(description="One channel of a rule.")
class RoutingChoice:
    channel: str = plain("Code of the channel.")
    weight: int = plain("How much it is preferred, 1 to 100.")
    cost_bps: int = plain("What it costs, in parts of ten thousand.")


@represents(domain.RoutingRule)
@strawberry.type(description="For which payments of a merchant which channels are asked.")
class RoutingRule:
    id: strawberry.ID = plain("Its id.")
    name: str = plain("What it is called.")
    priority: int = plain("The fitting rule of the least counts.")
    currency: CurrencyCode | None = plain("Only for this currency; null: any.")
    minimum_minor: BigInt | None = plain("At least this many minor units.")
    maximum_minor: BigInt | None = plain("At most this many minor units.")
    choices: list[RoutingChoice] = resolved_by(routing.choices, "The channels that it names.", at_most(20))
    version: int = plain("Counts its changes from 1.")
    changed_at_us: Instant = plain("When it was changed last.", name="changedAt")


@represents(domain.Candidate)
@strawberry.type(description="A channel in a choice: score = weight x (successBps - costBps); out of it: 0.")
class RoutingCandidate:
    channel: str = plain("Code of the channel.")
    is_in: bool = plain("Whether it can be asked.")
    reasons: list[str] = resolved_by(routing.reasons, "Why it cannot; empty if it can.", FREE)
    score: int = plain("The greatest is asked.")
    weight: int = plain("How much the rule prefers it.")
    cost_bps: int = plain("What it costs, in parts of ten thousand.")
    success_bps: int = resolved_by(
        routing.success_bps, "How often its newest attempts took the money, in parts of ten thousand.", FREE
    )
    tried: int = resolved_by(routing.tried, "How many attempts that is from: at most 200 of the last 24 hours.", FREE)


@represents(routing.PreviewView)
@strawberry.type(description="What would be asked now, and why.")
class RoutingPreview:
    rule: RoutingRule | None = plain("The merchant's rule that fits; null: none, all count alike.", costs=FREE)
    chosen: str | None = plain("Code of the channel that would be asked; null if none can.")
    candidates: list[RoutingCandidate] = plain("All channels of this hub, the best first.", costs=at_most(20))


@represents("KeptNotice")
@strawberry.type(description="A message that a channel sent and that was kept.")
class Notice:
    id: strawberry.ID = plain("Its id.")
    channel: str = plain("Code of the channel.")
    event_id: str = plain("The channel's own id of it.")
    attempt_key: str = plain("The reference of the payment that it is about.")
    kind: str = plain("The channel's word for what it is about.")
    state: str = plain(
        "APPLIED; WAITING for an order that nobody knows; IGNORED as another's; CONFLICTED with another of its id."
    )
    reason: str | None = plain("Why it is IGNORED; null for any other state.")
    tries: int = plain("How often it was looked at after it came.")
    received_at_us: Instant = plain("When it came first.", name="receivedAt")


@strawberry.type(description="What routingRuleUpsert came to.")
class RoutingRuleUpsertPayload(Payload):
    routing_rule: RoutingRule | None = relation("routing_rule", "The rule; null if it was refused.")


@strawberry.type(description="What routingRuleDelete came to.")
class RoutingRuleDeletePayload(Payload):
    deleted_id: strawberry.ID | None = relation("deleted_id", "The rule that is gone; null if it was refused.")


@strawberry.type(description="What noticeReplay came to.")
class NoticeReplayPayload(Payload):
    notice: Notice | None = relation("notice", "The notice as it is now; null if it was refused.")


@strawberry.type
class RoutingQueries:
    routing_preview: RoutingPreview | None = resolved_by(
        routing.routing_preview, "Which channel would be asked for an order or a listing of yours, and why.", ONE_LIST
    )
    routing_rules: list[RoutingRule] = resolved_by(
        routing.routing_rules, "A merchant's rules, in the order in which they are tried.", at_most(50)
    )
    notices: list[Notice] = resolved_by(
        routing.all_notices, "The newest messages that channels sent, at most 100, the newest first.", at_most(100)
    )


@strawberry.type
class RoutingMutations:
    routing_rule_upsert: RoutingRuleUpsertPayload = changed_by(
        routing.routing_rule_upsert, "Make or change a rule, which counts from the next payment without a channel."
    )
    routing_rule_delete: RoutingRuleDeletePayload = changed_by(routing.routing_rule_delete, "Delete a rule.")
    notice_replay: NoticeReplayPayload = changed_by(
        routing.notice_replay, "Apply a kept message again: what it tells counts once, however often."
    )
