"""What an operator can get wrong about Stripe: settings that the hub does not start with, and what a check looks at."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import orjson

from hub.channels.connecting import ChannelSettingRefused
from hub.channels.exchange import Answer
from hub.channels.stripe_words import UNREADABLE
from hub.ports import Finding

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
CLOCKS_APART_S = 300  # events dated farther from our clock are refused


def is_live_by(settings: Mapping[str, str]) -> bool:
    """The mode of the keys: all of one. Raises ChannelSettingRefused, which holds none of them."""
    secret = re.fullmatch(r"(?:sk|rk)_(live|test)_\S+", settings["secret_key"])
    if secret is None:
        raise ChannelSettingRefused("secret_key", "begins with sk_live_, sk_test_, rk_live_ or rk_test_")
    public = settings.get("publishable_key")
    if public is not None and re.fullmatch(rf"pk_{secret[1]}_\S+", public) is None:
        raise ChannelSettingRefused("publishable_key", f"begins with pk_{secret[1]}_, as the secret key's mode is")
    account = settings.get("account")
    if account is not None and re.fullmatch(r"acct_\w+", account) is None:
        raise ChannelSettingRefused("account", "begins with acct_")
    return secret[1] == "live"


def demand_url(url: str | None, *, is_live: bool) -> None:
    """Keys go to Stripe alone; those of the test mode to a peer on this machine too. Raises ChannelSettingRefused."""
    if url is None:
        return
    parts = urlsplit(url)
    if is_live and parts.hostname != "api.stripe.com":
        raise ChannelSettingRefused("api_url", "a live key is sent to Stripe alone: leave it out")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        raise ChannelSettingRefused("api_url", "an https:// URL, or http:// on the loopback")


def credentials_in(answer: Answer, is_live: bool) -> Finding:
    """Whether the balance was given to our key, in our mode."""
    mode = "live" if is_live else "test"
    if answer.status != 200:
        return Finding("credentials", False, f"Stripe answers {answer.status} to our {mode} key")
    try:
        is_same = orjson.loads(answer.body)["livemode"] is is_live
    except UNREADABLE:
        return Finding("credentials", False, "Stripe's answer makes no sense")
    return Finding("credentials", is_same, f"Stripe takes our {mode} key")


def clock_in(answer: Answer, now_us: int) -> Finding:
    """How far Stripe's clock is from ours, by the date of its answer."""
    try:
        theirs = parsedate_to_datetime(answer.headers["date"]).astimezone(UTC).timestamp()
    except (TypeError, ValueError):
        return Finding("clock", False, "Stripe's answer has a date that is none")
    apart_s = abs(now_us // 1_000_000 - int(theirs))
    return Finding("clock", apart_s <= CLOCKS_APART_S, f"its clock and ours are {apart_s} s apart")


def endpoint_in(answer: Answer, notice_url: str) -> Finding:
    """Whether an enabled endpoint posts to us, among those that are registered."""
    try:
        endpoints = orjson.loads(answer.body)["data"]
        found = [one["status"] for one in endpoints if one["url"] == notice_url]
    except UNREADABLE:
        return Finding("notices", False, "the registered endpoints make no sense")
    if "enabled" in found:
        return Finding("notices", True, f"{notice_url} is registered and enabled")
    return Finding("notices", False, f"{notice_url} is {'disabled' if found else 'not registered'} at Stripe")
