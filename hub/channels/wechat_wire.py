"""WeChat Pay v3 on the wire (微信支付 APIv3): who we are, what we sign, whom we believe, what is sealed for us.

A call is signed over METHOD, PATH?QUERY, SECONDS, NONCE and BODY, a line each, by the merchant's key; an answer and a
notice over SECONDS, NONCE and BODY by one of WeChat's keys, which comes in a certificate or alone. What a notice says
is under AES-256-GCM besides, with the merchant's APIv3 key.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from hub.channels.connecting import ChannelSettingRefused

SCHEME = "WECHATPAY2-SHA256-RSA2048"
SEALED = "AEAD_AES_256_GCM"
PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"  # of the serial of a key that comes without a certificate
PROBE_PREFIX = "WECHATPAY/SIGNTEST/"  # signatures that are wrong on purpose: WeChat looks whether anybody checks
TOLERANCE_US = 300 * 1_000_000  # how far a signed time may lie from ours, both ways: WeChat's own clients' window
API_V3_KEY_BYTES = 32  # AES-256's
RSA_BITS = 2048  # the least that the scheme's name allows


class SignatureRefused(Exception):
    """Not provably WeChat's, now. `kind` is one of absent, probe, type, serial, stale, wrong."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who we are to WeChat, and the keys on both sides. During a rotation any of several verifies, any opens."""

    mchid: str
    appid: str
    serial_no: str  # of our own certificate
    private_key: RSAPrivateKey = field(repr=False)
    api_v3_keys: tuple[bytes, ...] = field(repr=False)
    platform_keys: Mapping[str, RSAPublicKey] = field(repr=False)

    @property
    def wanted_serial(self) -> str | None:
        """The public key that answers are to be signed with, if we have one: WeChat still signs with certificates
        for merchants who do not name theirs."""
        return next((serial for serial in self.platform_keys if serial.startswith(PUBLIC_KEY_PREFIX)), None)

    def signature(self, *lines: str) -> str:
        """Base64 of our signature over these lines, each ended by a newline."""
        text = "".join(f"{line}\n" for line in lines)
        return base64.b64encode(self.private_key.sign(text.encode(), PKCS1v15(), SHA256())).decode()

    def authorization(self, method: str, target: str, body: bytes, seconds: int, nonce: str) -> str:
        """The Authorization header of one call; `target` is path and query as they are sent."""
        signature = self.signature(method, target, str(seconds), nonce, body.decode())
        return (
            f'{SCHEME} mchid="{self.mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{seconds}",serial_no="{self.serial_no}"'
        )

    def signed_at_us(self, headers: Mapping[str, str], body: bytes, now_us: int) -> int:
        """When WeChat signed this body, in microseconds. Raises SignatureRefused unless it did, within the window."""
        signature, serial = headers.get("wechatpay-signature"), headers.get("wechatpay-serial")
        seconds, nonce = headers.get("wechatpay-timestamp"), headers.get("wechatpay-nonce")
        if not signature or not serial or not seconds or nonce is None:
            raise SignatureRefused("absent", "the signature is missing")
        if signature.startswith(PROBE_PREFIX):
            raise SignatureRefused("probe", "WeChat asks whether signatures are checked: they are")
        if headers.get("wechatpay-signature-type", SCHEME) != SCHEME:
            raise SignatureRefused("type", "the signature is of another kind")
        if not re.fullmatch(r"[0-9]{1,12}", seconds) or abs(now_us - int(seconds) * 10**6) > TOLERANCE_US:
            raise SignatureRefused("stale", "the signature's date lies outside the window")
        key = self.platform_keys.get(serial)
        if key is None:
            raise SignatureRefused("serial", "it is signed with a key that we do not have: see HUB_CHANNEL_WECHAT_*")
        if not is_signed(key, f"{seconds}\n{nonce}\n".encode() + body + b"\n", signature):
            raise SignatureRefused("wrong", "the signature is wrong")
        return int(seconds) * 10**6

    def opened(self, algorithm: str, nonce: str, associated_data: str, ciphertext: str) -> bytes:
        """What WeChat has sealed for us. Raises ValueError when none of our APIv3 keys opens it."""
        if algorithm != SEALED:
            raise ValueError("it is sealed in another way")
        sealed = base64.b64decode(ciphertext, validate=True)
        for key in self.api_v3_keys:
            try:
                return AESGCM(key).decrypt(nonce.encode(), sealed, associated_data.encode())
            except InvalidTag:
                continue
        raise ValueError("none of our APIv3 keys opens it")


