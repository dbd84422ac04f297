"""The socket's sign-in is the arena's."""

from tests.arena.conftest import sign_in

__all__ = ["sign_in"]
