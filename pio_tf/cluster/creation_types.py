"""The instance types of new machines, where AWS has no capacity for the first one of pio-tf.hcl."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pio_tf.config.roles import ROLES
from pio_tf.infra.terraform_messages import NO_SUCH_MACHINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.config.schema import Config
    from pio_tf.errors import TerraformError
    from pio_tf.model import Role


class CreationTypes:
    """The next types to create machines with, as one apply after the other fails.

    Args:
        usable: returns the types that machines of a role may have.
    """

    def __init__(self, config: Config, usable: Callable[[Role], tuple[str, ...]]) -> None:
        self._usable = usable
        self._config = config
        self._tried: dict[Role, list[str]] = {role: [config.types(role).first] for role in ROLES}

    def lacking(self, error: TerraformError) -> dict[Role, str]:
        """Return, by role, the types that AWS had no capacity for; empty if the apply failed for another reason."""
        roles = list(_roles_without_capacity(error.details.get("diagnostics")))
        return {} if None in roles else {role: self._tried[role][-1] for role in ROLES if role in roles}

    def next_config(self, lacking: dict[Role, str]) -> Config | None:
        """Return the configuration with which new machines get their next types; None: one role has tried them all."""
        for role in lacking:
            kind = self._next(role)
            if kind is None:
                return None
            self._tried[role].append(kind)
        return self._config.with_first_types({role: tried[-1] for role, tried in self._tried.items()})

    def suggestion(self, lacking: dict[Role, str]) -> str:
        """Return what to write into pio-tf.hcl so that the next plan creates other types; empty: there is no other."""
        steps = {self._config.types(role).option: self._next(role) for role in lacking}
        return " and ".join(f"{kind} first in {option}" for option, kind in steps.items() if kind is not None)

    def _next(self, role: Role) -> str | None:
        """Return the first type of a role that was not tried; None: there is none."""
        return next((kind for kind in self._usable(role) if kind not in self._tried[role]), None)


def _roles_without_capacity(diagnostics: Any) -> Iterator[Role | None]:  # noqa: ANN401 - details of an error
    """Yield the role of each machine that an apply could not create for lack of capacity; None for other errors."""
    for one in diagnostics or [{}]:
        text = " ".join(f"{one.get('summary')} {one.get('detail')}".split())
        address = str(one.get("address"))
        if not re.search(NO_SUCH_MACHINE, text) or "aws_instance" not in address:
            yield None
        else:
            yield "driver" if "module.driver." in address else "master" if "module.master." in address else "worker"
