"""Which channel is asked (路由): what each could do for a payment now, its merchant's rules, the choice, and why."""

from hub.domain.money import Money
from hub.domain.payments import CaptureMethod
from hub.ports import Capabilities


def cannot_take(
    capabilities: Capabilities | None, money: Money, method: str | None, capture_method: CaptureMethod
) -> str | None:
    """Why a channel could not take this payment, known without asking it; None: it could."""
    if capabilities is None:
        return "it is not configured here"
    if not capabilities.takes(money):
        return f"it does not take {money.amount_minor} minor units of {money.currency}"
    if method is not None and capabilities.methods and method.partition(":")[0] not in capabilities.methods:
        return f"it has no such method: {', '.join(capabilities.methods)}"
    if capture_method is CaptureMethod.MANUAL and not capabilities.can_authorize:
        return "it cannot hold money for its merchant to take later"
    return None
