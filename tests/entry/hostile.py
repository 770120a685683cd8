"""Documents that were made to hurt: each is refused by its code, or started, after a bounded number of steps.

`then` is the code that it is refused with; None: it is valid and cheap, however it looks, and is started.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

COST, BAD, SYNTAX = "COST_LIMIT_EXCEEDED", "BAD_USER_INPUT", "BAD_USER_INPUT"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One of them."""

    name: str
    text: str
    then: str | None
    variables: dict[str, Any] = field(default_factory=dict)


def corpus() -> Iterator[Hostile]:
    yield from deep()
    yield from wide()
    yield from bombs()
    yield from pages()
    yield from introspections()
    yield from values()
    yield from texts()
    yield from complaints()


def rep(text: str, times: int) -> str:
    """A text so many times, a number in place of each #."""
    return " ".join(text.replace("#", str(i)) for i in range(times))


# ---- shapes ------------------------------------------------------------------------------------------------------

LEAVES = "id number status chargeStatus fulfilmentStatus chainStatus createdAt paidAt deadlineAt closedAt"


def nested(start: str, levels: int, step: str = "platform { merchant") -> str:
    """`start { platform { merchant { … { id } } } }`, two levels a step."""
    return f"{start} {{ " + f"{step} {{ " * levels + "id" + " } }" * levels + " }"


def deep() -> Iterator[Hostile]:
    yield Hostile("12 deep", f"{{ {nested('listing(id: 1)', 5)} }}", None)
    yield Hostile("14 deep", f"{{ {nested('listing(id: 1)', 6)} }}", COST)
    yield Hostile("400 deep", f"{{ {nested('listing(id: 1)', 200)} }}", COST)
    yield Hostile("60 inline fragments in each other", "{ " + "... { " * 60 + "viewer { kind }" + " }" * 61, None)
    yield Hostile("400 inline fragments in each other", "{ " + "... { " * 400 + "viewer { kind }" + " }" * 401, COST)
    yield Hostile("600 braces", "{" * 600, SYNTAX)
    yield Hostile("600 braces that close", "{ a " * 600 + "}" * 600, COST)
    chain = " ".join(f"fragment F{i} on Platform {{ merchant {{ platform {{ ...F{i + 1} }} }} }}" for i in range(40))
    yield Hostile(
        "80 deep by fragments", f"{{ platform(id: 1) {{ ...F0 }} }} {chain} fragment F40 on Platform {{ id }}", COST
    )
    inline = " ".join(f"fragment F{i} on Platform {{ {'... {' * 8} ...F{i + 1} {'}' * 8} }}" for i in range(30))
    yield Hostile("270 selections in each other by fragments",
                  f"{{ platform(id: 1) {{ ...F0 }} }} {inline} fragment F30 on Platform {{ id }}", COST)  # fmt: skip
    yield Hostile(
        "deep mutation", f"mutation {{ orderCancel(input: 1) {{ {nested('order', 8, 'buyer { members')} }} }}", COST
    )
    yield Hostile(
        "deep subscription", f"subscription {{ {nested('orderUpdated(orderId: 1)', 20, 'order { buyer')} }}", COST
    )


