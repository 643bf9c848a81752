"""The roles of a pipeline's jobs, and the policy of each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.errors import ConfigError
from pio_tf.iam import ec2, services
from pio_tf.iam.grant import ANY_ACCOUNT, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.config.schema import Config
    from pio_tf.iam.grant import Grant


class JobRole(Struct, frozen=True):
    """A role of a pipeline's jobs, and the commands that it is for."""

    name: str
    commands: tuple[str, ...]
    parts: tuple[Callable[[Scope], Iterator[Grant]], ...]


_STACK = (
    ec2.reads_of_stack,
    services.reads_failsafe,
    services.reads_profile,
    services.reads_images,
    services.reads_state,
    services.locks_state,
    services.knows_itself,
)
_PLAN = (*_STACK, ec2.reads_of_references, services.checks_profile, services.checks_disk_key, services.checks_images)
_RUNS = (services.keeps_runs, services.uploads_runs)
_TRAIN = (
    ec2.reads_of_machines,
    services.reads_state,
    services.sets_deadlines,
    services.removes_deadlines,
    services.follows_schedule,
    ec2.switches_power,
    services.starts_encrypted,
    *_RUNS,
    services.reads_secrets,
    services.sends_messages,
)
_APPLY = (
    *_PLAN,
    services.writes_state,
    services.locks_runs,
    ec2.reads_of_changes,
    services.sets_deadlines,
    services.sets_schedule,
    ec2.makes_network,
    ec2.makes_security_group,
    ec2.makes_key_pair,
    ec2.makes_machines,
    ec2.makes_volumes,
    services.encrypts_disks,
    services.starts_encrypted,
    ec2.makes_address,
    services.makes_failsafe,
    services.makes_profile,
    ec2.tags,
    ec2.tags_adopted,
)
_DESTROY = (
    *_STACK,
    services.writes_state,
    ec2.reads_of_removals,
    ec2.reads_consoles,
    *_RUNS,
    services.reads_secrets,
    ec2.removes_machines,
    ec2.removes_volumes,
    services.removes_profile,
    services.removes_failsafe,
    services.removes_deadlines,
    services.lists_deadlines,
    services.removes_schedule,
    ec2.removes_address,
    ec2.removes_security_group,
    ec2.removes_key_pair,
    ec2.removes_network,
    ec2.untags_adopted,
)
_OF_NEW_MACHINES = frozenset(
    {
        ec2.reads_of_references,
        ec2.reads_of_changes,
        ec2.makes_network,
        ec2.makes_security_group,
        ec2.makes_key_pair,
        ec2.makes_machines,
        ec2.makes_volumes,
        ec2.tags,
        ec2.reads_of_removals,
        ec2.removes_machines,
        ec2.removes_volumes,
        ec2.removes_security_group,
        ec2.removes_key_pair,
        ec2.removes_network,
    }
)
"""The parts about machines that Terraform makes. Those that exist already need none of them."""

ROLES: tuple[JobRole, ...] = (
    JobRole("plan", ("plan", "guard", "drift", "output"), _PLAN),
    JobRole("apply", ("apply",), _APPLY),
    JobRole("train", ("train --no-apply", "attach", "down", "extend", "resize", "status", "runs", "logs"), _TRAIN),
    JobRole("schedule", ("train --no-apply", "down --if-idle"), _TRAIN),  # `down --if-idle` makes no other calls
    JobRole("destroy", ("destroy",), _DESTROY),
    JobRole("mirror", ("mirror push",), (services.fills_mirrors,)),
    JobRole("engine", ("engine save s3://…, engine restore s3://…, beside train's",), (services.keeps_engines,)),
    JobRole("ssh", ("the way to the driver that ssh.via names, beside the others",), (services.opens_sessions,)),
    JobRole("init", ("init --from-aws",), (ec2.reads_of_account, services.reads_domains)),
    JobRole("list", ("list",), (ec2.reads_of_clusters, services.finds_deadlines)),
    JobRole(
        "cost",
        ("cost, and the prices in advice on sizes, beside train's",),
        (ec2.reads_of_clusters, services.reads_prices),
    ),
    JobRole("assume", ("all commands with aws.assume_role",), (services.assumes_roles,)),
    JobRole(
        "boundary",
        ("the permissions boundary of the roles that Terraform makes",),
        (services.bounds_failsafe, services.bounds_profile),
    ),
)
"""The roles, each with commands as narrow as its policy: `up` and `schedule set` need apply and train."""
_NOTHING_TO_ALLOW = {
    "mirror": ("names no mirror in S3", "", 'add one to software.mirrors, like "s3://bucket/prefix"'),
    "engine": (
        "names no place for archives of engines",
        "it is an argument of `engine save` and `engine restore`",
        "name it: pio-tf iam --for engine --archives s3://bucket/prefix",
    ),
    "ssh": ("connects to the driver without AWS", "ssh.via is not set", "the policies of the other roles are enough"),
    "assume": (
        "names no role to assume",
        "neither aws.assume_role nor the backend's is set",
        "attach the policies of the other roles to the identity that the jobs use",
    ),
    "boundary": (
        "asks for no role that needs a permissions boundary",
        "failsafe.role_arn names an existing role, or failsafe.role is false",
        "limit that role itself",
    ),
}
"""What an error says, by role."""


