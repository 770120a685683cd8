"""`hub contracts revoke-root` is for roots of others: under a root of ours the books would keep what the chain ends."""

from dataclasses import replace

import pytest

from hub.entry.complaints import Complaint
from hub.entry.contract_commands import demand_foreign
from tests.flows.benches import Bench
from tests.flows.test_settlements import settled


async def test_a_root_that_shares_its_revocations_with_rights_of_ours_is_refused(bench: Bench) -> None:
    instant = replace(bench, settles_at_once=True)
    await settled(instant)
    hub, here = instant.hub, instant.chain.contract
    [root] = instant.chain.roots
    [key] = instant.chain.settled
    hashed = hub.vault.keccak(key)
    for one in (root, root[:20] + bytes(12), hashed, hashed[:20] + bytes(12)):
        with pytest.raises(Complaint, match="end each by `entitlementRevoke`"):
            await demand_foreign(hub, here, one)
    for one in (key, root[:19] + bytes([root[19] ^ 1]) + root[20:], bytes(32)):
        await demand_foreign(hub, here, one)
    await demand_foreign(hub, "0x" + "77" * 20, root)  # what is kept there, another contract knows nothing of
