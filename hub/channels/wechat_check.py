"""Whether WeChat Pay would take our calls, and we its words: what an operator asks before real money comes."""

from collections.abc import Sequence

from hub.channels import wechat_words as words
from hub.channels.exchange import Answer, Silence
from hub.channels.wechat_gateway import Gateway
from hub.channels.wechat_wire import TOLERANCE_US, Merchant
from hub.channels.wechat_words import NEVER_SEEN
from hub.ports import Finding


async def findings(gateway: Gateway, unseen: str) -> Sequence[Finding]:
    """One signed look for a trade that is not there; and WeChat's certificates, which only the APIv3 key opens."""
    answer = await gateway.call("GET", unseen)
    if isinstance(answer, Silence):
        return [Finding("reach", False, f"WeChat does not answer: {answer.code}")]
    told, doubt = words.refused("query", answer, 0), gateway.doubt(answer)
    is_signed = doubt is None and "wechatpay-signature" in answer.headers
    why = "yes" if is_signed else f"no, {doubt or 'absent'}"
    found = [
        Finding("reach", True, "WeChat answers"),
        Finding(
            "credentials",
            (told.outcome, told.stage) == NEVER_SEEN,
            f"it answers {answer.status} {told.code} to a question about no order",
        ),
        Finding("keys", is_signed, "its answer is signed with a key that we have: " + why),
    ]
    if seconds := words.seconds_in(answer.headers):
        apart_s = abs(gateway.clock.now_us() // 10**6 - seconds)
        is_near = apart_s * 10**6 <= TOLERANCE_US
        found.append(Finding("clock", is_near, f"its clock and ours are {apart_s} s apart"))
    return [*found, _certificates(gateway.merchant, await gateway.call("GET", "/v3/certificates"))]


def _certificates(merchant: Merchant, answer: Answer | Silence) -> Finding:
    """Whether the APIv3 key opens WeChat's certificates, and whether we have the keys of all of them."""
    if isinstance(answer, Silence) or answer.status != 200:
        told = answer.code if isinstance(answer, Silence) else answer.status
        text = f"WeChat shows no certificate ({told}): the APIv3 key proves itself at the first notice"
        return Finding("api_v3_key", not isinstance(answer, Silence) and answer.status == 404, text)
    try:
        serials = words.certificates_in(merchant, answer.body)
    except (KeyError, TypeError, ValueError):
        return Finding("api_v3_key", False, "it does not open WeChat's certificates")
    unknown = [serial for serial in serials if serial not in merchant.platform_keys]
    text = "it opens WeChat's certificates" + (f"; platform_keys lacks {', '.join(unknown)}" if unknown else "")
    return Finding("api_v3_key", True, text)
