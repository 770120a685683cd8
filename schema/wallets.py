"""Wallets: EVM addresses that a person has proven to hold."""

import strawberry

from hub.flows.wallets import Asked
from resolvers import wallets
from resolvers.scalars import Instant
from schema.connections import Node
from schema.fields import changed_by, plain, relation, represents
from schema.payloads import Payload


@represents("WalletRow")
@strawberry.type(description="An EVM address that a person has proven to hold. Shown to that person alone.")
class Wallet(Node):
    address: str = plain("The address, spelt as EIP-55 says.")
    linked_at_us: Instant = plain("When it was linked.", name="linkedAt")


@represents(Asked)
@strawberry.type(description="A text to be signed with a wallet, as EIP-4361 writes it.")
class WalletChallenge:
    nonce: str = plain("What makes it count once.")
    message: str = plain("The whole text: sign it as it is (personal_sign), and send it back as it is.")
    expires_at_us: Instant = plain("Until when it counts: five minutes.", name="expiresAt")


@strawberry.type(description="What walletChallenge came to.")
class WalletChallengePayload(Payload):
    challenge: WalletChallenge | None = relation("challenge", "What to sign; null if it was refused.")


@strawberry.type(description="What walletLink came to.")
class WalletLinkPayload(Payload):
    wallet: Wallet | None = relation("wallet", "The wallet; null if it was refused.")


@strawberry.type(description="What walletUnlink came to.")
class WalletUnlinkPayload(Payload):
    unlinked_id: strawberry.ID | None = relation("unlinked_id", "The id that the wallet had; null if it was refused.")


@strawberry.type
class WalletMutations:
    wallet_challenge: WalletChallengePayload = changed_by(
        wallets.wallet_challenge,
        "What to sign with a wallet in order to link it. Nothing is linked yet.",
        is_attempt=True,
    )
    wallet_link: WalletLinkPayload = changed_by(
        wallets.wallet_link,
        "Link the wallet that signed a text of walletChallenge: an account's key (EIP-191) or a contract wallet "
        "(EIP-1271). An address is one user's at a time. What is later claimed for it on chain shows the address there "
        "to everybody, and cannot be erased.",
        is_attempt=True,
    )
    wallet_unlink: WalletUnlinkPayload = changed_by(
        wallets.wallet_unlink,
        "Unlink a wallet of yours; refused while a right is on its way to it. What it holds on chain it keeps. Again "
        "is the same.",
    )
