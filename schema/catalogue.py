"""Platforms, merchants, courses and listings."""

import strawberry

from hub.domain.catalogue import CourseKind, ListingState
from hub.domain.merchants import MerchantState
from resolvers import catalogue
from resolvers.scalars import CurrencyCode, Instant
from schema.connections import Connection, Node
from schema.fields import BY_ID, changed_by, plain, relation, represents, resolved_by
from schema.money import Money
from schema.payloads import Payload


@represents("PlatformRow")
@strawberry.type(description="A connected content site.", directives=[BY_ID])
class Platform(Node):
    slug: str = plain("Its short name, unique.")
    name: str = plain("Its name for people.")
    currency: CurrencyCode = plain("The currency of its prices where a source names none.")
    created_at_us: Instant = plain("When it was connected.", name="createdAt")
    merchant: "Merchant | None" = relation("merchant", "Who sells on it.")


@represents("MerchantRow")
@strawberry.type(description="The selling party on a platform.")
class Merchant(Node):
    name: str = plain("Its name for people.")
    state: MerchantState = plain("Whether it may sell.")
    created_at_us: Instant = plain("When the hub first knew it.", name="createdAt")
    platform: Platform = relation("platform", "Where it sells.")


@represents("CourseRow")
@strawberry.type(description="A paid knowledge work, one for all platforms that list it.", directives=[BY_ID])
class Course(Node):
    kind: CourseKind = plain("What sort of work.")
    title: str = plain("At most 500 characters.")
    summary: str = plain("At most 20000 characters; may be empty.")
    institution: str = plain("Who made it; may be empty.")
    subject: str = plain("The source's own word; may be empty.")
    level: str = plain("The source's own word; may be empty.")
    language: str = plain("BCP 47 tag; empty where unknown.")
    version: int = plain("Counts its changes from 1.")
    created_at_us: Instant = plain("When the hub first knew it.", name="createdAt")
    is_transferable: bool = plain("Whether a right to it may be handed on: see entitlementTransfer.")
    listings: list["Listing"] = relation("listings", "Where it is listed, the oldest first; at most 100.", most=100)


def _is_free(root: "strawberry.Parent[Listing]") -> bool:
    return root.price is not None and root.price.amount_minor == 0


@represents("ListingRow")
@strawberry.type(description="A course as one platform sells or opens it.", directives=[BY_ID])
class Listing(Node):
    external_id: str = plain("The platform's own id of it.")
    title: str = plain("As the platform calls it.")
    url: str = plain("Where the platform shows it; may be empty.")
    price: Money | None = plain("Null: unknown to the hub, and it cannot be bought here.")
    price_text: str = plain("What the source said of the price where that is no amount; may be empty.")
    is_free: bool = resolved_by(_is_free, "Whether the price is known and 0.")
    is_honoured: bool = plain("Whether this platform opens the course for rights bought elsewhere.")
    state: ListingState = plain("Whether it is on sale.")
    version: int = plain("Counts its changes from 1.")
    created_at_us: Instant = plain("When it was first listed.", name="createdAt")
    platform: Platform = relation("platform", "Where.")
    course: Course = relation("course", "Of what.")
    merchant: Merchant = relation("merchant", "Who sells it.")


@strawberry.type(description="What listingUpsert came to.")
class ListingUpsertPayload(Payload):
    listing: Listing | None = relation("listing", "The listing; null if it was refused.")


@strawberry.type(description="What coursePolicySet came to.")
class CoursePolicySetPayload(Payload):
    course: Course | None = relation("course", "The course; null if it was refused.")


@strawberry.type
class CatalogueQueries:
    platforms: Connection[Platform] = resolved_by(catalogue.platforms, "Every connected platform, by slug.")
    platform: Platform | None = resolved_by(catalogue.platform, "One platform, by id or slug.")
    courses: Connection[Course] = resolved_by(catalogue.courses, "Courses of all platforms.")
    course: Course | None = resolved_by(catalogue.course, "One course.")
    listing: Listing | None = resolved_by(catalogue.listing, "One listing.")


@strawberry.type
class CatalogueMutations:
    listing_upsert: ListingUpsertPayload = changed_by(
        catalogue.listing_upsert, "List a course on a platform or change its listing; the same again changes nothing."
    )
    course_policy_set: CoursePolicySetPayload = changed_by(
        catalogue.course_policy_set,
        "Say whether rights to a course may be handed on: they may not until it is said. For the platform whose "
        "listing the course came with, and staff. Again is the same.",
    )