def wide() -> Iterator[Hostile]:
    yield Hostile("50 aliases", f"{{ viewer {{ {rep('a#: kind', 50)} }} }}", None)
    yield Hostile("51 aliases", f"{{ viewer {{ {rep('a#: kind', 51)} }} }}", COST)
    yield Hostile("10,000 aliases", f"{{ {rep('a#: viewer', 10_000)} }}", COST)
    yield Hostile("10,000 short aliases", "{ " + "a:a " * 10_000 + "}", COST)
    yield Hostile("aliases by fragments", "{ viewer { ...A } v: viewer { ...A } } fragment A on Viewer { "
                  + rep("a#: kind", 30) + " }", COST)  # fmt: skip
    yield Hostile("21 root fields", f"{{ {rep('a#: viewer { kind }', 21)} }}", COST)
    yield Hostile("root fields by fragments", "{ " + "...A " * 6 + "} fragment A on Query { "
                  + rep("a#: viewer { kind }", 5) + " }", COST)  # fmt: skip
    five = rep("a#: orderCancel(input: 1) { replayed }", 5)
    yield Hostile("5 mutations", f"mutation {{ {five} }}", COST)
    yield Hostile("mutations in inline fragments", f"mutation {{ ... {{ {five} }} }}", COST)
    yield Hostile("1,900 times one field", "{ viewer { " + "kind " * 1900 + "} }", COST)
    yield Hostile("10 times ten fields", "{ order(id: 1) { " + f"{LEAVES} " * 10 + "} }", None)
    yield Hostile("10 times ten fields and again", "{ order(id: 1) { " + f"{LEAVES} " * 10 + "id } }", COST)
    cubes = "platform { " + ("merchant { " + "id " * 9 + "} ") * 9 + "} "
    yield Hostile("729 times one field, in three levels", "{ listing(id: 1) { " + cubes * 9 + "} }", COST)
    yield Hostile("300 inline fragments beside each other", "{ " + "... { viewer { kind } } " * 280 + "}", COST)
    types = ["Order", "User", "Course", "Listing", "Platform", "Merchant", "Member", "Entitlement", "Break"]
    same = " ".join(f"... on {name} {{ id createdAt }}" for name in types * 8)
    yield Hostile("72 conditions by turns", f"{{ node(id: 1) {{ {same} }} }}", COST)
    yield Hostile("5 directives on a field", "{ viewer { kind " + "@skip(if: false) " * 5 + "} }", COST)
    yield Hostile("300 directives on a field", "{ viewer { kind " + "@a " * 300 + "} }", COST)
    yield Hostile(
        "51 directives",
        "{ order(id: 1) { " + " ".join(f"{name} @a @b @c @d" for name in LEAVES.split()) * 2 + "} }",
        COST,
    )
    yield Hostile("directives on variables", f"query ({rep('$a#: Int @a @a @a @a @a', 40)}) {{ a }}", COST)
    yield Hostile("300 operations", rep("query Q# { viewer { kind } }", 300), COST)
    yield Hostile("21 operations", rep("query Q# { viewer { kind } }", 21), COST)
    yield Hostile("490 variables", f"query ({rep('$a#: Int', 490)}) {{ viewer {{ kind }} }}", COST)


# ---- fragments ---------------------------------------------------------------------------------------------------


