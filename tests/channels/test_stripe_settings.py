"""What an operator sets for Stripe, and what a check of it finds."""

import subprocess
import sys
from email.utils import formatdate

import httpx
import pytest

from hub.channels.connecting import ChannelSettingRefused, Surroundings
from hub.channels.stripe import StripeChannel
from hub.channels.stripe_wire import WRITING
from hub.ports import Finding
from tests.channels.bench_stripe import stripe_channel
from tests.channels.benches import Clock
from tests.sandbox.conftest import NOON

GIVEN = {"secret_key": "sk_test_1", "webhook_secret": "whsec_1"}
LIVE = GIVEN | {"secret_key": "sk_live_1"}


def connected(**settings: str) -> StripeChannel:
    surroundings = Surroundings(httpx.AsyncClient(verify=False), Clock(), lambda: b"", None)
    return StripeChannel.connected(settings, surroundings)


def test_keys_say_whether_the_money_is_real() -> None:
    assert connected(**GIVEN).capabilities.is_test_only
    assert connected(**GIVEN | {"secret_key": "rk_test_1"}).capabilities.is_test_only
    assert not connected(**LIVE, publishable_key="pk_live_1").capabilities.is_test_only
    assert not StripeChannel.capabilities.is_test_only


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ("secret_key", {"webhook_secret": "whsec_1"}),
        ("webhook_secret", {"secret_key": "sk_test_1"}),
        ("webhook_secret", GIVEN | {"webhook_secret": "whsec_1,"}),
        ("webhook_secret", GIVEN | {"webhook_secret": " "}),
        ("secret_key", GIVEN | {"secret_key": "pk_test_1"}),
        ("secret_key", GIVEN | {"secret_key": "sk_test_ 1"}),
        ("publishable_key", LIVE | {"publishable_key": "pk_test_1"}),
        ("publishable_key", GIVEN | {"publishable_key": "sk_test_1"}),
        ("account", GIVEN | {"account": "me"}),
        ("api_url", GIVEN | {"api_url": "http://stripe.example"}),
        ("api_url", GIVEN | {"api_url": "127.0.0.1:8420"}),
        ("api_url", GIVEN | {"api_url": "ftp://127.0.0.1"}),
        ("api_url", LIVE | {"api_url": "https://stripe.example"}),
        ("api_url", LIVE | {"api_url": "http://127.0.0.1:1"}),
        ("api_url", LIVE | {"api_url": "http://api.stripe.com"}),
        ("version", GIVEN | {"version": "1"}),
    ],
)
def test_wrong_settings_are_refused_by_name_and_never_shown(setting: str, given: dict[str, str]) -> None:
    with pytest.raises(ChannelSettingRefused) as refused:
        connected(**given)

    assert refused.value.setting == setting
    assert not any(value in str(refused.value) for value in given.values() if len(value.strip()) > 5)


def test_without_the_sdk_the_extra_is_named() -> None:
    """In a process of its own, to which the SDK is not there: nothing else of the hub needs it."""
    code = """
import sys
sys.modules["stripe"] = None
from hub.channels import CHANNELS
from hub.channels.connecting import ChannelSettingRefused, Surroundings
try:
    settings = {"secret_key": "sk_test_1", "webhook_secret": "whsec_1"}
    CHANNELS["stripe"].connected(settings, Surroundings(None, None, None, None))
except ChannelSettingRefused as refused:
    print(refused)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout

    assert told.strip().endswith("pip install 'tongbao[stripe]'")


def test_channels_are_listed_without_loading_the_sdk() -> None:
    code = "import sys, hub.channels; print('stripe' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_patience_is_ours_and_not_the_sdks() -> None:
    assert (WRITING.connect, WRITING.read) == (3.0, 30.0)


# ---- the check -------------------------------------------------------------------------------------------------------

NOTICES = "https://hub.test/channels/stripe/notices"
ENDPOINTS = '{"object": "list", "has_more": false, "data": [{"id": "we_1", "url": "%s", "status": "%s"}]}'


async def checked(
    balance: httpx.Response, endpoints: httpx.Response | None = None, notice_url: str | None = NOTICES
) -> dict[str, Finding]:
    there = endpoints or httpx.Response(200, text=ENDPOINTS % (NOTICES, "enabled"))
    transport = httpx.MockTransport(lambda request: balance if request.url.path == "/v1/balance" else there)
    client = httpx.AsyncClient(transport=transport)
    channel = stripe_channel("https://stripe.test", client=client, notice_url=notice_url)
    return {finding.name: finding for finding in await channel.check()}


def balance(status: int = 200, *, date_s: int = NOON, livemode: str = "false") -> httpx.Response:
    body = f'{{"object": "balance", "livemode": {livemode}}}' if status == 200 else '{"error": {"type": "x"}}'
    return httpx.Response(status, text=body, headers={"date": formatdate(date_s, usegmt=True)})


async def test_check_finds_all_well() -> None:
    found = await checked(balance())

    assert [name for name, finding in found.items() if not finding.is_good] == []
    assert list(found) == ["reach", "credentials", "clock", "notices"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("credentials", balance(401)),
        ("credentials", balance(livemode="true")),
        ("credentials", httpx.Response(200, text="<html>")),
        ("clock", balance(date_s=NOON + 301)),
        ("clock", balance(date_s=NOON - 301)),
        ("clock", httpx.Response(200, text='{"object": "balance", "livemode": false}', headers={"date": "today"})),
    ],
)
async def test_check_names_what_is_wrong(name: str, answer: httpx.Response) -> None:
    found = await checked(answer)

    assert [one for one, finding in found.items() if not finding.is_good] == [name]
    assert "sk_test" not in str(found)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (httpx.Response(200, text=ENDPOINTS % (NOTICES, "disabled")), "disabled"),
        (httpx.Response(200, text=ENDPOINTS % ("https://elsewhere.test/", "enabled")), "not registered"),
        (httpx.Response(200, text="[]"), "make no sense"),
        (httpx.Response(403, text='{"error": {"type": "x"}}'), "could not be read (403)"),
    ],
)
async def test_check_looks_for_our_endpoint(answer: httpx.Response, text: str) -> None:
    found = await checked(balance(), answer)

    assert not found["notices"].is_good
    assert text in found["notices"].detail


async def test_check_says_that_stripe_cannot_reach_us() -> None:
    assert "HUB_PUBLIC_URL" in (await checked(balance(), notice_url=None))["notices"].detail
