"""Roles of a pipeline's jobs, and what each may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.errors import ConfigError
from pio_tf.iam.failsafe import (
    makes_failsafe,
    reads_failsafe,
    removes_deadlines,
    removes_failsafe,
    sets_deadlines,
)
from pio_tf.iam.identity import assumes_roles, knows_itself
from pio_tf.iam.machines import (
    makes_key_pair,
    makes_machines,
    reads_consoles,
    removes_key_pair,
    removes_machines,
    switches_power,
)
from pio_tf.iam.mirrors import fills_mirrors
from pio_tf.iam.network import (
    makes_address,
    makes_network,
    makes_security_group,
    removes_address,
    removes_network,
    removes_security_group,
)
from pio_tf.iam.reads import reads_of_changes, reads_of_machines, reads_of_references, reads_of_removals, reads_of_stack
from pio_tf.iam.scope import ANY_ACCOUNT, Scope
from pio_tf.iam.secrets import reads_secrets, references
from pio_tf.iam.state import keeps_runs, locks_state, reads_state, writes_state
from pio_tf.iam.tags import tags
from pio_tf.iam.uploads import uploads_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.config.schema import Config
    from pio_tf.iam.grant import Grant


@dataclass(frozen=True)
class Role:
    """A role, and the commands that it is for."""

    name: str
    commands: tuple[str, ...]
    parts: tuple[Callable[[Scope], Iterator[Grant]], ...]


_STACK = (reads_of_stack, reads_failsafe, reads_state, locks_state, knows_itself)
_PLAN = (*_STACK, reads_of_references)
_RUNS = (keeps_runs, uploads_runs)
_TRAIN = (reads_of_machines, reads_state, sets_deadlines, removes_deadlines, switches_power, *_RUNS, reads_secrets)
_MAKE = (makes_network, makes_security_group, makes_key_pair, makes_machines, makes_address, makes_failsafe, tags)
_REMOVE = (
    removes_machines,
    removes_failsafe,
    removes_deadlines,
    removes_address,
    removes_security_group,
    removes_key_pair,
    removes_network,
)

ROLES: tuple[Role, ...] = (
    Role("plan", ("plan", "guard", "drift", "output"), _PLAN),
    Role("apply", ("apply",), (*_PLAN, writes_state, reads_of_changes, reads_consoles, sets_deadlines, *_MAKE)),
    Role("train", ("train --no-apply", "attach", "down", "extend", "status", "runs", "logs"), _TRAIN),
    # `down --if-idle` calls nothing that `train` does not.
    Role("schedule", ("train --no-apply", "down --if-idle"), _TRAIN),
    Role(
        "destroy",
        ("destroy",),
        (*_STACK, writes_state, reads_of_removals, reads_consoles, *_RUNS, reads_secrets, *_REMOVE),
    ),
    Role("mirror", ("mirror push",), (fills_mirrors,)),
    Role("assume", ("whatever is done as aws.assume_role",), (assumes_roles,)),
)
"""The commands are as narrow as the policies: `up`, which creates and starts, needs apply and train together."""


@dataclass(frozen=True)
class Policy:
    """What a role needs for one cluster."""

    role: Role
    scope: Scope
    grants: tuple[Grant, ...]

    @property
    def document(self) -> dict[str, Any]:
        """As IAM takes it."""
        return {"Version": "2012-10-17", "Statement": [grant.statement for grant in self.grants]}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the document cannot say."""
        return tuple(_notes(self))


def policies(config: Config, role: str = "", *, account: str = "") -> tuple[Policy, ...]:
    """The narrowest policies. Asks AWS for nothing.

    Args:
        role: the name of one; empty: all that the configuration has a use for.
        account: twelve digits; default: that of ``aws.assume_role``, else any.

    Raises:
        ConfigError: there is no such role; nothing is to be assumed; or the account is none, or not that of
            ``aws.assume_role``.
    """
    scope = Scope(config, _account(config, account))
    found = [one for one in ROLES if role in ("", one.name)]
    if not found:
        raise ConfigError(
            f"there is no role {role!r}", next_step=f"give one of {', '.join(one.name for one in ROLES)} with --for"
        )
    made = [Policy(one, scope, tuple(grant for part in one.parts for grant in part(scope))) for one in found]
    if role == "mirror" and not made[0].grants:
        raise ConfigError(
            f"{config.path.name} names no mirror in S3",
            next_step='give software.mirrors one, like "s3://bucket/prefix"',
        )
    if not any(one.grants for one in made):
        raise ConfigError(
            f"{config.path.name} names no role to assume",
            cause="neither aws.assume_role nor the backend's is there",
            next_step="attach the policies of the other roles to what the jobs run as",
        )
    return tuple(one for one in made if one.grants)


def _account(config: Config, given: str) -> str:
    role = config.aws.assume_role
    known = role.role_arn.split(":")[4] if role is not None else ""
    if given and not re.fullmatch(r"\d{12}", given):
        raise ConfigError(f"--account {given!r} is no AWS account", next_step="give its twelve digits")
    if given and known and given != known:
        raise ConfigError(
            f"{config.where('aws.assume_role.role_arn')}: aws.assume_role is of account {known}, not {given}",
            next_step="leave --account out, or correct the role",
        )
    return given or known or ANY_ACCOUNT


def _notes(policy: Policy) -> Iterator[str]:
    scope, config = policy.scope, policy.scope.config
    if scope.account == ANY_ACCOUNT and policy.role.name != "assume":
        yield "the account is not known: ARNs have * in its place. --account gives it"
    if policy.role.name == "assume":
        return
    if config.aws.assume_role is not None:
        yield (f"this is for {config.aws.assume_role.role_arn} itself; what assumes it needs `pio-tf iam --for assume`")
    state = scope.state
    if state is not None and (state.aws.profile, state.aws.assume_role) != (config.aws.profile, config.aws.assume_role):
        yield "terraform.backend has credentials of its own: the statements on its bucket and table are for these"
    if config.terraform.backend is not None and state is None:
        yield f"the state is in a backend of the kind {config.terraform.backend.type}: what that needs is not in here"
    if reads_secrets in policy.role.parts and references(config):
        yield "a password that is encrypted with a KMS key of your own needs kms:Decrypt on that key as well"