def bombs() -> Iterator[Hostile]:
    yield Hostile("a fragment in itself", "{ viewer { ...A } } fragment A on Viewer { ...A }", COST)
    ring = " ".join(f"fragment F{i} on Viewer {{ ...F{(i + 1) % 40} }}" for i in range(40))
    yield Hostile("a ring of 40 fragments", f"{{ viewer {{ ...F0 }} }} {ring}", COST)
    yield Hostile("a ring that nobody spreads", f"{{ viewer {{ kind }} }} {ring}", COST)
    yield Hostile("a ring through fields",
                  "{ platform(id: 1) { ...A } } fragment A on Platform { merchant { ...B } } "
                  "fragment B on Merchant { platform { ...A } }", COST)  # fmt: skip
    levels = " ".join(f"fragment F{i} on Viewer {{ ...F{i + 1} ...F{i + 1} }}" for i in range(18))
    yield Hostile("two ways, 18 levels", f"{{ viewer {{ ...F0 }} }} {levels} fragment F18 on Viewer {{ kind }}", COST)
    both = "a: merchant {{ platform {{ ...F{0} }} }} b: merchant {{ platform {{ ...F{0} }} }}"
    fields = " ".join(f"fragment F{i} on Platform {{ {both.format(i + 1)} }}" for i in range(18))
    yield Hostile(
        "two fields, 18 levels", f"{{ platform(id: 1) {{ ...F0 }} }} {fields} fragment F18 on Platform {{ id }}", COST
    )
    unused = rep("fragment F# on Viewer { kind }", 220)
    yield Hostile("220 fragments", f"{{ viewer {{ {rep('...F#', 220)} }} }} {unused}", COST)
    yield Hostile("220 fragments that nobody spreads", f"{{ viewer {{ kind }} }} {unused}", COST)
    yield Hostile("60 fragments of one name", "{ viewer { ...A } } " + "fragment A on Viewer { kind } " * 60, COST)
    yield Hostile("101 spreads", "{ viewer { kind } } " + " ".join(
        f"fragment F{i} on Platform {{ ...G merchant {{ platform {{ ...G }} }} ... {{ ...G }} }}" for i in range(34)
    ) + " fragment G on Platform { id }", COST)  # fmt: skip
    large = f"fragment L on Viewer {{ {rep('b#', 500)} }}"
    yield Hostile("a large fragment, spread often", f"{{ viewer {{ kind }} }} {large} " + " ".join(
        f"fragment F{i} on Viewer {{ ...L }}" for i in range(45)
    ), COST)  # fmt: skip
    fifty = rep("fragment F# on Listing { course { id title } platform { id } }", 50)
    yield Hostile("50 fragments of the same fields", f"{{ listing(id: 1) {{ {rep('...F#', 50)} }} }} {fifty}", COST)
    yield Hostile("spread of what is not there", "{ viewer { ...Nothing } }", BAD)
    yield Hostile("fragment on what is not there", "{ viewer { ...A } } fragment A on Nothing { kind }", BAD)


# ---- lists -------------------------------------------------------------------------------------------------------


def pages() -> Iterator[Hostile]:
    page = "courses(first: 100) { nodes { id } }"
    inner = "orders(first: 100) {{ nodes {{ buyer {{ {} }} }} }}"
    yield Hostile("pages in pages", f"{{ {inner.format(inner.format(inner.format('id')))} }}", COST)
    by_variable = f"query ($n: Int!) {{ {inner.format(inner.format(inner.format('id')))} }}".replace("100", "$n")
    yield Hostile("pages in pages by variables", by_variable, COST, {"n": 100})
    yield Hostile("small pages in pages by variables", by_variable, None, {"n": 9})
    yield Hostile("a page of 101", "{ " + page.replace("100", "101") + " }", BAD)
    yield Hostile("a page of 10^5000", "{ " + page.replace("100", "9" * 5000) + " }", BAD)
    yield Hostile("a page of 10^30000", "{ " + page.replace("100", "9" * 30_000) + " }", BAD)
    yield Hostile("a page of -10^3000", "{ " + page.replace("100", "-" + "9" * 3000) + " }", BAD)
    yield Hostile("a page by a variable", "query ($n: Int!) { courses(first: $n) { nodes { id } } }", BAD, {"n": 10**9})
    yield Hostile("a page by a default", "query ($n: Int = 1000000) { courses(first: $n) { nodes { id } } }", BAD)
    yield Hostile("a page of a float", "query ($n: Int!) { courses(first: $n) { nodes { id } } }", BAD, {"n": 1.5e300})
    yield Hostile("a page of a list", "query ($n: Int!) { courses(first: $n) { nodes { id } } }", BAD, {"n": [[[1]]]})
    yield Hostile("20 pages", "{ " + rep("a#: courses(first: 100) { nodes { listings { id } } }", 20)
                  + " }", COST)  # fmt: skip
    yield Hostile("proofs of a page", "{ orders(first: 100) { nodes { proof { root } } } }", COST)
    yield Hostile(
        "1,000 ids",
        "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on User { members { id } } } }",
        COST,
        {"ids": ["a"] * 1000},
    )


