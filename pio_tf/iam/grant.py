"""One statement of a policy, and the cluster that it is for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from pio_tf.config.partitions import partition_of
from pio_tf.infra.backend.s3 import S3Backend, s3_backend
from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config

    Conditions = Mapping[str, Mapping[str, str | tuple[str, ...]]]

Maker: TypeAlias = Literal["terraform", "pio-tf"]

ANY_ACCOUNT = "*"


class Grant(Struct, frozen=True):
    """Some calls on some resources.

    Args:
        sid: letters and digits, unique in a policy.
        why: the purpose of the calls, in one sentence.
        resources: ARNs.
        terraform: actions of Terraform: of its AWS provider, or of its backend for the state.
        newer: further actions of Terraform, which only later versions of the provider (4 to 6) call.
        pio_tf: actions of pio-tf itself.
        conditions: conditions that must all hold.
    """

    sid: str
    why: str
    resources: tuple[str, ...]
    terraform: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    pio_tf: tuple[str, ...] = ()
    conditions: Conditions = field(default_factory=dict)

    @property
    def makers(self) -> Mapping[str, tuple[Maker, ...]]:
        """Return which of Terraform and pio-tf make each call, by action."""
        ours, theirs = set(self.pio_tf), {*self.terraform, *self.newer}
        return {
            action: (*(("terraform",) if action in theirs else ()), *(("pio-tf",) if action in ours else ()))
            for action in sorted(ours | theirs)
        }

    def with_calls(self, other: Grant) -> Grant:
        """Return one grant for the calls of two, on the same resources and under the same conditions."""
        return replace(
            self,
            why=" ".join(dict.fromkeys((self.why, other.why))),
            terraform=(*self.terraform, *other.terraform),
            newer=(*self.newer, *other.newer),
            pio_tf=(*self.pio_tf, *other.pio_tf),
        )

    @property
    def statement(self) -> dict[str, Any]:
        """Return the statement of a policy document."""
        statement: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.makers),
            "Resource": list(self.resources),
        }
        if self.conditions:
            statement["Condition"] = {
                operator: {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}
                for operator, keys in self.conditions.items()
            }
        return statement


class Scope(Struct, frozen=True, dict=True):
    """The cluster, in one region of one account, that a policy is for: as ARNs and conditions name it.

    Args:
        account: twelve digits, or :data:`ANY_ACCOUNT`.
        archives: ``s3://bucket/prefix`` for the archives of engines; empty: none.
    """

    config: Config
    account: str = ANY_ACCOUNT
    archives: str = ""

    @property
    def cluster(self) -> str:
        """Return the cluster's name."""
        return self.config.cluster.name

    @property
    def partition(self) -> str:
        """Return ``aws``, or the partition of China or of GovCloud."""
        return partition_of(self.config.aws.region)

    @cached_property
    def state(self) -> S3Backend | None:
        """The place of the state, if that is in S3."""
        return s3_backend(self.config)

    @property
    def makes_network(self) -> bool:
        """Tell whether the stack creates a network."""
        return self.config.network.cidr is not None

    @property
    def makes_gateway(self) -> bool:
        """Tell whether that network has a route to the internet."""
        return self.makes_network and (self.config.network.public_ips or self.config.network.driver_eip)

    def arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        """Return the ARN of something in the account. ``region`` is only for another one than the cluster's."""
        region = self.config.aws.region if region is None else region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    def ec2(self, *kinds: str, name: str = "*") -> tuple[str, ...]:
        """Return the ARNs of resources of EC2, such as ``instance`` or ``vpc``."""
        return tuple(self.arn("ec2", f"{kind}/{name}") for kind in kinds)

    def image(self, name: str = "*") -> str:
        """Return the ARN of an image, which belongs to no account."""
        return f"arn:{self.partition}:ec2:{self.config.aws.region}::image/{name}"

    def bucket(self, name: str, key: str = "") -> tuple[str]:
        """Return the ARN of a bucket, or of objects in it."""
        return (f"arn:{self.partition}:s3:::{name}/{key}" if key else f"arn:{self.partition}:s3:::{name}",)

    def key(self, name: str, *, region: str) -> tuple[str, Conditions]:
        """Return the ARN of a KMS key by its ARN, id or alias, and the condition that limits it to that key.

        A permission for an alias's ARN gives none for its key: the condition names the alias.
        """
        _, is_alias, alias = name.partition("alias/")
        if is_alias:
            ours = name.split(":")[4] if name.startswith("arn:") else self.account
            arn = f"arn:{self.partition}:kms:{region}:{ours}:key/*"
            return arn, {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{alias}"}}
        return name if name.startswith("arn:") else self.arn("kms", f"key/{name}", region=region), {}

    def via(self, service: str, *, region: str) -> Conditions:
        """Return the condition that a service makes a call to KMS for the caller."""
        domain = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return {"StringEquals": {"kms:ViaService": f"{service}.{region}.{domain}"}}

    @property
    def equals(self) -> str:
        """Return the operator for a condition on an ARN of the account, which contains ``*`` if that is unknown."""
        return "StringLike" if self.account == ANY_ACCOUNT else "StringEquals"

    @property
    def owned(self) -> Conditions:
        """Return the condition for what exists: it carries the cluster's tag."""
        return {"StringEquals": {f"ec2:ResourceTag/{CLUSTER_TAG}": self.cluster}}

    @property
    def untagged(self) -> Conditions:
        """Return the condition for what AWS creates without tags beside something of the cluster's."""
        return {"Null": {f"ec2:ResourceTag/{CLUSTER_TAG}": "true", "ec2:ResourceTag/Name": "true"}}

    @property
    def tagged(self) -> Conditions:
        """Return the condition for what is created: it gets the cluster's tag."""
        return {"StringEquals": {f"aws:RequestTag/{CLUSTER_TAG}": self.cluster}}
