"""Every enum of the domain with a word on each member. Clients take members that they do not know."""

from hub.domain.catalogue import CourseKind, ListingState
from hub.domain.chain_log import Finality
from hub.domain.disputes import AnswerKind, AnswerState, DisputeAction, DisputeState
from hub.domain.entitlements import EntitlementState, GrantSource, GrantState, TokenState
from hub.domain.merchants import MerchantState
from hub.domain.orders import ChainStatus, ChargeStatus, FulfilmentStatus, OrderStatus, PaymentAction
from hub.domain.payments import AttemptState, CaptureMethod, IntentStatus
from hub.domain.people import UserState, ViewerKind
from hub.domain.reconciliation import BreakKind, BreakState
from resolvers.catalogue import CourseOrderField, OrderDirection
from schema.fields import described

described(
    ViewerKind,
    "In what capacity somebody asks.",
    {
        "ANONYMOUS": "Nobody has signed in.",
        "USER": "A person.",
        "PLATFORM": "A connected content site.",
        "OPERATOR": "Staff of this hub.",
    },
)
described(
    UserState,
    "Whether a person has proven to be there.",
    {
        "PROVISIONAL": "Made known by a platform; may hold rights, may not buy.",
        "ACTIVE": "Has signed in.",
    },
)
described(
    CourseKind,
    "What sort of paid knowledge work a course is.",
    {
        "COURSE": "A course of lessons.",
        "EBOOK": "A book.",
        "PERIODICAL": "Issues over a time.",
        "QA": "A question answered by a person.",
        "POST": "A single article or recording.",
    },
)
described(
    ListingState,
    "Whether a listing is on sale.",
    {"ACTIVE": "On sale.", "WITHDRAWN": "No longer offered; rights that were bought stay."},
)
described(
    MerchantState,
    "Whether a merchant may sell.",
    {"ACTIVE": "May sell.", "SUSPENDED": "May not sell for now."},
)
described(
    OrderStatus,
    "How far an order is.",
    {
        "AWAITING_PAYMENT": "Price and number are fixed, the money is awaited.",
        "PAID": "The whole price is here.",
        "EXPIRED": "Its deadline passed unpaid.",
        "CANCELED": "The buyer gave it up.",
        "PARTIALLY_REFUNDED": "It was paid, and part of the price was given back.",
        "REFUNDED": "It was paid, and all of it was given back.",
    },
)
described(
    ChargeStatus,
    "How what came compares with what was asked.",
    {
        "NONE": "Nothing has come.",
        "PARTIAL": "Less than the price has come.",
        "FULL": "The price has come.",
        "OVERCHARGED": "More than the price has come.",
        "LATE_PAYMENT": "Money came after the order was closed; it is kept in escrow.",
    },
)
described(
    FulfilmentStatus,
    "What became of the right that an order gives.",
    {"NONE": "Not given yet.", "FULFILLED": "Given.", "REVOKED": "Given and taken back."},
)
described(
    Finality,
    "How far a block, and what is in it, may be trusted.",
    {
        "PENDING": "In no block.",
        "SEEN": "In a block that the chain may yet take back.",
        "CONFIRMED": "Deep enough to count on, by the operator's rule.",
        "FINAL": "The chain never takes it back.",
    },
)
described(
    ChainStatus,
    "How far the record is on chain; access never waits for it.",
    {
        "NOT_RECORDED": "Not yet in a batch.",
        "QUEUED": "In a batch that is not yet sent.",
        "SUBMITTED": "Sent and in no confirmed block yet.",
        "CONFIRMED": "In a block, deep enough: there is a proof.",
        "FINALIZED": "In a block that the chain never takes back: the proof stays.",
        "REORGED": "The chain took its block back; it is sent again.",
        "FAILED": "The chain refused the batch; staff look at it.",
    },
)
described(
    PaymentAction,
    "What can be done about an order's money now.",
    {
        "PAY": "Call paymentCreate.",
        "FOLLOW_NEXT_ACTION": "Follow the attempt's nextAction.",
        "CANCEL": "Call orderCancel; refused while an attempt is live.",
        "CAPTURE": "The merchant can call paymentCapture.",
        "VOID": "The merchant can call paymentVoid.",
        "REFUND": "The merchant can give money back.",
    },
)
described(
    CaptureMethod,
    "When a channel takes the money.",
    {
        "AUTOMATIC": "At once.",
        "MANUAL": "It holds the money until the merchant takes it, all or part, or lets go of it.",
    },
)
described(
    IntentStatus,
    "How far the wish to be paid is.",
    {
        "REQUIRES_PAYMENT_METHOD": "A new attempt may be made.",
        "PROCESSING": "An attempt is under way, or it is unknown what became of it.",
        "REQUIRES_ACTION": "The buyer has to do something: see nextAction.",
        "REQUIRES_CAPTURE": "The money is set aside and not yet taken.",
        "SUCCEEDED": "Paid.",
        "FAILED": "No further attempt is allowed.",
        "CANCELED": "The order was canceled.",
        "EXPIRED": "The order's deadline passed.",
        "CONFLICTED": "Something else came than was asked; staff look at it.",
    },
)
described(
    AttemptState,
    "What is known of one try on one channel.",
    {
        "SUBMITTED": "Being sent.",
        "ACTION": "The buyer has to do something: see nextAction.",
        "PENDING": "The channel works on it.",
        "AUTHORIZED": "Set aside and not yet taken.",
        "CHARGED": "Taken.",
        "DECLINED": "The channel said no: see lastError.",
        "REJECTED": "The channel did not take the request: ours to mend.",
        "NOT_SENT": "Provably never reached the channel.",
        "UNKNOWN": "It is not known whether the money was taken; the hub keeps asking.",
        "VOIDED": "Closed before any money was taken.",
        "EXPIRED": "Its time ran out before any money was taken.",
    },
)
described(
    EntitlementState,
    "Whether a right stands.",
    {"ACTIVE": "It stands.", "SUSPENDED": "It rests for now.", "ENDED": "It has ended."},
)
described(
    TokenState,
    "How far the token of a right is, as the chain tells.",
    {
        "UNCLAIMED": "Nobody has claimed it, or the claim's block is not CONFIRMED.",
        "CLAIMED": "Its holder has it.",
        "BURNED": "It was taken off its wallet, after its right had ended.",
    },
)
described(
    GrantSource,
    "Where a right comes from.",
    {
        "PURCHASE": "It was bought.",
        "SUBSCRIPTION": "Part of a subscription.",
        "GIFT": "It was given.",
        "TRANSFER": "It was handed over by its former holder.",
        "IMPORT": "Brought along from a platform.",
        "PROMOTION": "Given by a promotion.",
    },
)
described(
    GrantState,
    "How far one source of a right is.",
    {
        "PENDING": "Not yet in force.",
        "ACTIVE": "In force.",
        "SUSPENDED": "Held back while a dispute is open.",
        "EXPIRED": "Its term is over.",
        "REVOKED": "Taken back; a refund or dispute that is reversed restores it.",
        "TRANSFERRED": "Handed over, for good.",
    },
)
described(
    DisputeState,
    "How far a dispute is. It only rises; the last four are its ends.",
    {
        "EARLY_WARNING": "The bank may ask for the money: nothing is held yet.",
        "NEEDS_RESPONSE": "The money is held, and evidence awaited until evidenceDueAt.",
        "UNDER_REVIEW": "The money is held, and the bank decides.",
        "WON": "Decided for the seller: the money was released.",
        "LOST": "Decided for the payer: the money is gone.",
        "ACCEPTED": "The seller gave in: the money is gone.",
        "PREVENTED": "Settled before it became one: the money was released.",
    },
)
described(
    DisputeAction,
    "What a merchant can do with a dispute.",
    {"SUBMIT_EVIDENCE": "disputeSubmitEvidence.", "ACCEPT": "disputeAccept."},
)
described(
    AnswerKind,
    "What a merchant said to a dispute.",
    {"EVIDENCE": "That the charge was right, and why.", "ACCEPT": "That the payer may have the money."},
)
described(
    AnswerState,
    "How far an answer to a dispute is.",
    {
        "SUBMITTED": "On its way, and sent again for as long as nobody knows.",
        "TAKEN": "The channel has it.",
        "REFUSED": "The channel did not take it: another one may be given.",
    },
)
described(
    BreakKind,
    "What differs.",
    {
        "AMOUNT": "Another amount than was asked.",
        "CURRENCY": "Another currency than was asked.",
        "STATUS": "A state that the channel's word does not fit.",
        "DUPLICATE": "The same thing paid twice.",
        "LATE_PAYMENT": "Money for a closed order.",
        "UNRESOLVED": "Unknown for more than a day.",
        "CHAIN": "The chain does not say what the hub recorded.",
        "MISSING_LOCALLY": "A channel moved money that nobody here has asked it to move.",
    },
)
described(BreakState, "How far a difference is.", {"OPEN": "Nobody has settled it."})
described(
    CourseOrderField,
    "What courses are sorted by.",
    {"CREATED_AT": "When the hub first knew them.", "TITLE": "Title, without regard to case."},
)
described(OrderDirection, "Which end of a list comes first.", {"ASC": "Smallest first.", "DESC": "Greatest first."})
