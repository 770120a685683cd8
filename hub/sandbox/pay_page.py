"""The provider's hosted pay page: what a buyer sees. Plain HTML that works without script, one form a step.

A card form, a QR code with the three things that a wallet's owner can do, and the 3D Secure step. Every change is a
POST that carries a value bound to the browser the page was shown in, and ends in a redirect back to the page, so a
reload repeats nothing.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hub.sandbox.cards import CARDS, MESSAGES, Card, check_card
from hub.sandbox.intent_rows import MINOR_DIGITS, Intent, IntentRefused
from hub.sandbox.page import HEADERS, page
from hub.sandbox.qr import as_svg
from hub.sandbox.wire import Peer

COOKIE = "sandbox_payer"
COOKIE_BYTES = 16
FORM_FIELDS_LIMIT = 10  # the card form has four
BACK_TO_SHOP_AFTER_S = 5  # long enough to read the result

HELD = '<p class="soft">The shop takes the amount later; until then it is only held.</p>'

Form = dict[str, str]


async def shown(request: Request) -> Response:
    """GET /pay/{token}: the step the payment is at; `?method=qr` chooses the other tab."""
    peer: Peer = request.app.state.peer
    intent = _intent(request)
    if intent is None:
        return _no(404, "No such payment", "This address belongs to no payment. Go back to the shop and try again.")
    if intent.status != "requires_action":
        return _result(peer, intent)
    payer = request.cookies.get(COOKIE) or secrets.token_hex(COOKIE_BYTES)
    csrf = _csrf(peer, intent, payer)
    if intent.step == "authenticate":
        answer = page("Is it you?", _authentication(intent, csrf))
    elif request.query_params.get("method") == "qr":
        answer = page(f"Pay {amount_of(intent)}", _wallet(peer, intent, csrf))
    else:
        answer = page(f"Pay {amount_of(intent)}", _card_form(intent, csrf, {}, {}))
    answer.set_cookie(COOKIE, payer, path=f"/pay/{intent.page_token}", httponly=True, samesite="lax")
    return answer


async def paid_by_card(request: Request) -> Response:
    """POST number, expiry, cvc. What is wrong with them is said beside the field, and nothing has happened."""

    def act(peer: Peer, intent: Intent, form: Form, now: int) -> Response | None:
        today = datetime.fromtimestamp(now, UTC)
        card = check_card(
            form.get("number", ""), form.get("expiry", ""), form.get("cvc", ""), year=today.year, month=today.month
        )
        if not isinstance(card, Card):
            wrong = {name: MESSAGES[error] for name, error in card.items()}
            return page("Check your card", _card_form(intent, form["csrf"], form, wrong), status=422)
        peer.intents.pay(intent, card, now)
        return None

    return await _submitted(request, act)


async def decided_in_wallet(request: Request) -> Response:
    """POST decision=pay|decline|nothing: what the wallet's owner did after scanning the code."""

    def act(peer: Peer, intent: Intent, form: Form, now: int) -> Response | None:
        decision = form.get("decision")
        if decision == "pay":
            peer.intents.pay_by_wallet(intent, now)
        elif decision == "decline":
            peer.intents.decline(intent, "buyer_declined", None, now)
        elif decision == "nothing":
            return RedirectResponse(f"/pay/{intent.page_token}?method=qr", 303, HEADERS)
        else:
            return _no(400, "What now?", "Choose one of the buttons on the page.")
        return None

    return await _submitted(request, act)


async def authenticated(request: Request) -> Response:
    """POST decision=complete|fail: the end of the 3D Secure step."""

    def act(peer: Peer, intent: Intent, form: Form, now: int) -> Response | None:
        if form.get("decision") not in ("complete", "fail"):
            return _no(400, "What now?", "Choose one of the buttons on the page.")
        peer.intents.authenticate(intent, form["decision"] == "complete", now)
        return None

    return await _submitted(request, act)


async def given_up(request: Request) -> Response:
    """POST: the buyer does not want to pay."""

    def act(peer: Peer, intent: Intent, _: Form, now: int) -> Response | None:
        peer.intents.cancel(intent, now)
        return None

    return await _submitted(request, act)


