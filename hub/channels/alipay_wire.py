"""Alipay's wire (支付宝开放平台 2.0): keys, signatures over exactly the text that was signed, amounts, times.

RSA2 alone, SHA256 with RSA: nothing here can verify the older RSA (SHA-1) or MD5.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
)

from hub.channels.connecting import ChannelSettingRefused

SIGN_TYPE = "RSA2"
LEAST_BITS = 2048  # what RSA2 asks of a key
CHINA = timezone(timedelta(hours=8))  # Asia/Shanghai, which has known no other time since 1991
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ARMOUR = re.compile(r"-----(BEGIN|END) [A-Z ]+-----")
_YUAN = re.compile(r"(-?)(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?", re.ASCII)
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,3})?", re.ASCII)
_KEY = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


class Nonsense(ValueError):
    """What Alipay would not send: it is not read further, and nothing of it is believed."""


# ---- signatures ------------------------------------------------------------------------------------------------------


def signed(fields: Mapping[str, str], key: RSAPrivateKey) -> dict[str, str]:
    """The fields of a call with their `sign`."""
    signature = key.sign(signed_text(fields), PKCS1v15(), SHA256())
    return {**fields, "sign": base64.b64encode(signature).decode()}


def signed_text(fields: Mapping[str, str]) -> bytes:
    """What is signed of a call or a notice: its fields by name, without encoding for any address."""
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields)).encode()


def is_signed(text: bytes, signature: object, keys: Sequence[RSAPublicKey]) -> bool:
    """Whether one of the keys signed exactly this text."""
    try:
        given = base64.b64decode(str(signature), validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(_verifies(key, given, text) for key in keys)


def _verifies(key: RSAPublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: `content` was read from `text`, the bytes that `sign` is about. `sign` None: it is not signed."""

    content: Mapping[str, Any]
    text: bytes
    sign: object


def said_in(body: bytes, method: str) -> Said:
    """The answer to `method` in a body, cut out of it as it came. Of several signatures the last. Raises Nonsense."""
    try:
        orjson.loads(body)  # bounds how deep it goes: the decoder below follows any depth, into a crash if it may
        members = list(_members(body.decode()))
    except (ValueError, RecursionError) as error:
        raise Nonsense("this is not JSON") from error
    wanted = (f"{method.replace('.', '_')}_response", "error_response")
    answers = [(content, text) for name, content, text in members if name in wanted]
    if len(answers) != 1 or not isinstance(answers[0][0], dict):
        raise Nonsense("this is no answer to the call")
    signatures = [content for name, content, _ in members if name == "sign"]
    [(content, text)] = answers
    return Said(content, text.encode(), signatures[-1] if signatures else None)


def _members(text: str) -> Iterator[tuple[str, Any, str]]:
    """Name, value and value's own text of each member of a JSON object, doubled names included."""
    decoder = json.JSONDecoder()
    at = _past(text, 0, "{")
    while True:
        name, end = decoder.raw_decode(text, _past(text, at, ""))
        if not isinstance(name, str):
            raise json.JSONDecodeError("a name was expected", text, at)
        start = _past(text, _past(text, end, ":"), "")
        value, end = decoder.raw_decode(text, start)
        yield name, value, text[start:end]
        at = _past(text, end, "")
        if text[at : at + 1] != ",":
            break
        at += 1
    if text[_past(text, at, "}") :].strip(" \t\r\n"):
        raise json.JSONDecodeError("something follows the object", text, at)


def _past(text: str, at: int, sign: str) -> int:
    """Where the text goes on after blanks, and after one sign that must be there."""
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    if not text.startswith(sign, at):
        raise json.JSONDecodeError(f"{sign!r} was expected", text, at)
    return at + len(sign)


# ---- keys ------------------------------------------------------------------------------------------------------------


def private_key_in(value: str, setting: str) -> RSAPrivateKey:
    """The key in a setting: PEM text, Alipay's one line of base64, or the path of a file with either. Raises
    ChannelSettingRefused."""
    try:
        key = load_der_private_key(_der(value, setting), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ChannelSettingRefused(setting, "holds no unencrypted RSA private key") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < LEAST_BITS:
        raise ChannelSettingRefused(setting, f"RSA2 needs an RSA key of at least {LEAST_BITS} bits")
    return key


def public_keys_in(value: str, setting: str) -> tuple[RSAPublicKey, ...]:
    """One key, or two parted by a comma while one replaces the other; each as in `private_key_in`."""
    return tuple(_public_key_in(one, setting) for one in value.split(","))


def _public_key_in(value: str, setting: str) -> RSAPublicKey:
    try:
        key = load_der_public_key(_der(value, setting))
    except (ValueError, UnsupportedAlgorithm):
        raise ChannelSettingRefused(setting, "holds no RSA public key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_BITS:
        raise ChannelSettingRefused(setting, f"RSA2 needs an RSA key of at least {LEAST_BITS} bits")
    return key


def _der(value: str, setting: str) -> bytes:
    text = value.strip()
    try:
        if text.startswith(("/", "./", "~/")) and len(text) < 1024 and Path(text).expanduser().is_file():
            text = Path(text).expanduser().read_text()
        bare = "".join(_ARMOUR.sub("", text.replace("\\n", "\n")).split())
        return base64.b64decode(bare, validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error, ValueError):
        raise ChannelSettingRefused(setting, "is neither a key nor the path of a file that holds one") from None


# ---- words -----------------------------------------------------------------------------------------------------------


def fen(text: object) -> int:
    """Yuan as Alipay writes them ('9.90', '9.9', '10') in fen, exactly; '-0.05' is -5. Raises Nonsense for every
    other notation: nothing is rounded or guessed."""
    match = _YUAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Nonsense("this is no amount in yuan")
    sign, yuan, decimals = match.groups()
    amount = int(yuan) * 100 + int((decimals or "").ljust(2, "0"))
    return -amount if sign else amount


def positive_fen(text: object) -> int:
    """The same, of an amount that cannot be negative."""
    amount = fen(text)
    if amount < 0 or str(text).startswith("-"):
        raise Nonsense("this amount is negative")
    return amount


def moment_us(text: object) -> int:
    """A time of Alipay, in China's, as microseconds since 1970. Raises Nonsense."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Nonsense("this is no time")
    try:
        moment = datetime.fromisoformat(match[1]).replace(tzinfo=CHINA)
    except ValueError as error:
        raise Nonsense("this is no time") from error
    return (moment - EPOCH) // timedelta(microseconds=1) + int((match[2] or ".0")[1:].ljust(6, "0"))


def moment_text(at_us: int) -> str:
    """The second of a moment, as Alipay writes it."""
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


def reference_of(key: str) -> str | None:
    """`out_trade_no` of an attempt's key: letters, digits and underscores are all it may have, and our keys have no
    underscore. None: the key cannot be written."""
    return key.replace("-", "_") if _KEY.fullmatch(key) else None


def key_of(reference: str) -> str:
    """The attempt's key again. A reference that is not ours gives a key that nobody has."""
    return reference.replace("_", "-")