def introspections() -> Iterator[Hostile]:
    yield Hostile("fields of fields", "{ __schema { types { fields { type { fields { name } } } } } }", COST)
    of = "ofType { " * 40 + "name" + " }" * 40
    yield Hostile("40 ofType", f"{{ __schema {{ types {{ fields {{ type {{ {of} }} }} }} }} }}", COST)
    yield Hostile(
        "possibleTypes of fields", "{ __schema { types { fields { type { possibleTypes { name } } } } } }", COST
    )
    yield Hostile("introspection by a ring",
                  '{ __type(name: "A") { ...T } } fragment T on __Type { ofType { ...T } }', COST)  # fmt: skip
    yield Hostile("introspection by fragments", '{ __type(name: "A") { ...T0 } } ' + " ".join(
        f"fragment T{i} on __Type {{ ofType {{ ...T{i + 1} }} }}" for i in range(20)
    ) + " fragment T20 on __Type { name }", COST)  # fmt: skip
    yield Hostile("21 introspections", "{ " + rep("a#: __schema { types { name } }", 21) + " }", COST)


# ---- values and texts --------------------------------------------------------------------------------------------


def values() -> Iterator[Hostile]:
    yield Hostile("900 lists in each other", f"{{ nodes(ids: {'[' * 900}{']' * 900}) {{ id }} }}", COST)
    yield Hostile("90 lists in each other", f"{{ nodes(ids: {'[' * 90}{']' * 90}) {{ id }} }}", BAD)
    yield Hostile(
        "400 objects in each other",
        f"{{ courses(first: 1, where: {'{a: ' * 400}1{'}' * 400}) {{ nodes {{ id }} }} }}",
        COST,
    )
    yield Hostile("600 wrong fields of an input", "{ courses(first: 1, where: {" + rep("a#: 1", 600)
                  + "}) { nodes { id } } }", COST)  # fmt: skip
    yield Hostile("50 wrong fields of an input", "{ courses(first: 1, where: {" + rep("a#: 1", 50)
                  + "}) { nodes { id } } }", BAD)  # fmt: skip
    yield Hostile("1,900 wrong enum values", f"{{ events(first: 1, kinds: [{rep('K#', 1900)}]) {{ nodes {{ id }} }} }}",
                  COST)  # fmt: skip
    yield Hostile("600 values of a directive", "{ viewer { kind @skip(if: {" + rep("a#: 1", 600) + "}) } }", COST)
    yield Hostile("600 values of a default", "query ($a: Int = {" + rep("a#: 1", 600) + "}) { viewer { kind } }", COST)
    yield Hostile("600 wrong arguments", "{ course(" + rep("a#: 1", 600) + ") { id } }", COST)
    yield Hostile("900 variables that are none", f"{{ nodes(ids: [{rep('$a#', 900)}]) {{ id }} }}", COST)
    yield Hostile("a number of 30,000 digits", "{ course(id: " + "9" * 30_000 + ") { id } }", None)
    yield Hostile("a float of 3,000 digits", "{ course(id: 1e" + "9" * 3000 + ") { id } }", BAD)
    course = "query ($id: ID!) { course(id: $id) { id } }"
    yield Hostile("a variable of 70 KB", course, COST, {"id": "a" * 70_000})
    yield Hostile("variables that nobody asked for", course, COST, {"id": "a", **{f"v{i}": i for i in range(10_000)}})
    yield Hostile("a variable that is an object", course, BAD, {"id": {"a": {"b": {}}}})
    yield Hostile("a variable that is a list of lists", course, BAD, {"id": [[[[["a"]]]]]})
    yield Hostile("a variable that is null", course, BAD, {"id": None})
    yield Hostile("a variable that is not there", course, BAD)
    order = "query ($w: CourseFilter) { courses(first: 1, where: $w) { nodes { id } } }"
    yield Hostile("300 wrong fields in a variable", order, BAD, {"w": {f"a{i}": 1 for i in range(300)}})


