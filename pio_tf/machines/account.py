"""The contents of an AWS account in one region, for a first pio-tf.hcl. Reads only, page by page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from pio_tf.aws.errors import aws_errors
from pio_tf.errors import AwsError
from pio_tf.events import Reporter, Step, Warned
from pio_tf.model import CLUSTER_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

ServiceKind: TypeAlias = Literal["elasticsearch", "hbase", "hdfs"]
_NAMES: Final[Mapping[ServiceKind, re.Pattern[str]]] = {
    "elasticsearch": re.compile(r"elastic|opensearch|\bes\b", re.IGNORECASE),
    "hbase": re.compile(r"hbase|zookeeper|\bzk\b", re.IGNORECASE),
    "hdfs": re.compile(r"hdfs|name-?node|\bnn\b", re.IGNORECASE),
}
"""Names of instances that run a service."""
_MOST_DOMAINS: Final = 5
"""Domains of one DescribeDomains call."""


class Vpc(Struct, frozen=True):
    """A network."""

    id: str
    name: str
    cidr: str


class Subnet(Struct, frozen=True):
    """A subnet, and where its route to the internet leads.

    Args:
        way_out: id of the gateway or interface that the default route names; empty: there is none.
    """

    id: str
    name: str
    cidr: str
    vpc: str
    zone: str
    way_out: str

    @property
    def is_private(self) -> bool:
        """Whether machines without a public address reach the internet from here, and are not reached."""
        return bool(self.way_out) and not self.way_out.startswith("igw-")


class Service(Struct, frozen=True):
    """A host that runs one of PredictionIO's services, by its name.

    Args:
        host: as pio-tf.hcl writes it.
        vpc: its network; empty: it is public.
        about: a description, for comments.
    """

    kind: ServiceKind
    host: str
    vpc: str
    about: str


class Account(Struct, frozen=True):
    """The networks, services and keys of one region.

    Args:
        key_pairs: name of each key pair, to its public key without a comment; empty: AWS does not know it.
        zones: availability zones that offer an instance type, by type.
    """

    vpcs: tuple[Vpc, ...]
    subnets: tuple[Subnet, ...]
    services: tuple[Service, ...]
    key_pairs: Mapping[str, str]
    zones: Mapping[str, frozenset[str]]


def read_account(client: Callable[[str], Any], types: Sequence[str], *, reporter: Reporter) -> Account:
    """Read an account.

    Args:
        client: makes a client of a service.
        types: instance types to look for.
        reporter: gets a warning if OpenSearch can't be asked, which is then left out.

    Raises:
        AwsError: EC2 can't be asked.
    """
    ec2: EC2Client = client("ec2")
    reporter(Step(f"Reading networks, services and keys in {ec2.meta.region_name}"))
    with aws_errors("reading the account"):
        vpcs = tuple(Vpc(one["VpcId"], _name(one), one["CidrBlock"]) for one in _pages(ec2, "describe_vpcs", "Vpcs"))
        routes = list(_pages(ec2, "describe_route_tables", "RouteTables"))
        subnets = tuple(
            Subnet(
                one["SubnetId"],
                _name(one),
                one["CidrBlock"],
                one["VpcId"],
                one["AvailabilityZone"],
                _way_out(one["SubnetId"], one["VpcId"], routes),
            )
            for one in _pages(ec2, "describe_subnets", "Subnets")
        )
        hosts = tuple(_hosts(ec2))
        pairs = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]  # has no pages
        zones = _zones(ec2, types)
    keys = {pair["KeyName"]: " ".join(pair.get("PublicKey", "").split()[:2]) for pair in pairs}
    try:
        domains = tuple(_domains(client("opensearch")))
    except AwsError as error:
        reporter(Warned(f"domains of OpenSearch and Elasticsearch are left out: {error.what}: {error.cause}"))
        domains = ()
    return Account(vpcs, subnets, (*domains, *hosts), keys, zones)


def _pages(client: Any, operation: str, items: str, **arguments: Any) -> Iterator[Any]:  # noqa: ANN401 - of any service
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[items]


def _name(item: Mapping[str, Any]) -> str:
    return next((str(tag["Value"]) for tag in item.get("Tags", ()) if tag["Key"] == "Name"), "")


def _way_out(subnet: str, vpc: str, tables: Sequence[Mapping[str, Any]]) -> str:
    """Return the target of a subnet's default route: in its own table, else in its VPC's main one."""
    own, main = "", ""
    for table in tables:
        for association in table["Associations"]:
            if association.get("SubnetId") == subnet:
                own = table["RouteTableId"]
            elif association.get("Main") and table["VpcId"] == vpc:
                main = table["RouteTableId"]
    for table in tables:
        if table["RouteTableId"] == (own or main):
            for route in table["Routes"]:
                if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") != "blackhole":
                    targets = ("NatGatewayId", "TransitGatewayId", "NetworkInterfaceId", "InstanceId", "GatewayId")
                    return next((str(route[target]) for target in targets if route.get(target)), "")
    return ""


def _hosts(ec2: EC2Client) -> Iterator[Service]:
    live = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    for reservation in _pages(ec2, "describe_instances", "Reservations", Filters=live):
        for one in reservation["Instances"]:
            if any(tag["Key"] == CLUSTER_TAG for tag in one.get("Tags", ())):
                continue  # a cluster of pio-tf has none of these services
            host = one.get("PrivateDnsName") or one.get("PrivateIpAddress")
            for kind, pattern in _NAMES.items():
                if host and pattern.search(_name(one).replace("_", "-")):
                    yield Service(kind, host, one.get("VpcId", ""), _name(one))


def _domains(opensearch: Any) -> Iterator[Service]:  # noqa: ANN401 - botocore makes its methods
    with aws_errors("reading domains of OpenSearch", service="es"):
        names = [one["DomainName"] for one in opensearch.list_domain_names()["DomainNames"]]  # has no pages
        for start in range(0, len(names), _MOST_DOMAINS):
            found = opensearch.describe_domains(DomainNames=names[start : start + _MOST_DOMAINS])["DomainStatusList"]
            for one in found:
                endpoint = one.get("Endpoint") or (one.get("Endpoints") or {}).get("vpc")
                if endpoint and not one.get("Deleted"):
                    about = f"domain {one['DomainName']}, {one.get('EngineVersion', '').replace('_', ' ')}"
                    vpc = (one.get("VPCOptions") or {}).get("VPCId", "")
                    yield Service("elasticsearch", f"https://{endpoint}:443", vpc, about)


def _zones(ec2: EC2Client, types: Iterable[str]) -> dict[str, frozenset[str]]:
    offerings = list(
        _pages(
            ec2,
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": list(types)}],
        )
    )
    return {kind: frozenset(one["Location"] for one in offerings if one["InstanceType"] == kind) for kind in types}
