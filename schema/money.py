"""Money, always an amount with its currency."""

import strawberry

from hub.domain.money import Money as DomainMoney
from resolvers.scalars import BigInt, CurrencyCode, Decimal
from schema.cost import FREE
from schema.fields import SHAREABLE, plain, represents


@represents(DomainMoney)
@strawberry.type(
    description="An amount of money: `amountMinor` units of 10^-scale of the currency.", directives=[SHAREABLE, FREE]
)
class Money:
    amount_minor: BigInt = plain("Minor units (cents, fen); never negative.")
    currency: CurrencyCode = plain("Of which currency.")
    scale: int = plain("Decimals of the currency: 2 for CNY, 0 for JPY; up to 18.")
    decimal: Decimal = plain("The same amount in major units, such as 9.90.", name="amount")
