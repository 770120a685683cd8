"""Who asks, under which name, and what a partner may call a buyer."""

import pytest

from hub.domain.people import (
    ANONYMOUS,
    LEARNER_SCOPES,
    OPERATOR_SCOPES,
    PARTNER_SCOPES,
    Viewer,
    ViewerKind,
    member_issuer,
    pairwise_id,
)

LEARNER = Viewer(ViewerKind.USER, user_id="usr_1")
PARTNER = Viewer(ViewerKind.PLATFORM, platform_id="plt_1")
OPERATOR = Viewer(ViewerKind.OPERATOR)


def test_each_viewer_has_idempotency_keys_of_their_own() -> None:
    viewers = [LEARNER, Viewer(ViewerKind.USER, user_id="usr_2"), PARTNER, OPERATOR, ANONYMOUS]
    viewers.append(Viewer(ViewerKind.PLATFORM, platform_id="plt_2"))
    assert len({viewer.principal for viewer in viewers}) == len(viewers)
    assert LEARNER.principal == "usr_1"


@pytest.mark.parametrize(
    ("viewer", "stream"), [(LEARNER, "usr_1"), (PARTNER, "plt_1"), (OPERATOR, "hub"), (ANONYMOUS, None)]
)
def test_a_viewer_reads_their_own_stream_alone(viewer: Viewer, stream: str | None) -> None:
    assert viewer.stream == stream


def test_a_stranger_holds_no_scope() -> None:
    assert ANONYMOUS.scopes == frozenset()
    assert ANONYMOUS.principal == "ANONYMOUS"


def test_only_a_partner_writes_catalogues_and_only_a_learner_buys_and_an_operator_may_both() -> None:
    assert "orders:write" in LEARNER_SCOPES - PARTNER_SCOPES
    assert {"catalog:write", "members:write"} <= PARTNER_SCOPES - LEARNER_SCOPES
    assert OPERATOR_SCOPES >= LEARNER_SCOPES | PARTNER_SCOPES
    assert not {"operations:read", "operations:write"} & (LEARNER_SCOPES | PARTNER_SCOPES)


def test_a_user_has_another_name_at_each_partner_and_always_the_same_there() -> None:
    names = {pairwise_id(key, user) for key in (b"a" * 32, b"b" * 32) for user in ("usr_1", "usr_2")}
    assert len(names) == 4
    assert pairwise_id(b"a" * 32, "usr_1") == "bcuwbmkgiexdyc7qggp6xhwwin"  # partners keep it: it never changes


def test_a_pairwise_name_is_26_lower_case_characters_without_the_user_in_it() -> None:
    name = pairwise_id(b"a" * 32, "usr_1")
    assert len(name) == 26
    assert name == name.lower()
    assert name.isalnum()


def test_the_members_of_two_platforms_are_of_two_issuers() -> None:
    assert member_issuer("plt_1") != member_issuer("plt_2")
