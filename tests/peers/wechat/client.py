"""PyPI's wechatpayv3 as a merchant at a provider of ours, and as a judge of what our adapter signs. Run in an
environment of its own: `python client.py` reads one JSON document and writes one."""

import json
import sys
import time
from importlib import import_module

GIVEN = json.load(sys.stdin)
core, utils, package = (import_module(name) for name in ("wechatpayv3.core", "wechatpayv3.utils", "wechatpayv3"))
PUBLIC = "https://api.mch.weixin.qq.com"


class Redirected:
    """The library's own `requests`, with the provider's address replaced: it takes no other by itself."""

    def get(self, url, **parts):
        return import_module("requests").get(url.replace(PUBLIC, GIVEN["gateway"]), **parts)

    def post(self, url, **parts):
        return import_module("requests").post(url.replace(PUBLIC, GIVEN["gateway"]), **parts)


core.requests = Redirected()


def merchant(**keys):
    return package.WeChatPay(
        wechatpay_type=package.WeChatPayType.NATIVE,
        mchid=GIVEN["mchid"],
        private_key=GIVEN["private_key"],
        cert_serial_no=GIVEN["serial_no"],
        apiv3_key=GIVEN["api_v3_key"],
        appid=GIVEN["appid"],
        notify_url=GIVEN["notify_url"],
        **keys,
    )


def sale(client, number):
    """One order paid by nobody and closed; what each answer was, its signature having been verified."""
    placed = client.pay(description="a course, 一门课", out_trade_no=number, amount={"total": 1250, "currency": "CNY"})
    found = client.query(out_trade_no=number)
    closed = client.close(out_trade_no=number)
    return [[code, json.loads(text) if text else None] for code, text in (placed, found, closed)]


def forged(client):
    try:
        return client.query(out_trade_no=GIVEN["forged"])[0]
    except Exception as error:  # the library raises this class itself
        return str(error)


by_certificate = merchant()
by_public_key = merchant(public_key=GIVEN["public_key"], public_key_id=GIVEN["public_key_id"])
bill = json.loads(by_certificate.trade_bill(bill_date=GIVEN["day"], tar_type=None)[1])


def authorization(signed):
    """What the library puts into the same header at the same moment, with the same chance."""
    utils.time = type("Then", (), {"time": staticmethod(lambda: signed["timestamp"])})
    made = utils.build_authorization(
        signed["target"],
        signed["method"],
        GIVEN["mchid"],
        GIVEN["serial_no"],
        utils.load_private_key(GIVEN["private_key"]),
        signed["body"],
        signed["nonce"],
    )
    utils.time = time
    return made


told = {
    "by_certificate": sale(by_certificate, "TB-CERT-1"),
    "by_public_key": sale(by_public_key, "TB-PUBKEY-1"),
    "refunded": json.loads(
        by_certificate.refund(
            out_refund_no="TB-7-1-R9",
            out_trade_no="TB-7-1",
            amount={"refund": 30, "total": 1250, "currency": "CNY"},
        )[1]
    ),
    "bill": by_certificate.download_bill(bill["download_url"].replace(GIVEN["gateway"], PUBLIC))[1].decode("utf-8-sig"),
    "notices": [by_certificate.callback(headers, body) for headers, body in GIVEN["notices"]],
    "forged": forged(by_certificate),
    "authorizations": [authorization(signed) for signed in GIVEN["signed"]],
    "pay_sign": by_certificate.sign(GIVEN["jsapi"]),
}
json.dump(told, sys.stdout, ensure_ascii=False)
