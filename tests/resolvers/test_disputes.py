"""Disputes over GraphQL: who sees them, what can be done, and each no with its type."""

from hub.domain.disputes import DisputeState
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import contested, market

LIST = """
query ($state: DisputeState) {
  disputes(first: 10, where: {state: {eq: $state}}) {
    nodes { id state amount { amountMinor } heldAmount { amountMinor } evidenceDueAt allowedActions
            order { disputeStatus disputes { id } } } } }
"""
ACCEPT = """
mutation ($id: ID!) { disputeAccept(input: {disputeId: $id, idempotencyKey: "k"}) {
    dispute { state } userErrors { __typename code path ... on DisputeElsewhereError { channelReference } } } }
"""
SUBMIT = """
mutation ($id: ID!, $text: String!) {
  disputeSubmitEvidence(input: {disputeId: $id, evidence: $text, idempotencyKey: "k"}) {
    userErrors { __typename path } } }
"""


async def test_the_seller_and_staff_see_an_open_dispute_and_nobody_else(api: Api) -> None:
    scene = await market(api)
    dispute = await contested(api, scene.mine["id"], DisputeState.NEEDS_RESPONSE)
    for who in ("seller", "operator"):
        [seen] = (await api.data(scene.viewers[who], LIST, state="NEEDS_RESPONSE"))["disputes"]["nodes"]
        assert (seen["id"], seen["heldAmount"]["amountMinor"]) == (dispute.id, "9900")
        assert seen["evidenceDueAt"] is not None
        assert seen["allowedActions"] == ["SUBMIT_EVIDENCE", "ACCEPT"]
        assert seen["order"] == {"disputeStatus": "NEEDS_RESPONSE", "disputes": [{"id": dispute.id}]}
    assert (await api.data(scene.viewers["seller"], LIST, state="WON"))["disputes"]["nodes"] == []
    for who in ("buyer", "other"):
        assert (await api.data(scene.viewers[who], LIST, state="NEEDS_RESPONSE"))["disputes"]["nodes"] == []


async def test_answer_where_the_channel_takes_none_says_where_to_give_it(api: Api) -> None:
    scene = await market(api)
    dispute = await contested(api, scene.mine["id"], DisputeState.NEEDS_RESPONSE)
    [no] = (await api.data(scene.viewers["seller"], ACCEPT, id=dispute.id))["disputeAccept"]["userErrors"]
    assert (no["__typename"], no["code"], no["channelReference"]) == (
        "DisputeElsewhereError", "DISPUTE_ELSEWHERE", dispute.channel_ref,
    )  # fmt: skip
    [no] = (await api.data(scene.viewers["operator"], SUBMIT, id=dispute.id, text=" "))["disputeSubmitEvidence"][
        "userErrors"
    ]
    assert no == {"__typename": "InvalidInputError", "path": ["input", "evidence"]}
    assert await api.codes(scene.viewers["buyer"], ACCEPT, id=dispute.id) == ["FORBIDDEN"]
