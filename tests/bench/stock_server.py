"""A program: the same reads, as Strawberry's and SQLAlchemy's documentation advise to write them.

HUB_PORT=… python -m tests.bench.stock_server DATABASE_URL

Types with resolvers, a DataLoader for every relation, an async session for each query (one session does not run two at
a time, and resolvers do), `strawberry.asgi`. Nothing is checked and nobody is refused: what it leaves out only makes it
faster.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import strawberry
import uvicorn
from sqlalchemy import BigInteger, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader

Sessions = async_sessionmaker[AsyncSession]


# ---- the tables, as its models ---------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class PlatformModel(Base):
    __tablename__ = "platform"
    id: Mapped[str] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]


class MerchantModel(Base):
    __tablename__ = "merchant"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class CourseModel(Base):
    __tablename__ = "course"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    title: Mapped[str]
    language: Mapped[str]
    level: Mapped[str]


class ListingModel(Base):
    __tablename__ = "listing"
    id: Mapped[str] = mapped_column(primary_key=True)
    platform_id: Mapped[str]
    course_id: Mapped[str]
    merchant_id: Mapped[str]
    external_id: Mapped[str]
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    created_at_us: Mapped[int] = mapped_column(BigInteger)


class OrderModel(Base):
    __tablename__ = "order_"
    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]
    user_id: Mapped[str]
    listing_id: Mapped[str]
    course_id: Mapped[str]
    total_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    status: Mapped[str]
    created_at_us: Mapped[int] = mapped_column(BigInteger)


class UserModel(Base):
    __tablename__ = "user_"
    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]


# ---- loaders, anew for each request ----------------------------------------------------------------------------------


def one_of(sessions: Sessions, model: Any) -> DataLoader[str, Any]:
    """By primary key."""

    async def load(keys: list[str]) -> list[Any]:
        async with sessions() as session:
            rows = {row.id: row for row in await session.scalars(select(model).where(model.id.in_(keys)))}
        return [rows.get(key) for key in keys]

    return DataLoader(load_fn=load)


def listings_of(sessions: Sessions) -> DataLoader[str, list[ListingModel]]:
    """By course, the oldest first, as ids are made in order."""

    async def load(keys: list[str]) -> Sequence[list[ListingModel]]:
        found: dict[str, list[ListingModel]] = {key: [] for key in keys}
        wanted = select(ListingModel).where(ListingModel.course_id.in_(keys))
        async with sessions() as session:
            for row in await session.scalars(wanted.order_by(ListingModel.id)):
                found[row.course_id].append(row)
        return [found[key] for key in keys]

    return DataLoader(load_fn=load)


# ---- types -----------------------------------------------------------------------------------------------------------

Info = strawberry.Info[dict[str, Any], None]


@strawberry.type
class Money:
    amount_minor: str
    currency: str


@strawberry.type
class Platform:
    id: strawberry.ID
    slug: str
    name: str


@strawberry.type
class Merchant:
    id: strawberry.ID
    name: str


@strawberry.type
class Listing:
    id: strawberry.ID
    external_id: str
    row: strawberry.Private[ListingModel]

    @strawberry.field
    def price(self) -> Money | None:
        if self.row.price_minor is None or self.row.currency is None:
            return None
        return Money(amount_minor=str(self.row.price_minor), currency=self.row.currency)

    @strawberry.field
    async def platform(self, info: Info) -> Platform:
        row = await info.context["platforms"].load(self.row.platform_id)
        return Platform(id=row.id, slug=row.slug, name=row.name)

    @strawberry.field
    async def merchant(self, info: Info) -> Merchant:
        row = await info.context["merchants"].load(self.row.merchant_id)
        return Merchant(id=row.id, name=row.name)


@strawberry.type
class Course:
    id: strawberry.ID
    kind: str
    title: str
    language: str
    level: str

    @classmethod
    def of(cls, row: CourseModel) -> "Course":
        return cls(id=strawberry.ID(row.id), kind=row.kind, title=row.title, language=row.language, level=row.level)

    @strawberry.field
    async def listings(self, info: Info) -> list[Listing]:
        rows = await info.context["listings_of"].load(self.id)
        return [Listing(id=row.id, external_id=row.external_id, row=row) for row in rows]


@strawberry.type
class Order:
    id: strawberry.ID
    number: str
    status: str
    row: strawberry.Private[OrderModel]

    @classmethod
    def of(cls, row: OrderModel) -> "Order":
        return cls(id=strawberry.ID(row.id), number=row.number, status=row.status, row=row)

    @strawberry.field
    def total(self) -> Money:
        return Money(amount_minor=str(self.row.total_minor), currency=self.row.currency)

    @strawberry.field
    async def course(self, info: Info) -> Course:
        return Course.of(await info.context["courses"].load(self.row.course_id))

    @strawberry.field
    async def listing(self, info: Info) -> Listing:
        row = await info.context["listings"].load(self.row.listing_id)
        return Listing(id=row.id, external_id=row.external_id, row=row)


@strawberry.type
class CourseConnection:
    nodes: list[Course]


@strawberry.type
class OrderConnection:
    nodes: list[Order]


@strawberry.type
class User:
    id: strawberry.ID
    state: str

    @strawberry.field
    async def orders(self, info: Info, first: int) -> OrderConnection:
        wanted = select(OrderModel).where(OrderModel.user_id == self.id)
        newest = wanted.order_by(OrderModel.created_at_us.desc(), OrderModel.id.desc()).limit(first)
        async with info.context["sessions"]() as session:
            return OrderConnection(nodes=[Order.of(row) for row in await session.scalars(newest)])


@strawberry.type
class Viewer:
    @strawberry.field
    async def user(self, info: Info) -> User | None:
        async with info.context["sessions"]() as session:
            row = await session.get(UserModel, info.context["request"].headers["x-user"])
        return None if row is None else User(id=strawberry.ID(row.id), state=row.state)


@strawberry.type
class Query:
    @strawberry.field
    def viewer(self) -> Viewer:
        return Viewer()

    @strawberry.field
    async def course(self, info: Info, id: strawberry.ID) -> Course | None:
        async with info.context["sessions"]() as session:
            row = await session.get(CourseModel, id)
        return None if row is None else Course.of(row)

    @strawberry.field
    async def courses(self, info: Info, first: int, after: str | None = None) -> CourseConnection:
        """The newest first; `after` is the id of the last course of the page before."""
        wanted = select(CourseModel).order_by(CourseModel.id.desc()).limit(first)
        if after:
            wanted = wanted.where(CourseModel.id < after)
        async with info.context["sessions"]() as session:
            return CourseConnection(nodes=[Course.of(row) for row in await session.scalars(wanted)])


# ---- the server ------------------------------------------------------------------------------------------------------


class Server(GraphQL[dict[str, Any], None]):
    """Loaders anew for each request, as Strawberry's page on DataLoaders has it."""

    def __init__(self, schema: strawberry.Schema, sessions: Sessions) -> None:
        super().__init__(schema)
        self._sessions = sessions

    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        return {
            "request": request,
            "response": response,
            "sessions": self._sessions,
            "platforms": one_of(self._sessions, PlatformModel),
            "merchants": one_of(self._sessions, MerchantModel),
            "courses": one_of(self._sessions, CourseModel),
            "listings": one_of(self._sessions, ListingModel),
            "listings_of": listings_of(self._sessions),
        }


def main(database: str) -> None:
    engine = create_async_engine(database)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def readyz(_request: Request) -> JSONResponse:
        return JSONResponse({})

    graphql = Server(strawberry.Schema(Query), sessions)
    app = Starlette(routes=[Route("/readyz", readyz)])
    app.mount("/graphql", graphql)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["HUB_PORT"]), log_config=None, access_log=False)


if __name__ == "__main__":
    main(sys.argv[1])
