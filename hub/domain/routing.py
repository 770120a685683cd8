"""Which channel is asked (路由): merchants' rules as data, one pure choice, and why.

    score = weight × (success of late − cost), the two in parts of ten thousand

The greatest score of those that can take the payment is asked; of equal ones the first by code. Nothing is drawn by
chance, so whoever has the same numbers finds the same channel. Another channel may follow on the same order only with
proof that no money can move on the first one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hub.domain.money import Money
from hub.domain.payments import AttemptState, PaymentAttempt

BPS = 10_000
MAX_WEIGHT = 100
MAX_CHOICES = 20  # of one rule: more channels than any hub has
MAX_RULES = 50  # of one merchant: all are read at each choice
MAX_PRIORITY = 1_000
MAX_RULE_NAME = 64  # characters
# How a channel has done is read off its newest attempts, none older than this: an outage is seen within minutes, and
# forgotten within a day.
WINDOW = 200
WINDOW_US = 24 * 3600 * 1_000_000
# A channel that nobody has tried counts as one that succeeded in nine of ten tries: it gets its chance.
PRIOR_TRIES, PRIOR_BPS = 10, 9_000
# Channels that one order is tried on without the buyer's naming any.
FAILOVER_BUDGET = 3

SUCCEEDED = frozenset({AttemptState.CHARGED, AttemptState.AUTHORIZED})
# What speaks against a channel; a buyer who went away, or still sits before the pay page, does not.
FAILED = frozenset({AttemptState.DECLINED, AttemptState.REJECTED, AttemptState.NOT_SENT, AttemptState.UNKNOWN})
# Proof that nothing was taken and nothing can be: the hub goes on by itself.
PROVEN_UNTAKEN = frozenset({AttemptState.NOT_SENT, AttemptState.REJECTED})
# Ended, by the channel's own word: another may follow, as the buyer's next try.
ENDED_UNPAID = PROVEN_UNTAKEN | {AttemptState.VOIDED, AttemptState.EXPIRED, AttemptState.DECLINED}


NOTHING_NEW = "its operator lets it take nothing new"


class StandingState(StrEnum):
    """What an operator lets a channel do. Whatever it is: open payments are asked about, and notices are taken."""

    RUNNING = "RUNNING"
    DRAINING = "DRAINING"  # nothing new; what is open goes on to its end
    STOPPED = "STOPPED"  # nothing new, and no held money is taken either


@dataclass(frozen=True, slots=True)
class Standing:
    """A channel's state as an operator has set it; one that nobody has set is RUNNING."""

    code: str
    state: StandingState
    reason: str
    changed_at_us: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One channel in a rule: how much it is preferred (1 to 100), and what it costs, in parts of ten thousand."""

    channel: str
    weight: int
    cost_bps: int = 0


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """For which payments of a merchant which channels are asked. The fitting rule of the least priority counts."""

    id: str
    merchant_id: str
    platform_id: str
    name: str
    priority: int
    currency: str | None  # None: any
    minimum_minor: int | None  # both ends included
    maximum_minor: int | None
    choices: tuple[Choice, ...]
    version: int
    created_at_us: int
    changed_at_us: int

    def fits(self, money: Money) -> bool:
        return (
            self.currency in (None, money.currency)
            and (self.minimum_minor is None or self.minimum_minor <= money.amount_minor)
            and (self.maximum_minor is None or money.amount_minor <= self.maximum_minor)
        )


@dataclass(frozen=True, slots=True)
class Done:
    """How a channel's newest attempts have ended."""

    tried: int = 0
    succeeded: int = 0

    @property
    def success_bps(self) -> int:
        return (self.succeeded * BPS + PRIOR_TRIES * PRIOR_BPS) // (self.tried + PRIOR_TRIES)


@dataclass(frozen=True, slots=True)
class Offer:
    """A channel as it stands now: `refusal` None if it can take the payment at all, else why it cannot."""

    channel: str
    refusal: str | None
    done: Done


@dataclass(frozen=True, slots=True)
class Candidate:
    """One channel in a choice. `reasons` is empty for one that can be asked."""

    channel: str
    reasons: tuple[str, ...]
    weight: int
    cost_bps: int
    done: Done
    was_declined: bool = False  # on this order: it comes after all others that can be asked

    @property
    def is_in(self) -> bool:
        return not self.reasons

    @property
    def score(self) -> int:
        """What it is worth; 0 for one that is out."""
        return self.weight * max(self.done.success_bps - self.cost_bps, 0) if self.is_in else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All channels of the hub, the best first; `rule` None: no rule of the merchant fits, all count alike."""

    rule: RoutingRule | None
    candidates: tuple[Candidate, ...]

    @property
    def chosen(self) -> str | None:
        best = self.candidates[0] if self.candidates else None
        return best.channel if best is not None and best.is_in else None


def planned(
    money: Money, offers: Iterable[Offer], rules: Sequence[RoutingRule], spent: Mapping[str, AttemptState]
) -> Plan:
    """The choice for a payment. `spent`: channels that this order was tried on already, and how that ended."""
    fitting = sorted((rule for rule in rules if rule.fits(money)), key=lambda rule: (rule.priority, rule.name))
    rule = fitting[0] if fitting else None
    candidates = [_candidate(offer, rule, spent.get(offer.channel)) for offer in offers]
    candidates.sort(key=lambda one: (not one.is_in, one.was_declined, -one.score, one.channel))
    return Plan(rule, tuple(candidates))


def _candidate(offer: Offer, rule: RoutingRule | None, spent: AttemptState | None) -> Candidate:
    named = {choice.channel: choice for choice in rule.choices} if rule is not None else {}
    choice = named.get(offer.channel) or Choice(offer.channel, 1)
    reasons = []
    if offer.refusal is not None:
        reasons.append(offer.refusal)
    if rule is not None and offer.channel not in named:
        reasons.append("the merchant's rule does not name it")  # nor we the rule: buyers are told this too
    if spent in PROVEN_UNTAKEN:
        reasons.append(f"this order was tried there already: {spent}")
    is_declined = spent is AttemptState.DECLINED
    return Candidate(offer.channel, tuple(reasons), choice.weight, choice.cost_bps, offer.done, is_declined)


def why_no_failover(attempts: Sequence[PaymentAttempt]) -> str | None:
    """Why the hub may not choose another channel for an order after these attempts; None: it may.

    Only with proof that no money can move: a call that never arrived or was refused before it was done, an end that
    the channel confirmed, or a soft decline. A hard one is the payer's to look at, and so is what is still open.
    """
    for attempt in attempts:
        if attempt.state not in ENDED_UNPAID:
            return f"attempt {attempt.number} is {attempt.state}: it may still take the money"
        is_declined = attempt.state is AttemptState.DECLINED or attempt.decline is not None  # and voided since
        if is_declined and attempt.decline != "soft":
            return f"attempt {attempt.number} was declined for good: no other channel is asked in its stead"
    if len(attempts) >= FAILOVER_BUDGET:
        return f"the hub has tried {len(attempts)} times: name a channel to go on"
    return None


def may_go_on(attempt: PaymentAttempt) -> bool:
    """Whether the hub may ask the next channel at once, without the buyer: only where nothing was done at all."""
    return attempt.state in PROVEN_UNTAKEN
