"""Hints for errors: commands of the AWS CLI, for one region and endpoint."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from botocore.client import BaseClient
    from typing_extensions import Self

    from pio_tf.config.schema import Config
    from pio_tf.model import Machine

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


class AwsCliHints(Struct, frozen=True):
    """Commands of the AWS CLI for one region.

    Args:
        endpoint_url: another address than AWS's own.
        ids: the instances that pio-tf.hcl names; empty: the cluster's machines carry its tag.
    """

    region: str
    endpoint_url: str | None = None
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the hints for pio-tf.hcl, also if no client can be created."""
        return cls(config.aws.region, config.aws.endpoint_url, tuple(config.machines.ids.values()))

    @classmethod
    def of_client(cls, client: BaseClient) -> Self:
        """Return the hints for the region and endpoint of a client."""
        url = client.meta.endpoint_url
        return cls(client.meta.region_name, None if (urlsplit(url).hostname or "").endswith(_AWS) else url)

    def stop(self, ids: Iterable[str], *, force: bool = False) -> str:
        """Return the command that stops instances; ``force`` does not wait for their operating systems."""
        return f"aws ec2 stop-instances {'--force ' if force else ''}{self.place} --instance-ids {' '.join(ids)}"

    def stop_machines(self, machines: Sequence[Machine]) -> str:
        """Return the same for machines, by force if one is stuck in ``stopping``."""
        force = any(machine.state == "stopping" for machine in machines)
        return self.stop([machine.instance_id for machine in machines], force=force)

    def stop_cluster(self, cluster: str) -> str:
        """Return the command that stops a cluster's running machines, if no ids of AWS's are known."""
        if self.ids:
            return self.stop(self.ids)
        found = (
            f"aws ec2 describe-instances {self.place} --filters Name=tag:{CLUSTER_TAG},Values={cluster} "
            "Name=instance-state-name,Values=pending,running --query 'Reservations[].Instances[].InstanceId' "
            "--output text"
        )
        return self.stop([f"$({found})"])

    def terminate(self, ids: Iterable[str]) -> str:
        """Return the command that terminates instances."""
        return f"aws ec2 terminate-instances {self.place} --instance-ids {' '.join(ids)}"

    def unprotect(self, instance_id: str) -> str:
        """Return the command that removes an instance's protection against stops (``disableApiStop``)."""
        return f"aws ec2 modify-instance-attribute {self.place} --instance-id {instance_id} --no-disable-api-stop"

    def stop_at_shutdown(self, ids: Iterable[str]) -> str:
        """Return the commands that let AWS stop instances that power off from inside, and not terminate them."""
        change = f"aws ec2 modify-instance-attribute {self.place} --instance-initiated-shutdown-behavior stop"
        return " && ".join(f"{change} --instance-id {one}" for one in ids)

    def change_type(self, instance_id: str, kind: str) -> str:
        """Return the command that changes the type of a stopped instance."""
        return f"aws ec2 modify-instance-attribute {self.place} --instance-id {instance_id} --instance-type {kind}"

    def tag(self, ids: Iterable[str], key: str, value: str) -> str:
        """Return the command that tags resources."""
        return f"aws ec2 create-tags {self.place} --resources {' '.join(ids)} --tags Key={key},Value={value}"

    @property
    def place(self) -> str:
        """The options that every command has: without them it would go to another region, or from a sandbox to AWS."""
        own = f" --endpoint-url {shlex.quote(self.endpoint_url)}" if self.endpoint_url else ""
        return f"--region {self.region}{own}"