def texts() -> Iterator[Hostile]:
    yield Hostile("nothing", " ", SYNTAX)
    yield Hostile("commas", "{ viewer { kind" + "," * 30_000 + " } }", None)
    yield Hostile("spaces", "{ viewer { kind" + " " * 30_000 + " } }", None)
    yield Hostile("a long comment", "#" + "x" * 30_000 + "\n{ viewer { kind } }", None)
    yield Hostile("15,000 comments", "#\n" * 15_000 + "{ viewer { kind } }", COST)
    yield Hostile("a block string of quotes", '{ course(id: """' + '"\n' * 15_000 + '""") { id } }', None)
    indents = "\n".join(" " * (i % 50) + "x" for i in range(1000))
    yield Hostile("a block string of indents", f'{{ course(id: """{indents}""") {{ id }} }}', None)
    yield Hostile("a string of escapes", '{ course(id: "' + "\\u0041" * 5000 + '") { id } }', None)
    yield Hostile("a string of emoji", '{ course(id: "' + "💥" * 8000 + '") { id } }', None)
    yield Hostile("half a pair", '{ course(id: "\\ud83d") { id } }', SYNTAX)
    yield Hostile("braces of an escape", '{ course(id: "\\u{110000}") { id } }', SYNTAX)
    yield Hostile("a string without end", '{ course(id: "' + "a" * 30_000, SYNTAX)
    yield Hostile("a name of 30,000 letters", "{ course(id: 1) { " + "t" * 30_000 + " } }", BAD)
    yield Hostile("names of another script", "{ 課程 { id } }", SYNTAX)
    yield Hostile("a zero byte", "{ viewer { kind \0 } }", SYNTAX)
    yield Hostile("a byte order mark", "\ufeff{ viewer { kind } }", None)
    yield Hostile("right to left", "{ viewer { kind \u202e } }", SYNTAX)
    yield Hostile("2,001 tokens", "{ " + "a " * 1999 + "}", COST)
    yield Hostile("33 KB", "{ viewer { kind } }".ljust(33 * 1024), COST)
    yield Hostile("33 KB of three-byte letters", "#" + "知" * 11_000 + "\n{ viewer { kind } }", COST)
    yield Hostile("a schema", "type Query { a: Int }", BAD)
    yield Hostile("an extension of the schema", "{ viewer { kind } } extend type Query { a: Int }", BAD)


def complaints() -> Iterator[Hostile]:
    """Documents with as many mistakes as fit."""
    yield Hostile("590 wrong fields", "{ course(id: 1) { " + rep("titl#", 590) + " } }", BAD)
    yield Hostile("1,900 wrong fields", "{ course(id: 1) { " + rep("titl#", 1900) + " } }", COST)
    yield Hostile(
        "wrong fields with long names",
        "{ course(id: 1) { " + " ".join("titlet" * 300 + str(i) for i in range(15)) + " } }",
        BAD,
    )
    yield Hostile("20 wrong roots", "{ " + rep("viewr#", 20) + " }", BAD)
    yield Hostile("180 unknown types", f"query ({rep('$a#: Coursx#', 180)}) {{ viewer {{ kind }} }}", BAD)
    yield Hostile("180 unused variables", f"query ({rep('$a#: Int', 180)}) {{ viewer {{ kind }} }}", BAD)
    yield Hostile("unknown directives", "{ viewer { " + rep("kind @a#", 10) + " } }", BAD)
    both = 'input: {entitlement: "e", member: {pairwiseId: "m"}}'
    yield Hostile("two of @oneOf", f'{{ verifyEntitlement({both}, courseId: "c") {{ reason }} }}', BAD)
    one_of = "query ($i: VerifyEntitlementInput!) { verifyEntitlement(input: $i, courseId: 1) { reason } }"
    yield Hostile("two of @oneOf by a variable", one_of, BAD, {"i": {"entitlement": "e", "proof": "p"}})
    yield Hostile("none of @oneOf by a variable", one_of, BAD, {"i": {}})