INLINE_LIMIT = 10_240
"""Characters of all inline policies of a role, without white space."""
MANAGED_LIMIT = 6_000
"""Characters of a managed policy, without white space: IAM takes 6,144, and statements can't be split."""


class Policy(Struct, frozen=True):
    """The policy of a role for one cluster."""

    role: JobRole
    scope: Scope
    grants: tuple[Grant, ...]

    @property
    def document(self) -> dict[str, Any]:
        """Return the policy document for IAM."""
        return {"Version": "2012-10-17", "Statement": [grant.statement for grant in self.grants]}

    @property
    def length(self) -> int:
        """Return the number of characters of the document, as IAM counts them."""
        return len("".join(json.dumps(self.document).split()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the document cannot express."""
        return tuple(_notes(self))


def policies(config: Config, role: str = "", *, account: str = "", archives: str = "") -> tuple[Policy, ...]:
    """Return the narrowest policies, without asking AWS.

    Args:
        role: the name of one role; empty: all that the configuration can use.
        account: twelve digits; default: the account of ``aws.assume_role``, else any.
        archives: ``s3://bucket/prefix`` for the archives of engines.

    Raises:
        ConfigError: the role does not exist or has nothing to allow; or the account is invalid, or not that of
            ``aws.assume_role``; or the address is not one in S3.
    """
    scope = Scope(config, _account(config, account), archives)
    found = [one for one in ROLES if role in ("", one.name)]
    if not found:
        raise ConfigError(
            f"there is no role {role!r}", next_step=f"choose one of {', '.join(one.name for one in ROLES)} with --for"
        )
    made = [Policy(one, scope, _grants(one, scope)) for one in found]
    if not any(one.grants for one in made):
        what, cause, next_step = _NOTHING_TO_ALLOW[role]
        raise ConfigError(f"{config.path.name} {what}", cause=cause, next_step=next_step)
    return tuple(one for one in made if one.grants)


def _grants(role: JobRole, scope: Scope) -> tuple[Grant, ...]:
    """Return the grants of a role's parts. Those of one name are one: a policy may not be long."""
    found: dict[str, Grant] = {}
    parts = (one for one in role.parts if not (scope.config.adopted and one in _OF_NEW_MACHINES))
    for part in parts:
        for grant in part(scope):
            found[grant.sid] = found[grant.sid].with_calls(grant) if grant.sid in found else grant
    return tuple(found.values())


def _account(config: Config, given: str) -> str:
    role = config.aws.assume_role
    known = role.role_arn.split(":")[4] if role is not None else ""
    if given and not re.fullmatch(r"\d{12}", given):
        raise ConfigError(f"--account {given!r} is not an AWS account", next_step="give its twelve digits")
    if given and known and given != known:
        raise ConfigError(
            f"{config.where('aws.assume_role.role_arn')}: aws.assume_role belongs to account {known}, not {given}",
            next_step="omit --account, or correct the role",
        )
    return given or known or ANY_ACCOUNT


def _notes(policy: Policy) -> Iterator[str]:
    scope, config = policy.scope, policy.scope.config
    if policy.length > INLINE_LIMIT:
        yield (
            f"it has {policy.length} characters, more than the {INLINE_LIMIT} of a role's inline policies: attach its "
            f"statements in {-(-policy.length // MANAGED_LIMIT)} managed policies"
        )
    if scope.account == ANY_ACCOUNT and policy.role.name != "assume":
        yield "the account is unknown, so ARNs contain *; set it with --account"
    if policy.role.name == "assume":
        return
    if policy.role.name == "boundary":
        yield f"create it as {services.boundary(scope)}, and name it in failsafe.permissions_boundary"
        return
    profile = config.machines.instance_profile
    if services.makes_profile in policy.role.parts and profile is not None:
        yield f"PassMachineRole allows a role named {profile}, like its instance profile: correct it if it differs"
    if services.makes_failsafe in policy.role.parts and config.failsafe.permissions_boundary is None:
        bounded = {
            "the role for deadlines": (services.bounds_failsafe, "failsafe.role_arn"),
            "the role of the machines": (services.bounds_profile, "machines.instance_profile"),
        }
        roles = {what: option for what, (bounds, option) in bounded.items() if any(bounds(scope))}
        if roles:
            yield (
                f"{' and '.join(roles)} can be created only with the permissions boundary {services.boundary(scope)}: "
                "create it from `pio-tf iam --for boundary`, and name it in failsafe.permissions_boundary; or name "
                f"what exists in {' and '.join(roles.values())}"
            )
    if config.aws.assume_role is not None:
        role = config.aws.assume_role.role_arn
        yield f"this is for {role}; the identity that assumes it needs `pio-tf iam --for assume`"
    state = scope.state
    if state is not None and (state.aws.profile, state.aws.assume_role) != (config.aws.profile, config.aws.assume_role):
        yield "terraform.backend has its own credentials, which need the statements on its bucket and table"
    if config.terraform.backend is not None and state is None:
        yield f"the state is in a backend of type {config.terraform.backend.type}, whose permissions are not included"
    if services.reads_secrets in policy.role.parts and services.references(config):
        yield "a password that your own KMS key encrypts also needs kms:Decrypt on that key"
