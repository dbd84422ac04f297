"""The sealed pair: a hash that binds the site to the two names before the vote, and that anybody can check after it.

The seal is SHA-256 over four lines: the battle's id, the left name, the right name, the nonce. The nonce (256 random
bits) keeps a reader from trying all pairs.
"""

import hashlib
import hmac
import secrets


def new_nonce() -> str:
    return secrets.token_hex(32)


def seal(*, battle: str, left: str, right: str, nonce: str) -> str:
    """The commitment, 64 hexadecimal digits."""
    return hashlib.sha256(
        opened_text(battle=battle, left=left, right=right, nonce=nonce).encode()
    ).hexdigest()


def opened_text(*, battle: str, left: str, right: str, nonce: str) -> str:
    """What is hashed. Names hold no line breaks, so it can be read in one way only."""
    return "\n".join((battle, left, right, nonce))


def holds(commitment: str, *, battle: str, left: str, right: str, nonce: str) -> bool:
    return hmac.compare_digest(commitment, seal(battle=battle, left=left, right=right, nonce=nonce))
