"""What every mutation's payload has beside its object."""

import strawberry

from resolvers import payloads
from schema.cost import FREE
from schema.errors import UserError
from schema.fields import plain, resolved_by


@strawberry.type
class Payload:
    user_errors: list[UserError] = resolved_by(payloads.user_errors, "Why it was refused; empty if it was not.", FREE)
    is_replay: bool = plain("Whether this is the answer to an earlier request with the same key.", name="replayed")
