"""The ``network`` block."""

from __future__ import annotations

from pydantic import Field, model_validator

from pio_tf.config.block import Block
from pio_tf.config.kinds import Cidr, SubnetId, VpcId, Words


class NetworkBlock(Block):
    """An existing subnet, or a new network of our own. Give `vpc_id` and `subnet_id`, or `cidr`."""

    vpc_id: VpcId | None = Field(default=None, description="Existing VPC.")
    subnet_id: SubnetId | None = Field(default=None, description="Existing subnet of that VPC.")
    cidr: Cidr | None = Field(
        default=None, description="Address range of a new VPC with one subnet, /16 to /28 (an AWS limit)."
    )
    availability_zone: Words | None = Field(default=None, description="Zone of the new subnet.")
    public_ips: bool = Field(
        default=False,
        description="Whether machines in the new subnet get a public IPv4 address while they run (needed to reach the "
        "internet without a NAT gateway). It changes at every start; AWS charges for it by the hour.",
    )
    ssh_cidrs: list[Cidr] = Field(
        default_factory=list, description="Address ranges that may open SSH connections. Empty: none."
    )
    first_host: int | None = Field(
        default=None,
        ge=4,
        description="Host number in the subnet of the first machine (driver; then master, worker-1 …), for fixed "
        "private addresses. AWS keeps the first four for itself. Default: 10 in a new network; in an existing subnet, "
        "AWS chooses.",
    )
    driver_eip: bool = Field(default=False, description="Whether the driver gets an Elastic IP, which it keeps.")

    @model_validator(mode="after")
    def _one_kind_of_network(self) -> NetworkBlock:
        existing = self.vpc_id is not None or self.subnet_id is not None
        if existing and self.cidr is not None:
            raise ValueError("give vpc_id and subnet_id for an existing network, or cidr for a new one, not both")
        if not existing and self.cidr is None:
            raise ValueError("give vpc_id and subnet_id of an existing network, or cidr for a new one")
        if existing and (self.vpc_id is None or self.subnet_id is None):
            raise ValueError("vpc_id and subnet_id go together")
        if existing and (self.public_ips or self.availability_zone):
            raise ValueError("public_ips and availability_zone are for a new network (cidr)")
        if self.cidr is not None and not 16 <= self.cidr.prefixlen <= 28:
            raise ValueError(f"cidr: {self.cidr} must be between /16 and /28, as AWS allows")
        return self