def is_signed(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether `key` made this base64 signature over the message."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


# ---- from settings ---------------------------------------------------------------------------------------------------


def merchant_of(settings: Mapping[str, str]) -> Merchant:
    """Raises ChannelSettingRefused for a key that could not work; the text never holds a value."""
    return Merchant(
        mchid=settings["mchid"],
        appid=settings["appid"],
        serial_no=settings["serial_no"],
        private_key=_private_key(settings["private_key"]),
        api_v3_keys=_api_v3_keys(settings["api_v3_key"].split(",")),
        platform_keys=_platform_keys(settings["platform_keys"].split(",")),
    )


def _private_key(given: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(_pem("private_key", given), password=None)
    except (ValueError, TypeError) as error:
        raise ChannelSettingRefused("private_key", "this is no private key in PEM without a password") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < RSA_BITS:
        raise ChannelSettingRefused("private_key", f"WeChat signs with RSA of {RSA_BITS} bits or more")
    return key


def _api_v3_keys(given: Sequence[str]) -> tuple[bytes, ...]:
    keys = tuple(key.encode() for key in given)
    if any(len(key) != API_V3_KEY_BYTES for key in keys):
        text = f"an APIv3 key has {API_V3_KEY_BYTES} bytes; two, parted by a comma, while one replaces another"
        raise ChannelSettingRefused("api_v3_key", text)
    return keys


def _platform_keys(given: Sequence[str]) -> Mapping[str, RSAPublicKey]:
    keys: dict[str, RSAPublicKey] = {}
    for pair in given:
        serial, equals, pem = (part.strip() for part in pair.partition("="))
        name = serial if serial.startswith(PUBLIC_KEY_PREFIX) else serial.upper()
        if not serial or not equals or name in keys:
            text = "write <serial>=<PEM or its path>, several parted by commas, each serial once"
            raise ChannelSettingRefused("platform_keys", text)
        keys[name] = _platform_key(name, _pem("platform_keys", pem))
    return keys


def _platform_key(serial: str, pem: bytes) -> RSAPublicKey:
    """A public key under its id, or a certificate under its own serial number."""
    try:
        if serial.startswith(PUBLIC_KEY_PREFIX):
            key = load_pem_public_key(pem)
        else:
            certificate = x509.load_pem_x509_certificate(pem)
            if f"{certificate.serial_number:X}" != serial.lstrip("0"):
                raise ChannelSettingRefused("platform_keys", "a certificate has another serial number than it is named")
            key = certificate.public_key()
    except ValueError as error:
        text = f"{PUBLIC_KEY_PREFIX}… names a public key in PEM, any other serial a certificate in PEM"
        raise ChannelSettingRefused("platform_keys", text) from error
    if not isinstance(key, RSAPublicKey) or key.key_size < RSA_BITS:
        raise ChannelSettingRefused("platform_keys", f"WeChat signs with RSA of {RSA_BITS} bits or more")
    return key


def _pem(setting: str, given: str) -> bytes:
    """PEM text, where \\n may stand for a newline, or the file that has it."""
    if "-----BEGIN" in given:
        return given.replace("\\n", "\n").encode()
    try:
        return Path(given).expanduser().read_bytes()
    except OSError as error:
        text = f"neither PEM nor a file that can be read ({type(error).__name__})"
        raise ChannelSettingRefused(setting, text) from None
