"""What a buyer meets on the hosted pay page, with no script and no cookie but its own."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.sandbox.conftest import NOON, Clock, Sandbox

GOOD = {"expiry": "12 / 30", "cvc": "123"}


class Buyer:
    """A browser without script: follows redirects, keeps cookies, sends forms as they stand on the page."""

    def __init__(self, sandbox: Sandbox, client: httpx.AsyncClient, page_url: str) -> None:
        self.client = client
        self.client.follow_redirects = True
        self.base_url = sandbox.address.base_url
        self.url = page_url
        self.page = ""
        self.status = 0

    async def open(self, query: str = "") -> str:
        return self._seen(await self.client.get(self.url + query))

    async def send(self, step: str, **fields: str) -> str:
        [action] = re.findall(rf'action="(/pay/\w+/{step})"', self.page)
        csrf = re.findall(r'name="csrf" value="(\w+)"', self.page)[0]
        return self._seen(await self.client.post(self.base_url + action, data={"csrf": csrf, **fields}))

    def _seen(self, answer: httpx.Response) -> str:
        self.status, self.page, self.headers = answer.status_code, answer.text, answer.headers
        return self.page

    @property
    def heading(self) -> str:
        [heading] = re.findall(r"<h1>(.*?)</h1>", self.page)
        return unescape(heading)

    @property
    def wrong(self) -> list[str]:
        return [unescape(said) for said in re.findall(r'<p class="wrong"[^>]*>(.*?)</p>', self.page)]


async def buyer_at(sandbox: Sandbox, **fields: Any) -> Buyer:
    fields = {"description": "Double Entry", "return_url": "https://shop.test/back?a=1"} | fields
    intent = (await sandbox.create(**fields)).json()
    buyer = Buyer(sandbox, await sandbox.stranger(), intent["next_action"]["redirect_to_url"]["url"])
    await buyer.open()
    return buyer


async def state(sandbox: Sandbox) -> tuple[str, str | None]:
    [intent] = await sandbox.find("TB-1-1")
    error = intent["last_payment_error"]
    return intent["status"], error and (error["decline_code"] or error["code"])


async def test_page_shows_amount_and_test_mark_and_loads_nothing(sandbox: Sandbox) -> None:
    buyer = await buyer_at(sandbox)

    assert buyer.heading == "Double Entry"
    assert "USD 12.50" in buyer.page
    assert "TEST mode" in buyer.page
    assert "<script" not in buyer.page
    assert re.findall(r'(?:src|href|action)="(?!/pay/|data:)([^"]*)"', buyer.page) == []
    policy = buyer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert buyer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("number", "heading", "status"),
    [
        ("4242 4242 4242 4242", "Paid", ("succeeded", None)),
        ("5555-5555-5555-4444", "Paid", ("succeeded", None)),
        ("4000 0000 0000 0002", "Declined", ("requires_payment_method", "generic_decline")),
        ("4000 0000 0000 9995", "Declined", ("requires_payment_method", "insufficient_funds")),
        ("4000 0000 0000 9979", "Declined", ("requires_payment_method", "stolen_card")),
        ("4000 0000 0000 0069", "Declined", ("requires_payment_method", "expired_card")),
        ("4000 0000 0000 0127", "Declined", ("requires_payment_method", "incorrect_cvc")),
        ("4000 0000 0000 0119", "Declined", ("requires_payment_method", "processing_error")),
        ("4000 0000 0000 0341", "Declined", ("requires_payment_method", "generic_decline")),
        ("4000 0000 0000 0259", "Paid", ("succeeded", None)),
        ("4000 0000 0000 5126", "Paid", ("succeeded", None)),
    ],
)
async def test_each_test_number_has_its_outcome(
    sandbox: Sandbox, number: str, heading: str, status: tuple[str, str | None]
) -> None:
    buyer = await buyer_at(sandbox)

    await buyer.send("card", number=number, **GOOD)

    assert (buyer.status, buyer.heading, await state(sandbox)) == (200, heading, status)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"number": "4242 4242 4242 4241"}, "This card number is not right: a digit is wrong or missing."),
        (
            {"number": "4111 1111 1111 1111"},
            "TEST mode takes the test cards listed below only. Never type a real card here.",
        ),
        ({"number": ""}, "Write the card number with 12 to 19 digits."),
        ({"number": "4242 4242 4242 424２"}, "Write the card number with 12 to 19 digits."),
        ({"expiry": "13 / 30"}, "Write the expiry date as MM / YY."),
        ({"expiry": "08 / 26"}, "This card has expired."),
        ({"expiry": "01 / 77"}, "Write the expiry date as MM / YY."),
        ({"cvc": "12"}, "Write the security code with 3 digits (4 for American Express)."),
    ],
)
async def test_slip_of_the_finger_is_named_and_costs_nothing(
    sandbox: Sandbox, fields: dict[str, str], said: str
) -> None:
    buyer = await buyer_at(sandbox)

    await buyer.send("card", **({"number": "4242424242424242", **GOOD} | fields))

    assert (buyer.status, buyer.wrong) == (422, [said])
    assert await state(sandbox) == ("requires_action", None)
    assert 'name="cvc" placeholder="123" value=""' in buyer.page
    await buyer.send("card", number="4242424242424242", **GOOD)  # the page it came back on still works
    assert await state(sandbox) == ("succeeded", None)


async def test_card_good_until_this_month_is_taken(sandbox: Sandbox) -> None:
    buyer = await buyer_at(sandbox)

    await buyer.send("card", number="4242424242424242", expiry="9/26", cvc="123")

    assert buyer.heading == "Paid"


@pytest.mark.parametrize(
    ("decision", "status"),
    [("complete", ("succeeded", None)), ("fail", ("requires_payment_method", "authentication_failed"))],
)
async def test_3d_secure_step_decides(sandbox: Sandbox, decision: str, status: tuple[str, str | None]) -> None:
    buyer = await buyer_at(sandbox)
    await buyer.send("card", number="4000 0025 0000 3155", **GOOD)
    assert (await state(sandbox))[0] == "requires_action"
    assert "3D Secure" in buyer.page

    await buyer.send("authenticate", decision=decision)

    assert await state(sandbox) == status


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ("pay", ("succeeded", None)),
        ("decline", ("requires_payment_method", "buyer_declined")),
        ("nothing", ("requires_action", None)),
    ],
)
async def test_wallet_owner_pays_declines_or_does_nothing(
    sandbox: Sandbox, decision: str, status: tuple[str, str | None]
) -> None:
    buyer = await buyer_at(sandbox)
    await buyer.open("?method=qr")
    assert '<svg class="code"' in buyer.page

    await buyer.send("qr", decision=decision)

    assert await state(sandbox) == status


async def test_buyer_returns_to_the_shop_with_the_reference(sandbox: Sandbox) -> None:
    buyer = await buyer_at(sandbox)
    await buyer.send("card", number="4242424242424242", **GOOD)

    [back] = re.findall(r'class="button" href="([^"]*)"', buyer.page)

    address = urlsplit(unescape(back))
    assert (address.netloc, address.path) == ("shop.test", "/back")
    told = parse_qs(address.query)
    assert (told["a"], told["reference"], told["status"]) == (["1"], ["TB-1-1"], ["succeeded"])


async def test_paid_page_takes_no_second_payment(sandbox: Sandbox) -> None:
    buyer = await buyer_at(sandbox)
    form = buyer.page
    await buyer.send("card", number="4242424242424242", **GOOD)
    [charged] = await sandbox.find("TB-1-1")

    buyer.page = form  # as from a second tab
    await buyer.send("card", number="5555555555554444", **GOOD)

    assert buyer.heading == "Paid"
    assert await sandbox.find("TB-1-1") == [charged]


async def test_form_from_elsewhere_is_refused(sandbox: Sandbox) -> None:
    buyer, stranger = await buyer_at(sandbox), await sandbox.stranger()
    csrf = re.findall(r'name="csrf" value="(\w+)"', buyer.page)[0]
    fields = {"number": "4242424242424242", **GOOD}

    without_value = await buyer.client.post(f"{buyer.url}/card", data=fields)
    without_cookie = await stranger.post(f"{buyer.url}/card", data={"csrf": csrf, **fields})
    with_another = await buyer.client.post(f"{buyer.url}/card", data={"csrf": "0" * 64, **fields})

    assert [a.status_code for a in (without_value, without_cookie, with_another)] == [403, 403, 403]
    assert await state(sandbox) == ("requires_action", None)


async def test_expired_page_takes_no_money(sandbox: Sandbox, clock: Clock) -> None:
    buyer = await buyer_at(sandbox, expires_in_s=60)
    clock.now_s = NOON + 60

    await buyer.send("card", number="4242424242424242", **GOOD)

    assert buyer.heading == "Expired"
    assert await state(sandbox) == ("canceled", None)


async def test_buyer_may_cancel(sandbox: Sandbox) -> None:
    buyer = await buyer_at(sandbox)

    await buyer.send("cancel")

    assert (buyer.heading, await state(sandbox)) == ("Canceled", ("canceled", None))


async def test_merchants_text_is_shown_as_text(sandbox: Sandbox) -> None:
    buyer = await buyer_at(sandbox, description='<img src=x onerror="alert(1)">', return_url='https://a.test/"><b>')

    assert "<img" not in buyer.page
    await buyer.send("card", number="4242424242424242", **GOOD)
    assert "<img" not in buyer.page
    assert "<b>" not in buyer.page


async def test_unknown_page_is_404_and_says_so(sandbox: Sandbox) -> None:
    answer = await sandbox.client.get("/pay/page_none")
    form = await sandbox.client.post("/pay/page_none/card", data={"number": "4242424242424242"})

    assert (answer.status_code, form.status_code) == (404, 404)
    assert "No such payment" in answer.text


@pytest.mark.parametrize("method", ["card", "qr"])
async def test_held_amount_is_shown_as_held_and_then_as_taken_and_given_back(sandbox: Sandbox, method: str) -> None:
    buyer = await buyer_at(sandbox, capture_method="manual")
    assert "only held" in buyer.page
    if method == "qr":
        await buyer.open("?method=qr")
        await buyer.send("qr", decision="pay")
    else:
        await buyer.send("card", number="4242 4242 4242 4242", **GOOD)
    held = buyer.heading

    body: dict[str, Any] = {"reference": "TB-1-1", "amount_to_capture": 1000}
    await sandbox.client.post("/v1/payment_intents/capture", json=body, headers=sandbox.as_hub)
    body = {"reference": "R1", "payment_reference": "TB-1-1", "amount": 250}
    await sandbox.client.post("/v1/refunds", json=body, headers=sandbox.as_hub)
    after = await buyer.open()

    assert (held, buyer.heading) == ("Authorised", "Paid")
    assert re.findall(r"<td>(.*?)</td>", after) == [
        "USD 10.00",
        "taken; the rest was released",
        "USD 2.50",
        "refund succeeded",
    ]
