"""Expected noes as types: one for each thing that a client can do differently, with what it needs for that."""

from enum import StrEnum

import strawberry

from hub.domain import refusals
from hub.domain.money import Money as DomainMoney
from schema.fields import described, plain, represents, resolved_by
from schema.money import Money


class UserErrorCode(StrEnum):
    """The codes of all refusals."""

    INVALID_INPUT = "INVALID_INPUT"
    NOT_FOUND = "NOT_FOUND"
    NOT_PURCHASABLE = "NOT_PURCHASABLE"
    PRICE_CHANGED = "PRICE_CHANGED"
    ALREADY_ENTITLED = "ALREADY_ENTITLED"
    STATE_CONFLICT = "STATE_CONFLICT"
    ATTEMPT_IS_LIVE = "ATTEMPT_IS_LIVE"
    CHANNEL_UNAVAILABLE = "CHANNEL_UNAVAILABLE"
    DISPUTE_ELSEWHERE = "DISPUTE_ELSEWHERE"
    ANSWER_REFUSED = "ANSWER_REFUSED"
    NOT_REFUNDABLE = "NOT_REFUNDABLE"
    REFUND_EXCEEDS = "REFUND_EXCEEDS"
    DISPUTE_OPEN = "DISPUTE_OPEN"
    PROVISIONAL_USER = "PROVISIONAL_USER"
    IDENTITY_TAKEN = "IDENTITY_TAKEN"


described(
    UserErrorCode,
    "Why something was refused.",
    {
        "INVALID_INPUT": "Correct the field that `path` names.",
        "NOT_FOUND": "There is no such object, or it is not yours.",
        "NOT_PURCHASABLE": "This listing cannot be bought here.",
        "PRICE_CHANGED": "Show the buyer the current price and ask again.",
        "ALREADY_ENTITLED": "The buyer has the course: open it.",
        "STATE_CONFLICT": "The object's state does not allow it: see allowedActions.",
        "ATTEMPT_IS_LIVE": "Follow or await the attempt that is under way.",
        "CHANNEL_UNAVAILABLE": "Choose another channel.",
        "DISPUTE_ELSEWHERE": "Answer the dispute in the provider's own pages.",
        "ANSWER_REFUSED": "Correct the answer to the dispute and give it anew.",
        "NOT_REFUNDABLE": "There is no charge to give back.",
        "REFUND_EXCEEDS": "Ask for no more than `left`, and for more than nothing.",
        "DISPUTE_OPEN": "Wait for the end of the dispute.",
        "PROVISIONAL_USER": "The buyer has to sign in first.",
        "IDENTITY_TAKEN": "The account or wallet belongs to another user.",
    },
)


@strawberry.interface(description="An expected no: match by type, show `message`.")
class UserError:
    message: str = plain("What, where, and what to do; English.")
    path: list[str] = plain("The input field that it is about, outermost first; may be empty.")
    code: UserErrorCode = plain("The same as the type, for clients that match by code.")


@represents(refusals.InvalidInput)
@strawberry.type(description="A field cannot be taken as it is.")
class InvalidInputError(UserError):
    pass


@represents(refusals.NotFound)
@strawberry.type(description="There is no such object, or it is not yours: which of the two is not told.")
class NotFoundError(UserError):
    pass


@represents(refusals.NotPurchasable)
@strawberry.type(description="No known price, withdrawn, or its merchant may not sell.")
class NotPurchasableError(UserError):
    pass


def _current(root: "strawberry.Parent[refusals.PriceChanged]") -> DomainMoney:
    return DomainMoney(root.current_minor, root.currency)


@represents(refusals.PriceChanged)
@strawberry.type(description="The price is not what was expected; nothing was sent anywhere.")
class PriceChangedError(UserError):
    current: Money = resolved_by(_current, "The price of now.")


@represents(refusals.AlreadyEntitled)
@strawberry.type(description="The buyer has this course already.")
class AlreadyEntitledError(UserError):
    entitlement_id: strawberry.ID = plain("Their right to it.")


@represents(refusals.StateConflict)
@strawberry.type(description="The object's state does not allow this.")
class StateConflictError(UserError):
    current: str = plain("The state it is in.", name="currentStatus")


def _attempt_id(root: "strawberry.Parent[refusals.AttemptIsLive]") -> str | None:
    return root.attempt_id or None


@represents(refusals.AttemptIsLive)
@strawberry.type(description="Another attempt of the order may still take the money.")
class AttemptIsLiveError(UserError):
    payment_attempt_id: strawberry.ID | None = resolved_by(_attempt_id, "That attempt, where it is known.")


@represents(refusals.ChannelUnavailable)
@strawberry.type(description="This channel cannot take this payment.")
class ChannelUnavailableError(UserError):
    channel: str = plain("Its code.")


@represents(refusals.DisputeElsewhere)
@strawberry.type(description="The channel takes no answer to a dispute by its API: use the provider's own pages.")
class DisputeElsewhereError(UserError):
    channel: str = plain("Its code.")
    channel_ref: str = plain("What the provider knows the dispute by.", name="channelReference")


@represents(refusals.AnswerRefused)
@strawberry.type(description="The channel did not take this answer to a dispute.")
class AnswerRefusedError(UserError):
    channel: str = plain("Its code.")
    provider_code: str | None = plain("The channel's own word for why, where it gave one.")


@represents(refusals.NotRefundable)
@strawberry.type(description="There is no charge to give back, or it has had all the refunds that it may have.")
class NotRefundableError(UserError):
    pass


def _left(root: "strawberry.Parent[refusals.RefundExceeds]") -> DomainMoney:
    return DomainMoney(root.left_minor, root.currency)


@represents(refusals.RefundExceeds)
@strawberry.type(description="This is nothing, or more than is left of any one charge.")
class RefundExceedsError(UserError):
    left: Money = resolved_by(_left, "What can be given back of that charge.")


@represents(refusals.DisputeOpen)
@strawberry.type(description="The payer's bank is asking for this money.")
class DisputeOpenError(UserError):
    dispute_id: strawberry.ID = plain("That dispute.")


@represents(refusals.ProvisionalUser)
@strawberry.type(description="The user was made known by a platform and has not signed in yet.")
class ProvisionalUserError(UserError):
    pass


@represents(refusals.IdentityTaken)
@strawberry.type(description="The platform's account, or the wallet, belongs to another user.")
class IdentityTakenError(UserError):
    pass


USER_ERRORS = (
    InvalidInputError, NotFoundError, NotPurchasableError, PriceChangedError, AlreadyEntitledError, StateConflictError,
    AttemptIsLiveError, ChannelUnavailableError, NotRefundableError,
    RefundExceedsError, DisputeOpenError, ProvisionalUserError, IdentityTakenError,
    DisputeElsewhereError, AnswerRefusedError,
)  # fmt: skip
