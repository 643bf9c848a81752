"""Who one is, and whom one becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.iam.scope import Scope


def knows_itself(_scope: Scope) -> Iterator[Grant]:
    """Which account this is: a kept plan says so. AWS lets everybody ask, unless something denies it."""
    yield Grant(
        sid="WhoAmI",
        why="The role for deadlines trusts this account; a kept plan names it, and who made it.",
        resources=("*",),
        terraform=("sts:GetCallerIdentity",),
        pio_tf=("sts:GetCallerIdentity",),
    )


def roles_to_assume(scope: Scope) -> tuple[str, ...]:
    """ARNs of the roles that pio-tf.hcl names: the cluster's and the state's, each once."""
    blocks = [scope.config.aws, *([scope.state.aws] if scope.state else [])]
    return tuple(dict.fromkeys(block.assume_role.role_arn for block in blocks if block.assume_role is not None))


def assumes_roles(scope: Scope) -> Iterator[Grant]:
    """For the credentials that a job begins with."""
    arns = roles_to_assume(scope)
    if arns:
        why = "Everything else is done as that role."
        action = ("sts:AssumeRole",)
        yield Grant(sid="AssumeRole", why=why, resources=arns, terraform=action, pio_tf=action)
