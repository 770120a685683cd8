"""The limits of a document, each with why, and how one beyond them is refused."""

from dataclasses import dataclass

from graphql import GraphQLError

from hub.entry.pricing import MAX_PAGE

MAX_TOKENS = 2000  # the parser stops here: time and memory of what follows are bounded by it
MAX_DEPTH = 12  # fields under each other; the deepest of the tour's documents has 9
MAX_NESTING = 64  # selections in each other, however they are nested: whoever walks them calls itself as deep
MAX_FIELDS = 600  # once fragments are put in; validation takes 20 to 100 µs for each, right or wrong
MAX_ROOTS = 20  # fields of the operation itself
MAX_MUTATIONS = 4  # one after the other, each with its transactions
MAX_ALIASES = 50
MAX_DIRECTIVES = 50
MAX_DIRECTIVES_HERE = 4  # on one field, fragment or operation
# Of a deferred fragment, beside its fields: each part takes graphql-core about 80 µs, all in one go, so that no answer
# that may be asked for holds the loop for more than 50 ms.
DEFERRED = 25
MAX_LABEL = 100  # characters of a deferred fragment's label, which each of its parts repeats
MAX_SAME_KEY = 10  # fields of one response key written in one place
MAX_COMPARED = 2500  # pairs of selections of one response key, which validation compares one by one
MAX_OPERATIONS = 20  # in one document, of which one is run
MAX_FRAGMENTS = 50  # validation takes time with their square: 50 took 11 ms
MAX_SPREADS = 100
MAX_MERGED = 4000  # response keys that spreads bring along, each spread anew
MAX_OF_TYPE = 9  # how deep GraphiQL unwraps a type
MAX_INTROSPECTION_LISTS = 1  # lists of fields within lists of fields grow with the power of the schema
MAX_VARIABLES = 200  # defined by an operation: each is looked for in every use
MAX_ENTRIES = 50  # of one object that is written out, and arguments of a field: mistakes in it print it whole
MAX_ITEMS = 200  # of one list that is written out


class LimitRefusal(GraphQLError):
    """A no to a document or to its caller; `reason` is the word that it is counted under."""

    def __init__(self, message: str, reason: str, code: str = "COST_LIMIT_EXCEEDED", **more: int) -> None:
        super().__init__(message, extensions={"code": code, **more})
        self.reason = reason


def too_much(message: str, reason: str = "width") -> LimitRefusal:
    """The refusal of a document that is beyond a limit."""
    return LimitRefusal(message, reason)


@dataclass(frozen=True, slots=True)
class Page:
    """A page size that a document asks for: written there, or a variable with the default that it may have."""

    field: str
    argument: str
    value: int | None
    variable: str | None


def refuse_page(page: Page, size: object) -> None:
    """Raises GraphQLError for a page size beyond the limit."""
    if isinstance(size, int) and size > MAX_PAGE:
        raise LimitRefusal(
            f"{page.field}({page.argument}:) is at most {MAX_PAGE}, not {size}: ask for more by its cursor",
            "page",
            code="BAD_USER_INPUT",
        )
