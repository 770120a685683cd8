"""PyPI's python-alipay-sdk as an app at a provider of ours, and as a judge of what our adapter signs and takes. Run in
an environment of its own: `python client.py` reads one JSON document and writes one."""

import json
import sys
from importlib import import_module
from urllib.parse import parse_qs

GIVEN = json.load(sys.stdin)
package = import_module("alipay")
failures = import_module("alipay.exceptions")


def client(private_key, public_key, sign_type="RSA2"):
    made = package.AliPay(
        appid=GIVEN["app_id"],
        app_private_key_string=private_key,
        alipay_public_key_string=public_key,
        sign_type=sign_type,
    )
    made._gateway = GIVEN["gateway"]  # it takes no other address by itself
    return made


app = client(GIVEN["app_private_key"], GIVEN["alipay_public_key"])
alipay = client(GIVEN["alipay_private_key"], GIVEN["app_public_key"])  # who signs notices, and checks what apps sign


def sale(number):
    """One payment that nobody makes, closed, and one that a buyer has made, partly given back."""
    placed = app.api_alipay_trade_precreate("课程", number, "12.50", time_expire="2099-01-01 00:00:00")
    found = app.api_alipay_trade_query(out_trade_no=number)
    closed = app.api_alipay_trade_close(out_trade_no=number)
    return [placed, found, closed]


def refund(number):
    asked = app.api_alipay_trade_refund("0.30", out_trade_no=number, out_request_no=f"{number}-R1")
    return [asked, app.api_alipay_trade_fastpay_refund_query(f"{number}-R1", out_trade_no=number)]


def forged(number):
    try:
        return app.api_alipay_trade_query(out_trade_no=number)
    except failures.AliPayValidationError as error:
        return type(error).__name__


def signature(fields):
    """What this library signs the same call with: RSA with PKCS #1 v1.5 has one signature for one text."""
    return parse_qs(app.sign_data(dict(fields)))["sign"][0]


def notice(fields, sign_type):
    """A notice as this library signs one, which Alipay's way leaves `sign_type` out of."""
    return client(GIVEN["alipay_private_key"], GIVEN["app_public_key"], sign_type).sign_data(dict(fields)) + (
        f"&sign_type={sign_type}"
    )


told = {
    "sale": sale(GIVEN["numbers"][0]),
    "refund": refund(GIVEN["numbers"][1]),
    "forged": [forged(GIVEN["numbers"][1]) for _ in GIVEN["faults"]],
    "signatures": [signature(fields) for fields in GIVEN["signed"]],
    "is_right": [alipay._verify(text, sign) for text, sign in GIVEN["texts"]],
    "notices": [notice(GIVEN["notice"], sign_type) for sign_type in ("RSA2", "RSA")],
    "takes_notices": [app.verify(dict(fields), sign) for fields, sign in GIVEN["notices"]],
}
json.dump(told, sys.stdout)
