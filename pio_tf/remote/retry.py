"""How long to try again while a machine boots."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Limits of connecting to one machine; all in seconds.

    Args:
        timeout: in all. A booting machine refuses connections, or does not answer, for a minute or two.
        denied: how long a refused key is tried again. Just after boot sshd answers before cloud-init has written the
            user's authorized_keys; later than that, the key is wrong, and waiting does not help.
        attempt: for one attempt, through to the login. A security group that drops packets never answers.
        first_delay: before the second attempt; each delay is half as long again as the one before,
        longest_delay: up to this.
    """

    timeout: float = 60.0
    denied: float = 20.0
    attempt: float = 15.0
    first_delay: float = 0.25
    longest_delay: float = 3.0
