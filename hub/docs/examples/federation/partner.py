"""A partner's subgraph: what a reading room knows of courses, rights and people whose ids are the hub's.

    python partner.py [PORT]      serve it at http://127.0.0.1:4001/graphql
    python partner.py --sdl       print it for composition

It asks the hub for nothing and keeps no copy: the gateway brings what `@requires` names.
"""

import sys
from typing import Annotated

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry import federation
from strawberry.asgi import GraphQL

PORT = 4001


@federation.type(keys=["id"], description="A course, as our shelves know it.")
class Course:
    id: strawberry.ID
    title: str = federation.field(external=True, default="", description="The hub's; brought by the gateway.")

    @federation.field(requires=["title"], description="Where it stands: made of the hub's title.")
    def shelf_mark(self) -> str:
        return "-".join(self.title.upper().split()[:2])

    @federation.field(description="Readers who have it open now.")
    def readers(self) -> int:
        return len(self.id)

    @federation.field(inaccessible=True, description="What we think of it: for our own services.")
    def internal_score(self) -> int:
        return 7

    @classmethod
    def resolve_reference(cls, id: strawberry.ID, title: str = "") -> "Course":
        return cls(id=id, title=title)


@federation.type(keys=["id"], description="A right, as our doors know it.")
class Entitlement:
    id: strawberry.ID

    @federation.field(description="The seat that is kept for it.")
    def seat(self) -> str:
        return f"seat of {self.id}"

    @classmethod
    def resolve_reference(cls, id: strawberry.ID) -> "Entitlement":
        return cls(id=id)


@federation.type(keys=["id"], description="A person, as our readers' desk knows them.")
class User:
    id: strawberry.ID

    @federation.field(description="Books that they have borrowed.")
    def borrowed(self) -> int:
        return 3

    @classmethod
    def resolve_reference(cls, id: strawberry.ID) -> "User":
        return cls(id=id)


@strawberry.type(description="What the reading room answers itself.")
class Query:
    @strawberry.field(description="A course that the desk recommends, by the hub's id.")
    def recommended(
        self, id: Annotated[strawberry.ID, strawberry.argument(description="The hub's id of the course.")]
    ) -> Course:
        return Course(id=id)

    @strawberry.field(description="The right that a seat is kept for: who may not see it at the hub gets null.")
    def seat(
        self, id: Annotated[strawberry.ID, strawberry.argument(description="The hub's id of the right.")]
    ) -> Entitlement | None:
        return Entitlement(id=id)


schema = federation.Schema(query=Query, types=[Course, Entitlement, User], federation_version="2.9")


def main() -> None:
    if "--sdl" in sys.argv:
        sys.stdout.write(f"{schema.as_str()}\n")
        return
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    app = Starlette(routes=[Route("/graphql", GraphQL(schema, graphql_ide=None))])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
