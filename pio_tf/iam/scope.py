"""What a policy is for: one cluster in one region of one account."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pio_tf.aws.arns import partition_of
from pio_tf.infra.backend.s3 import S3Backend, s3_backend
from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config

    Conditions = Mapping[str, Mapping[str, str | tuple[str, ...]]]

ANY_ACCOUNT = "*"


@dataclass(frozen=True)
class Scope:
    """A cluster, as ARNs and conditions name it.

    Args:
        config: what pio-tf.hcl says.
        account: twelve digits, or :data:`ANY_ACCOUNT`.
    """

    config: Config
    account: str = ANY_ACCOUNT

    @property
    def cluster(self) -> str:
        """Its name."""
        return self.config.cluster.name

    @property
    def region(self) -> str:
        """Its region."""
        return self.config.aws.region

    @property
    def partition(self) -> str:
        """``aws``, or that of China or of GovCloud."""
        return partition_of(self.region)

    @property
    def domain(self) -> str:
        """Of the services' addresses."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    @cached_property
    def state(self) -> S3Backend | None:
        """Where the state is, if it is in S3."""
        return s3_backend(self.config)

    @property
    def makes_network(self) -> bool:
        """Whether the stack has a network of its own."""
        return self.config.network.cidr is not None

    @property
    def makes_gateway(self) -> bool:
        """Whether that network has a way to the internet."""
        return self.makes_network and (self.config.network.public_ips or self.config.network.driver_eip)

    @property
    def instance_types(self) -> tuple[str, ...]:
        """Those that pio-tf.hcl names, each once."""
        config = self.config
        named = (config.driver.instance_type, config.spark.instance_type, config.spark.master_instance_type)
        return tuple(dict.fromkeys(name for name in named if name))

    def arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        """Of something in the account; ``region``: where it is not the cluster's."""
        return f"arn:{self.partition}:{service}:{region or self.region}:{self.account}:{resource}"

    def ec2(self, kind: str, name: str = "*") -> str:
        """Of something of EC2: ``instance``, ``vpc``, …"""
        return self.arn("ec2", f"{kind}/{name}")

    def image(self, name: str = "*") -> str:
        """Of an image, which is in no account."""
        return f"arn:{self.partition}:ec2:{self.region}::image/{name}"

    def bucket(self, name: str, key: str = "") -> str:
        """Of a bucket, or of objects in it."""
        return f"arn:{self.partition}:s3:::{name}/{key}" if key else f"arn:{self.partition}:s3:::{name}"

    @property
    def owned(self) -> Conditions:
        """What is there already must carry the cluster's tag."""
        return {"StringEquals": {f"ec2:ResourceTag/{CLUSTER_TAG}": self.cluster}}

    @property
    def tagged(self) -> Conditions:
        """What is made must get the cluster's tag."""
        return {"StringEquals": {f"aws:RequestTag/{CLUSTER_TAG}": self.cluster}}
