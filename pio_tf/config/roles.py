"""The roles of machines."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Role: TypeAlias = Literal["driver", "master", "worker"]
ROLES: Final[tuple[Role, ...]] = ("driver", "master", "worker")
"""In the order in which machines are shown."""


def role_of(machine: str) -> Role:
    """Return the role of a machine by its name: ``driver``, ``master``, ``worker-1``."""
    return next((role for role in ROLES if role == machine), "worker")
