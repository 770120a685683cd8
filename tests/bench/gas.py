"""What an order, a right and a purchase cost on chain, ours beside contracts of others on the same machine.

`python -m tests.bench gas --write` writes the tables of hub/docs/gas.md anew. Gas does not vary between runs.
"""

import functools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils import keccak

from tests.bench.figures import Figure
from tests.bench.gas_peers import Peers, raised
from tests.contracts import gas
from tests.contracts.evm import Hub, anchored, batch, claimed, fresh_hub, right

PAGE = Path(__file__).parents[2] / "hub" / "docs" / "gas.md"
BEGIN, END = "<!-- written by `python -m tests.bench gas --write`: begin -->", "<!-- end -->"
SIZES, QUICK_SIZES = (1, 16, 64, 256, 1_024), (1, 16)
MOST_ATTESTED = 256  # beyond it they would be 16 transactions at the same cost each
ANCHOR_GOAL, ORDER_GOALS = 50_000, {256: 200, 1_024: 50}  # of a batch, and of an order in one of that size


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that we do, and the nearest thing that others do."""

    name: str
    ours_is: str
    ours: int
    goal: int | None  # at most
    theirs_is: str = ""
    theirs: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction of ours for so many orders, and what others take for an order of as many."""

    size: int
    ours: int
    timestamps: int
    mints: int
    attestations: int | None

    @property
    def beside(self) -> dict[str, int | None]:
        return {
            "EAS multiTimestamp": self.timestamps,
            "OpenZeppelin ERC-1155 mint": self.mints,
            "EAS multiAttest": self.attestations,
        }


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    batches, rows = measured(QUICK_SIZES if quick else SIZES)
    for one in batches:
        yield Figure(f"gas_anchor_{one.size}", one.ours, None, "gas a batch", bar=f"at most {ANCHOR_GOAL:,}")
        bar = f"at most {ORDER_GOALS[one.size]}" if one.size in ORDER_GOALS else ""
        for peer, theirs in one.beside.items():
            if theirs is not None:
                ours, ratio = one.ours / one.size, one.ours / theirs
                name = f"gas_order_{one.size}_beside_{peer.rpartition(' ')[2]}"
                yield Figure(name, ours, theirs / one.size, "gas an order", ratio, bar, detail={"beside": peer})
    for row in rows:
        ratio = None if row.theirs is None else row.ours / row.theirs
        bar = "" if row.goal is None else f"at most {row.goal:,}"
        yield Figure(row.name, row.ours, row.theirs, "gas", ratio, bar, detail={"beside": row.theirs_is})


@functools.cache
def measured(sizes: tuple[int, ...]) -> tuple[list[Batch], list[Row]]:
    """Everything; the rows do not depend on the sizes."""
    deployed = fresh_hub()
    peers = raised(deployed.evm)
    return [_batch(deployed, peers, size) for size in sizes], list(_rows(deployed, peers))


def _batch(deployed: Hub, peers: Peers, size: int) -> Batch:
    attestations = None if size > MOST_ATTESTED else peers.attest_gas() if size == 1 else peers.attested(size).gas
    mints = peers.mint_gas() if size == 1 else peers.mints_gas(size)
    return Batch(size, gas.anchor_gas(deployed, size), peers.timestamps_gas(size), mints, attestations)


