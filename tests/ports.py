"""Ports for servers that a test starts a while after it has chosen one."""

import random
import socket

# Below those that Linux gives to outgoing connections and to servers without a wish (32768 and above): nobody on the
# machine gets the chosen one by chance before its server has it.
FIRST, LAST = 20_000, 32_000


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    while True:
        port = random.SystemRandom().randrange(FIRST, LAST)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
