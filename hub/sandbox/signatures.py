"""The sandbox's signature: Stripe's published scheme, so that a verifier written by others can judge ours.

`Sandbox-Signature: t=<unix seconds>,v1=<hex>`, where v1 is HMAC-SHA256 over `<t>.<body>` under the shared secret.
"""

import hashlib
import hmac

HEADER = "Sandbox-Signature"


def signature(body: bytes, secret: str, at: int) -> str:
    """The header's value for `body`, dated `at` (unix seconds)."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
