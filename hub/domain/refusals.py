"""Every expected no, as a value: what happened, where, and what the caller can do.

    Refusal
    ├── InvalidInput          a field cannot be taken as it is
    ├── NotFound              there is no such object, or it is not yours
    ├── NotPurchasable        the listing has no known price, is withdrawn, or its merchant is suspended
    ├── PriceChanged          the price is no longer what you expected
    ├── AlreadyEntitled       you have this course already: open it
    ├── StateConflict         the object is in a state that does not allow this
    ├── AttemptIsLive         another attempt may still take the money: finish or cancel it first
    ├── ChannelUnavailable    this channel cannot take this payment
    ├── NotRefundable         there is no charge to give back, or it has had all the refunds it may have
    ├── RefundExceeds         this is more than is left of the charge
    ├── DisputeOpen           the payer's bank is asking for this money: wait for its end
    ├── DisputeElsewhere      the channel takes no answers by its API: answer in its own pages
    ├── AnswerRefused         the channel did not take this answer to a dispute
    ├── ProvisionalUser       this user has not signed in yet and cannot spend
    └── IdentityTaken         this account or wallet belongs to another user

One type per thing that the caller can do differently. Faults are exceptions and stand where they are raised.
"""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Refusal:
    """The root: `message` says what, where and what to do; `path` names the input field, outermost first."""

    code: ClassVar[str] = "REFUSED"

    @property
    def message(self) -> str:
        return "refused"

    @property
    def path(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class InvalidInput(Refusal):
    code: ClassVar[str] = "INVALID_INPUT"
    field: str
    reason: str

    @property
    def message(self) -> str:
        return self.reason

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", *self.field.split("."))


@dataclass(frozen=True, slots=True)
class NotFound(Refusal):
    code: ClassVar[str] = "NOT_FOUND"
    field: str

    @property
    def message(self) -> str:
        return f"{self.field}: there is no such object, or it is not yours"

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", self.field)


@dataclass(frozen=True, slots=True)
class NotPurchasable(Refusal):
    code: ClassVar[str] = "NOT_PURCHASABLE"
    reason: str

    @property
    def message(self) -> str:
        return f"this listing cannot be bought: {self.reason}"

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", "listingId")


@dataclass(frozen=True, slots=True)
class PriceChanged(Refusal):
    code: ClassVar[str] = "PRICE_CHANGED"
    current_minor: int
    currency: str

    @property
    def message(self) -> str:
        return (
            f"the price is {self.current_minor} minor units of {self.currency}, not what you expected: "
            "show it to the buyer and try again with it"
        )

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", "expectedAmount")


@dataclass(frozen=True, slots=True)
class AlreadyEntitled(Refusal):
    code: ClassVar[str] = "ALREADY_ENTITLED"
    entitlement_id: str

    @property
    def message(self) -> str:
        return "you have this course already: open it instead of buying it again"

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", "listingId")


@dataclass(frozen=True, slots=True)
class StateConflict(Refusal):
    code: ClassVar[str] = "STATE_CONFLICT"
    current: str
    event: str

    @property
    def message(self) -> str:
        return f"{self.event} is not possible while the state is {self.current}: see allowedActions"


@dataclass(frozen=True, slots=True)
class AttemptIsLive(Refusal):
    code: ClassVar[str] = "ATTEMPT_IS_LIVE"
    attempt_id: str = field(default="")

    @property
    def message(self) -> str:
        return "another attempt of this order may still take the money: follow its next action, or cancel the order"


@dataclass(frozen=True, slots=True)
class ChannelUnavailable(Refusal):
    code: ClassVar[str] = "CHANNEL_UNAVAILABLE"
    channel: str
    reason: str

    @property
    def message(self) -> str:
        which = f"channel {self.channel!r} cannot" if self.channel else "no channel can"
        return f"{which} take this payment: {self.reason}; see `channels`"

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", "channel")


@dataclass(frozen=True, slots=True)
class NotRefundable(Refusal):
    code: ClassVar[str] = "NOT_REFUNDABLE"
    reason: str

    @property
    def message(self) -> str:
        return f"this order cannot be refunded: {self.reason}"

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", "orderId")


@dataclass(frozen=True, slots=True)
class RefundExceeds(Refusal):
    code: ClassVar[str] = "REFUND_EXCEEDS"
    left_minor: int
    currency: str

    @property
    def message(self) -> str:
        return (
            f"{self.left_minor} minor units of {self.currency} can be given back of one charge of this order: "
            "ask for that much at most, and for more than none"
        )

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", "amount")


@dataclass(frozen=True, slots=True)
class DisputeOpen(Refusal):
    code: ClassVar[str] = "DISPUTE_OPEN"
    dispute_id: str

    @property
    def message(self) -> str:
        return "the payer's bank is asking for this money: it is given back, or not, by the end of that dispute"


@dataclass(frozen=True, slots=True)
class DisputeElsewhere(Refusal):
    code: ClassVar[str] = "DISPUTE_ELSEWHERE"
    channel: str
    channel_ref: str

    @property
    def message(self) -> str:
        return (
            f"channel {self.channel!r} takes no answer to a dispute by its API: answer {self.channel_ref} in the "
            "provider's own pages for merchants, before the deadline"
        )

    @property
    def path(self) -> tuple[str, ...]:
        return ("input", "disputeId")


@dataclass(frozen=True, slots=True)
class AnswerRefused(Refusal):
    code: ClassVar[str] = "ANSWER_REFUSED"
    channel: str
    provider_code: str | None

    @property
    def message(self) -> str:
        said = f": {self.provider_code}" if self.provider_code else ""
        return f"channel {self.channel!r} did not take this answer{said}; correct it and answer anew"


@dataclass(frozen=True, slots=True)
class ProvisionalUser(Refusal):
    code: ClassVar[str] = "PROVISIONAL_USER"

    @property
    def message(self) -> str:
        return "this user was created by a platform and has not signed in yet: sign in before you buy"


@dataclass(frozen=True, slots=True)
class IdentityTaken(Refusal):
    code: ClassVar[str] = "IDENTITY_TAKEN"

    @property
    def message(self) -> str:
        return "this account or wallet is linked to another user: only they can undo that, or both of you together"


class Refused(Exception):
    """Carries a Refusal through inner calls to the flow's edge. Never returned from a resolver: graphql-core raises
    any returned exception."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
