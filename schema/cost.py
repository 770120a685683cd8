"""What a field costs, as the SDL tells it with @cost and @listSize; the entry adds it up before anything runs.

One is an object of the answer, and no less than a row that is read for it. Fields without a word here are 0 for leaves,
1 for objects, 10 for mutations, and for lists their size times that. Free is what comes with its parent's row: what is
joined to it, and values such as Money. Some leaves cost, as rows must be read to tell them.
"""

import inspect
from collections.abc import Callable

from strawberry import UNSET  # and not None: composition refuses a null
from strawberry.federation.schema_directives import Cost, ListSize

FREE = Cost(weight=0)
COUNT = Cost(weight=10)  # of a whole list: one row, and a look at each that it counts
PART_OF_THE_LOG = Cost(weight=2)  # beside its events: where the log stands
ASKED_OF_THE_CHAIN = Cost(weight=20)  # a few rows, and perhaps a call to another machine
ONE_LIST = Cost(weight=100)  # a leaf that a whole list of rows tells
ONE_TREE = Cost(weight=1024)  # a proof is worked out from all leaves of its batch

ATTEMPT = "attempt"  # metadata: a try at money or at a credential, of which each alias is one
_PAGE_ARGUMENTS = ("first", "last")


def at_most(size: int) -> ListSize:
    """A list whose size no argument tells."""
    return ListSize(
        assumed_size=size, slicing_arguments=UNSET, sized_fields=UNSET, require_one_slicing_argument=False
    )  # fmt: skip


def page_of(resolver: Callable[..., object]) -> list[ListSize]:
    """What is to be said of a field with this resolver: that it is a connection, if it takes page sizes."""
    slicing = [name for name in inspect.signature(resolver).parameters if name in _PAGE_ARGUMENTS]
    if not slicing:
        return []
    return [ListSize(assumed_size=UNSET, slicing_arguments=slicing, sized_fields=["nodes", "edges"])]
