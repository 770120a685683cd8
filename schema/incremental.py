"""@defer as clients see it: in the introspection and in their SDL, and not in what gateways compose.

@stream is not there: the rows of a page are read at once, so none of them could come earlier than the others.
"""

from graphql import GraphQLDeferDirective, GraphQLDirective
from strawberry.schema_directive import StrawberrySchemaDirective

_NOT_PRINTED = StrawberrySchemaDirective("defer", "defer", [], [], print_definition=False)

DEFER = GraphQLDirective(
    **GraphQLDeferDirective.to_kwargs()
    | {
        "description": "Lets this fragment come later than the rest, in a part of its own. Heeded for queries and "
        "mutations over HTTP whose `Accept` takes multipart/mixed; without it the fragment comes with the rest. "
        "Each costs 25 more.",
        "extensions": {"strawberry-definition": _NOT_PRINTED},
    }
)
