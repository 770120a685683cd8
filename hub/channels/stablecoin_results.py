"""What the stablecoin channel says after a look at the contracts, in the port's words."""

from hashlib import sha256

from hub.domain.money import Money
from hub.domain.payments import NextAction, Outcome, Result, Stage
from hub.ports import Clock

LOOK_AGAIN_MS = 2_000
AWAY = "chain_unavailable"  # the code of what could not be asked


class Answers:
    """Results that are dated by a clock. A digest is over what is said, as there is no message to digest."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def said(
        self,
        outcome: Outcome,
        stage: Stage = Stage.NONE,
        *,
        key: bytes | None = None,
        code: str | None = None,
        amount: Money | None = None,
        movement_ref: str | None = None,
        provider_at_us: int | None = None,
        retry_after_ms: int | None = None,
        next_action: NextAction | None = None,
    ) -> Result:
        ref = None if key is None else as_text(key)
        digest = sha256(f"{outcome}/{stage}/{ref}/{code}".encode()).digest()
        return Result(
            outcome=outcome,
            stage=stage,
            raw_digest=digest,
            observed_at_us=self._clock.now_us(),
            channel_ref=ref,
            movement_ref=movement_ref,
            amount=amount,
            provider_at_us=provider_at_us,
            code=code,
            retry_after_ms=retry_after_ms,
            next_action=next_action,
        )

    def later(self, key: bytes, provider_at_us: int | None = None) -> Result:
        """On its way: ask again."""
        return self.said(Outcome.PENDING, key=key, provider_at_us=provider_at_us, retry_after_ms=LOOK_AGAIN_MS)

    def away(self) -> Result:
        """The chain could not be asked, so nothing was done."""
        return self.said(Outcome.NOT_SENT, code=AWAY, retry_after_ms=LOOK_AGAIN_MS)


def as_text(octets: bytes) -> str:
    """0x and hexadecimal digits."""
    return "0x" + octets.hex()