def _rows(deployed: Hub, peers: Peers) -> Iterator[Row]:
    """In the order of a right's life."""
    ours: dict[str, Any] = gas.measure()
    checkout: dict[str, int] = ours["checkout"]
    verify = {row["orders"]: row["gas"] for row in ours["verify_inside_a_contract"]}[256]
    mint, grant, attest = peers.mint_gas(), peers.grant_gas(), peers.attest_gas()
    fresh, later = claims_gas(deployed)
    minting, granting = "OpenZeppelin ERC-1155 `mint`, new holder", "Unlock `grantKeys`, one key"
    paying = "Unlock `purchase` for a coin, approved before"
    paid = peers.coin_purchase_gas()
    key, balance = peers.key_inside_a_contract(), peers.balance_inside_a_contract()
    yield Row("gas_verify", "`verify` asked by a contract, N = 256", verify, 11_500, "Unlock `getHasValidKey`", key)
    yield Row(
        "gas_has_access", "`hasAccess` asked by a contract", ours["has_access_inside_a_contract"], None,
        "OpenZeppelin ERC-1155 `balanceOf`", balance,
    )  # fmt: skip
    yield Row("gas_claim_fresh", "`claim`, N = 256, first of its word", fresh, 88_000, minting, mint)
    yield Row("gas_claim_next", "`claim`, N = 256, next of its word", later, 72_000, minting, mint)
    yield Row("gas_settle_mint", "`settle` by a signed result", ours["settle"], 85_000, minting, mint)
    yield Row("gas_settle_grant", "`settle` by a signed result", ours["settle"], 85_000, granting, grant)
    yield Row("gas_settle_attest", "`settle` by a signed result", ours["settle"], 85_000, "EAS `attest`", attest)
    revoked = peers.revocation_gas(peers.attested(256))
    yield Row("gas_revoke_256", "`revoke`, 256 orders", ours["revoke_256_orders"], 50_000, "EAS `multiRevoke`", revoked)
    ether = peers.purchase_gas()
    yield Row("gas_buy", "`buy`, approved before", checkout["buy_next"], None, paying, paid)
    yield Row("gas_buy_ether", "`buy`, approved before", checkout["buy_next"], None, "Unlock `purchase`, ether", ether)
    yield Row("gas_buy_with_permit", "`buyWithPermit`", checkout["buy_with_permit_next"], 130_000, paying, paid)
    yield Row("gas_buy_authorized", "`buyWithAuthorization`", checkout["buy_with_authorization"], None, paying, paid)
    lock = peers.new_lock_gas()
    yield Row("gas_offer", "`setOffer`, another course", checkout["set_offer"], None, "Unlock, a lock for it", lock)


def claims_gas(deployed: Hub) -> tuple[int, int]:
    """Two claims under one root of 256, each a wallet's first right."""
    hub = deployed.copy()
    holders = [right(number, to=keccak(b"holder %d" % number)[:20]) for number in range(2)]
    tree = anchored(hub, [*holders, *batch(256).leaves[2:]])
    return claimed(hub, tree.proof(0)).gas_used, claimed(hub, tree.proof(1)).gas_used


# ---- the page --------------------------------------------------------------------------------------------------------


def write() -> None:
    """The tables, between their markers."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


def page(text: str) -> str:
    """The page with fresh tables."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert before, f"{BEGIN} is missing"
    assert after, f"{END} is missing"
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """Markdown: batches, then single steps. `x` says how many times ours the other one takes."""
    batches, rows = measured(SIZES)
    peers = [f"{peer} | x |" for peer in batches[0].beside]
    lines = [
        "| N | ours, a batch | ours, an order | " + " ".join(peers),
        "|---:|---:|---:|" + "---:|---:|" * len(peers),
        *map(_batch_line, batches),
        "",
        "| ours | gas | goal | beside it | gas | x |",
        "|---|---:|---:|---|---:|---:|",
        *map(_row_line, rows),
    ]
    return "\n".join(lines) + "\n"


def _batch_line(one: Batch) -> str:
    cells = [f"{one.size:,}", f"{one.ours:,}", _of_one(one.ours, one.size)]
    for theirs in one.beside.values():
        cells += ["–", "–"] if theirs is None else [_of_one(theirs, one.size), _times(theirs, one.ours)]
    return _line(cells)


def _row_line(row: Row) -> str:
    goal = "" if row.goal is None else f"{row.goal:,}"
    beside = ["", ""] if row.theirs is None else [f"{row.theirs:,}", _times(row.theirs, row.ours)]
    return _line([row.ours_is, f"{row.ours:,}", goal, row.theirs_is, *beside])


def _of_one(total: int, size: int) -> str:
    each = total / size
    return f"{each:,.0f}" if each >= 1_000 or each.is_integer() else f"{each:.1f}"


def _times(theirs: int, ours: int) -> str:
    times = theirs / ours
    return f"{times:,.0f}" if times >= 100 else f"{times:.1f}" if times >= 10 else f"{times:.2f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