async def _submitted(request: Request, act: Callable[[Peer, Intent, Form, int], Response | None]) -> Response:
    """One form's way: whose it is, from where it came, what it does; then back to the page, which says what is."""
    peer: Peer = request.app.state.peer
    form = await _form(request)
    intent = _intent(request)
    if intent is None:
        return _no(404, "No such payment", "This address belongs to no payment. Go back to the shop and try again.")
    expected = _csrf(peer, intent, request.cookies.get(COOKIE, ""))
    if not hmac.compare_digest(form.get("csrf", "").encode(), expected.encode()):
        return _no(403, "Not from this page", "Your browser kept no cookie of this page. Load it again and retry.")
    try:
        with peer.tables.transaction():
            answer = act(peer, intent, form, peer.now())
    except IntentRefused:  # it was paid, closed or expired meanwhile: the page says so
        answer = None
    peer.courier.wake()
    return answer or RedirectResponse(f"/pay/{intent.page_token}", 303, HEADERS)


def _intent(request: Request) -> Intent | None:
    peer: Peer = request.app.state.peer
    with peer.tables.transaction():
        intent = peer.intents.shown_at(request.path_params["token"])
        return None if intent is None else peer.intents.as_of(intent, peer.now())


async def _form(request: Request) -> Form:
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=FORM_FIELDS_LIMIT)
    except ValueError:  # more fields than any form of ours has
        return {}
    return {name: values[0] for name, values in fields.items()}


def _csrf(peer: Peer, intent: Intent, payer: str) -> str:
    return hmac.new(peer.keys.page_key.encode(), f"{intent.page_token} {payer}".encode(), hashlib.sha256).hexdigest()


def amount_of(intent: Intent) -> str:
    """The amount as people write it: `USD 12.50`, `JPY 1250`."""
    return written(intent.amount, intent.currency)


def written(amount: int, currency: str) -> str:
    digits = MINOR_DIGITS.get(currency, 2)
    if digits == 0:
        return f"{currency} {amount}"
    return f"{currency} {amount // 10**digits}.{amount % 10**digits:0{digits}d}"


def _head(intent: Intent) -> str:
    until = datetime.fromtimestamp(intent.expires_at, UTC).strftime("%H:%M UTC")
    return (
        f"<h1>{escape(intent.description or 'Payment')}</h1>"
        f'<p class="amount">{escape(amount_of(intent))}</p>'
        f'<p class="soft"><small>Reference {escape(intent.reference)} · payable until {until}</small></p>'
        + (HELD if intent.capture_method == "manual" else "")
    )


def _tabs(intent: Intent, method: str) -> str:
    tabs = "".join(
        f'<a href="/pay/{intent.page_token}?method={name}"{" aria-current=page" if name == method else ""}>{title}</a>'
        for name, title in (("card", "Card"), ("qr", "QR code"))
    )
    return f'<nav aria-label="Payment method">{tabs}</nav>'


def _form_to(intent: Intent, step: str, csrf: str, content: str) -> str:
    return (
        f'<form method="post" action="/pay/{intent.page_token}/{step}" autocomplete="off" novalidate>'
        f'<input type="hidden" name="csrf" value="{escape(csrf)}">{content}</form>'
    )


def _cancel_form(intent: Intent, csrf: str) -> str:
    return _form_to(intent, "cancel", csrf, '<button class="link">Cancel this payment</button>')


def _card_form(intent: Intent, csrf: str, typed: Form, wrong: dict[str, str]) -> str:
    def box(name: str, title: str, hint: str, value: str) -> str:
        error = wrong.get(name)
        marked = f' aria-invalid="true" aria-describedby="{name}-wrong"' if error else ""
        said = f'<p class="wrong" id="{name}-wrong">{escape(error)}</p>' if error else ""
        return (
            f'<div><label for="{name}">{title}</label><input type="text" inputmode="numeric" id="{name}" '
            f'name="{name}" placeholder="{hint}" value="{escape(value)}"{marked}>{said}</div>'
        )

    fields = (
        box("number", "Card number", "4242 4242 4242 4242", typed.get("number", ""))
        + '<div class="pair">'
        + box("expiry", "Expiry", "MM / YY", typed.get("expiry", ""))
        + box("cvc", "Security code", "123", "")  # never sent back, not even in TEST mode
        + "</div>"
        + f"<button>Pay {escape(amount_of(intent))}</button>"
    )
    return (
        _head(intent)
        + _tabs(intent, "card")
        + _form_to(intent, "card", csrf, fields)
        + _cancel_form(intent, csrf)
        + _test_cards()
    )


