"""Rehearsals with the sandbox: for operators, where its channel is connected with its control key."""

import strawberry

from hub.domain.disputes import DisputeState
from hub.domain.rehearsals import SandboxDispute as DomainDispute
from hub.domain.rehearsals import SandboxFault as DomainFault
from hub.domain.rehearsals import SandboxFaultKind, SandboxOperation
from resolvers import sandbox
from resolvers.scalars import Instant
from schema.cost import at_most
from schema.fields import changed_by, described, plain, relation, represents
from schema.money import Money
from schema.payloads import Payload

described(
    SandboxOperation,
    "What a fault of the sandbox strikes.",
    {
        "CREATE": "Asking for the money.",
        "QUERY": "Asking what became of it.",
        "CAPTURE": "Taking held money.",
        "VOID": "Closing what is unpaid.",
        "REFUND": "Asking to give back.",
        "QUERY_REFUND": "Asking what became of that.",
        "ANSWER_DISPUTE": "Answering a dispute.",
        "STATEMENT": "Getting a day's statement.",
        "NOTICE": "A notice's delivery.",
        "ANY": "Every call; no notice.",
    },
)
described(
    SandboxFaultKind,
    "What goes wrong at the sandbox. The first eleven are of calls; FORGET is of CREATE and REFUND alone.",
    {
        "DROP_BEFORE": "The connection is cut, and nothing was done.",
        "DROP_AFTER_COMMIT": "The connection is cut after it was done.",
        "LATENCY_MS": "It is done, and answered late.",
        "HTTP_500_BEFORE": "An answer 500, and nothing was done.",
        "HTTP_500_AFTER": "An answer 500 after it was done.",
        "UNAVAILABLE": "An answer 503, and nothing was done.",
        "RATE_LIMIT": "An answer 429, and nothing was done.",
        "BAD_RESPONSE_SIGNATURE": "It is done, and the answer signed by somebody else.",
        "FORGET": "It is done and answered well, and then was never seen.",
        "HTML": "It is done, and answered by a page.",
        "TRUNCATE": "It is done, and half of the answer comes.",
        "NEVER": "Of notices: it never comes.",
        "LATE_S": "Of notices: it comes late.",
        "DUPLICATE_N": "Of notices: it comes several times at once.",
        "OUT_OF_ORDER": "Of notices: it comes after a later one of its payment, or after 30 seconds.",
        "FORGED": "Of notices: signed with another secret; the right one follows.",
        "STALE": "Of notices: dated ten minutes ago; the right one follows.",
        "TAMPER_AMOUNT": "Of notices: one minor unit more, and well signed.",
        "STATEMENT_OMIT": "Of statements: a line is missing.",
        "STATEMENT_ALTER": "Of statements: a line has one minor unit more.",
        "STATEMENT_DUPLICATE": "Of statements: a line is there twice.",
    },
)


@represents(DomainFault)
@strawberry.type(description="A fault that is armed at the sandbox.")
class SandboxFault:
    operation: SandboxOperation = plain("What it strikes.")
    kind: SandboxFaultKind = plain("What goes wrong.", name="fault")
    value: int | None = plain("Milliseconds, seconds, copies or a line, where it takes one.")
    reference: str | None = plain("Of which payment; null: of any.")
    times: int | None = plain("How many it still strikes; null: until it is cleared.")
    chance_percent: int = plain("How many of a hundred that it could strike.")
    seed: str = plain("What chance is drawn from.")


@represents(sandbox.ArmedView)
@strawberry.type(description="What goes wrong at the sandbox until it has struck or is cleared.")
class SandboxArmed:
    faults: list[SandboxFault] = plain("In the order in which they strike; at most 1000.", costs=at_most(1000))


@represents(DomainDispute)
@strawberry.type(description="A dispute as the sandbox has it.")
class SandboxDispute:
    channel_ref: str = plain("What the sandbox knows it by.", name="channelReference")
    state: DisputeState = plain("How far it is.")
    amount: Money = plain("What the payer's bank asks for.")
    evidence_due_at_us: Instant | None = plain("Until when evidence is taken.", name="evidenceDueAt")


@strawberry.type(description="What sandboxFaultSet came to.")
class SandboxFaultSetPayload(Payload):
    armed: SandboxArmed | None = relation("armed", "All that are armed now; null if it was refused.")


@strawberry.type(description="What sandboxFaultsClear came to.")
class SandboxFaultsClearPayload(Payload):
    armed: SandboxArmed | None = relation("armed", "What is still armed; null if it was refused.")


@strawberry.type(description="What sandboxDisputeMove came to.")
class SandboxDisputeMovePayload(Payload):
    dispute: SandboxDispute | None = relation("dispute", "The dispute; null if it was refused.")


@strawberry.type(description="What sandboxClockAdvance came to.")
class SandboxClockAdvancePayload(Payload):
    now: Instant | None = relation("now", "The sandbox's time; null if it was refused.")


@strawberry.type
class SandboxMutations:
    sandbox_fault_set: SandboxFaultSetPayload = changed_by(
        sandbox.sandbox_fault_set, "Let the sandbox's next calls, notices or statement go wrong; for operators."
    )
    sandbox_faults_clear: SandboxFaultsClearPayload = changed_by(
        sandbox.sandbox_faults_clear, "Let nothing go wrong any more; for operators."
    )
    sandbox_dispute_move: SandboxDisputeMovePayload = changed_by(
        sandbox.sandbox_dispute_move, "Open the dispute of a sandbox charge, or move it on; for operators."
    )
    sandbox_clock_advance: SandboxClockAdvancePayload = changed_by(
        sandbox.sandbox_clock_advance, "Let the sandbox's days pass: what falls due is done; for operators."
    )
