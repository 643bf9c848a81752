"""Small helpers around a deployment on a local AWS."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pio_tf.infra.deployment import Deployment
from tests.support.shell import ec2

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.events import Event
    from tests.support.site import Site

ENVIRON = {"PATH": os.environ["PATH"]}


class Recorder:
    """A reporter that keeps its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


def deployment(config: Config, reporter: Recorder | None = None, *, lock_timeout: float = 0.0) -> Deployment:
    """Return a deployment that inherits only PATH from the tests' environment."""
    return Deployment(config, reporter=reporter or Recorder(), environ=ENVIRON, lock_timeout=lock_timeout)


def existing_network(url: str, cidr: str, *, subnet: str | None = None) -> str:
    """Make a VPC with a subnet, as a user has; the lines for pio-tf.hcl's network block."""
    client = ec2(url)
    vpc = client.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    # Not moto's choice, which is any zone, also one without the machines' type.
    zone = f"{client.meta.region_name}a"
    made = client.create_subnet(VpcId=vpc, CidrBlock=subnet or cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
    return f'vpc_id = "{vpc}"\nsubnet_id = "{made}"\n'


def stop_all(site: Site) -> None:
    """Stop every machine of the cluster, and wait until EC2 says so."""
    ids = [instance["InstanceId"] for instance in site.instances().values()]
    ec2(site.url).stop_instances(InstanceIds=ids)
    deadline = time.monotonic() + 120
    while {instance["State"]["Name"] for instance in site.instances().values()} != {"stopped"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