def _test_cards() -> str:
    rows = "".join(
        f"<tr><td>{' '.join(card.number[at : at + 4] for at in range(0, 16, 4))}</td><td>{escape(card.title)}</td></tr>"
        for card in CARDS
    )
    return (
        "<details><summary>Test cards</summary><p><small>With any date to come and any three digits. Never type a "
        f"real card here.</small></p><table><tbody>{rows}</tbody></table></details>"
    )


def _wallet(peer: Peer, intent: Intent, csrf: str) -> str:
    buttons = (
        '<p class="soft">Scanning opens this same page. The buttons are what the wallet’s owner does next:</p>'
        '<button name="decision" value="pay">Pay</button>'
        '<button class="plain" name="decision" value="decline">Decline</button>'
        '<button class="plain" name="decision" value="nothing">Do nothing</button>'
    )
    code = as_svg(f"{peer.intents.page_url(intent)}?method=qr", "QR code with the address of this page")
    return (
        _head(intent) + _tabs(intent, "qr") + code + _form_to(intent, "qr", csrf, buttons) + _cancel_form(intent, csrf)
    )


def _authentication(intent: Intent, csrf: str) -> str:
    buttons = (
        '<button name="decision" value="complete">Complete authentication</button>'
        '<button class="plain" name="decision" value="fail">Fail authentication</button>'
    )
    return (
        '<p class="soft"><small>3D Secure · Sandbox Bank</small></p>'
        + _head(intent)
        + "<p>Your bank wants to know that it is you who pays.</p>"
        + _form_to(intent, "authenticate", csrf, buttons)
        + _cancel_form(intent, csrf)
    )


def _result(peer: Peer, intent: Intent) -> Response:
    if intent.status == "succeeded":
        title, said, mood = "Paid", "Thank you. The payment went through.", "good"
    elif intent.status == "requires_capture":
        title, said, mood = "Authorised", "Thank you. The amount is held until the shop takes it.", "good"
    elif intent.status == "requires_payment_method":
        code = intent.decline_code or intent.error_code or "card_declined"
        title, said, mood = "Declined", MESSAGES[code] + " Nothing was charged.", "wrong"
    elif intent.cancellation_reason == "expired":
        title, said, mood = "Expired", "Nobody paid in time. Nothing was charged.", "wrong"
    else:
        title, said, mood = "Canceled", "This payment was canceled. Nothing was charged.", "soft"
    back, head = "", ""
    if intent.return_url:
        address = escape(_returning(intent, intent.return_url))
        back = f'<a class="button" href="{address}">Back to the shop</a>'
        head = f'<meta http-equiv="refresh" content="{BACK_TO_SHOP_AFTER_S};url={address}">\n'
    return page(
        title,
        f'{_head_of_result(intent, title)}<p class="{mood}" role="status">{said}</p>{_returned(peer, intent)}{back}',
        head=head,
    )


def _returned(peer: Peer, intent: Intent) -> str:
    """What has been given back, or taken less than was held."""
    rows = [
        f"<tr><td>{escape(written(refund.amount, refund.currency))}</td><td>refund {refund.status}</td></tr>"
        for refund in peer.refunds.of(intent)
    ]
    if 0 < intent.amount_received < intent.amount:
        taken = escape(written(intent.amount_received, intent.currency))
        rows.insert(0, f"<tr><td>{taken}</td><td>taken; the rest was released</td></tr>")
    return f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""


def _head_of_result(intent: Intent, title: str) -> str:
    return (
        f"<h1>{title}</h1><p>{escape(intent.description or 'Payment')}</p>"
        f'<p class="amount">{escape(amount_of(intent))}</p>'
        f'<p class="soft"><small>Reference {escape(intent.reference)}</small></p>'
    )


def _returning(intent: Intent, address: str) -> str:
    """The shop's address with what it may look up. It proves nothing: the shop believes signed notices and answers."""
    parts = urlsplit(address)
    told = urlencode({"payment_intent": intent.id, "reference": intent.reference, "status": intent.status})
    return urlunsplit(parts._replace(query=f"{parts.query}&{told}" if parts.query else told))


def _no(status: int, title: str, said: str) -> Response:
    return page(title, f"<h1>{title}</h1><p>{said}</p>", status=status)


ROUTES = [
    Route("/pay/{token}", shown, methods=["GET"]),
    Route("/pay/{token}/card", paid_by_card, methods=["POST"]),
    Route("/pay/{token}/qr", decided_in_wallet, methods=["POST"]),
    Route("/pay/{token}/authenticate", authenticated, methods=["POST"]),
    Route("/pay/{token}/cancel", given_up, methods=["POST"]),
]
