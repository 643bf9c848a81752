"""`pio-tf init --from-aws` on a local AWS with three VPCs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.cluster.first_config import TYPES, FirstConfig
from pio_tf.config.load import load_config
from pio_tf.config.starter import Starter, render_starter
from pio_tf.iam import policies
from pio_tf.machines.account import Account, Service, Subnet, Vpc, read_account
from tests.iam.requests import requests
from tests.support.fork_server import PIO_TF
from tests.support.iam_policies import used
from tests.support.recording_aws import ACCOUNT, REGION, RecordingAws
from tests.support.shell import Project, clean_environment, service_client
from tests.support.terminal import TerminalUser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0Vd1o6nJqRf8r6q3zPj1sE9s8nY0S5y2K6u3dJ7xkQ"


@dataclass
class Site:
    """A local AWS: a lab, the network of the services, and one without a way out."""

    aws: RecordingAws
    vpcs: dict[str, str]
    subnets: dict[str, str]
    environment: dict[str, str]


def client(aws: RecordingAws, service: str) -> Any:  # noqa: ANN401 - boto3 makes them
    return service_client(aws.url, service, region=REGION)


def named(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with RecordingAws(transition_seconds=0) as aws:
        ec2 = client(aws, "ec2")
        vpcs = {
            name: ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16", TagSpecifications=named("vpc", name))["Vpc"]["VpcId"]
            for n, name in enumerate(("lab", "services", "island"), 1)
        }
        subnets = {}
        for n, (name, vpc, zone) in enumerate(
            (
                ("lab-1", "lab", "a"),
                ("public", "services", "a"),
                ("private", "services", "b"),
                ("lonely", "island", "a"),
            )
        ):
            made = ec2.create_subnet(
                VpcId=vpcs[vpc],
                CidrBlock=f"10.{list(vpcs).index(vpc) + 1}.{n}.0/24",
                AvailabilityZone=f"{REGION}{zone}",
                TagSpecifications=named("subnet", name),
            )
            subnets[name] = made["Subnet"]["SubnetId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpcs["services"])
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = ec2.create_nat_gateway(SubnetId=subnets["public"], AllocationId=address)["NatGateway"]["NatGatewayId"]
        for name, target in (("public", {"GatewayId": gateway}), ("private", {"NatGatewayId": nat})):
            table = ec2.create_route_table(VpcId=vpcs["services"])["RouteTable"]["RouteTableId"]
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
            ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[name])
        for name in ("prod_hbase-1", "prod_hbase-2", "hdfs-namenode", "web-1"):
            ec2.run_instances(
                ImageId="ami-0a1b2c3d4e5f60718",
                MinCount=1,
                MaxCount=1,
                SubnetId=subnets["private"],
                TagSpecifications=named("instance", name),
            )
        client(aws, "opensearch").create_domain(DomainName="events", EngineVersion="Elasticsearch_6.8")
        ec2.import_key_pair(KeyName="of-the-team", PublicKeyMaterial=PUBLIC_KEY.encode())
        environment = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        yield Site(aws, vpcs, subnets, environment)


def test_the_network_of_the_services_is_taken_with_its_private_subnet(tmp_path: Path, site: Site) -> None:
    project = Project(tmp_path, environment=site.environment)
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "id_ed25519.pub").write_text(f"{PUBLIC_KEY} ann@laptop\n")
    project.run("init", "night", "--from-aws", "--region", REGION)
    text = (tmp_path / "pio-tf.hcl").read_text()
    config = load_config(tmp_path / "pio-tf.hcl", environ={})
    assert config.network.vpc_id == site.vpcs["services"]
    assert config.network.subnet_id == site.subnets["private"]
    assert "# services; or vpc-" in text
    assert config.ssh.via == "ssm"
    assert config.ssh.key_pair == "of-the-team"
    assert config.hbase is not None
    assert len(config.hbase.hosts) == 2
    assert "# prod_hbase-1; prod_hbase-2" in text
    assert "# hdfs-namenode" in text
    assert config.elasticsearch is not None
    assert config.elasticsearch.hosts[0].endswith(":443")
    assert "# domain events, Elasticsearch 6.8" in text
    assert f"{REGION}b has, for USD an hour in us-east-1" in text
    assert "r5.xlarge 0.252" in text
    assert set(config.driver.instance_types) <= set(TYPES)
    assert [line for line in text.splitlines() if line.endswith("# EDIT")] == [
        line for line in text.splitlines() if line.startswith("pio {")
    ]


def test_options_win_and_what_the_account_lacks_is_left_to_edit(tmp_path: Path, site: Site) -> None:
    project = Project(tmp_path, environment=site.environment)
    project.run("init", "--from-aws", "--region", REGION, "--vpc", site.vpcs["island"], "--access", "10.9.0.0/16")
    config = load_config(tmp_path / "pio-tf.hcl", environ={})
    assert config.network.vpc_id == site.vpcs["island"]
    assert project.line("subnet-00000000000000000") == "pio-tf.hcl:10"
    assert [str(one) for one in config.network.ssh_cidrs] == ["10.9.0.0/16"]


def test_a_person_sees_the_choices_and_another_vpc_changes_what_follows(tmp_path: Path, site: Site) -> None:
    environment = clean_environment() | site.environment | {"HOME": str(tmp_path), "TERM": "xterm"}
    words = ["init", "night", "--region", REGION, "--from-aws"]
    with TerminalUser([PIO_TF, *words], cwd=tmp_path, env=environment) as user:
        seen = user.sees(f"VPC of your services [{site.vpcs['services']}]: ")
        assert f"{site.vpcs['services']}  10.2.0.0/16         services, hbase, hdfs" in seen
        assert "island, no private subnet with a way out" in " ".join(seen.split())
        user.type(f"{site.vpcs['lab']}\n")
        user.sees("reaches the internet [edit it later]: ")
        user.type("\n")
        user.sees("Access [my-ip]: ")


def test_every_call_is_a_read_that_the_policy_allows(tmp_path: Path, site: Site) -> None:
    with site.aws.recording() as calls:
        Project(tmp_path, environment=site.environment).run("init", "--from-aws", "--region", REGION)
    config = load_config(tmp_path / "pio-tf.hcl", environ={})
    (policy,) = policies(config, "init", account=ACCOUNT)
    asked = [one for call in calls for one in requests(call, image_owner="")]
    refused = [one.action for one in asked if used(policy.document, one) is None]
    assert refused == []
    assert {one.action for one in asked} == {action for grant in policy.grants for action in grant.makers}


def test_without_permission_for_domains_the_rest_is_read(site: Site) -> None:
    warned: list[str] = []

    def make(service: str) -> Any:  # noqa: ANN401 - boto3 makes them
        if service == "opensearch":
            made = client(site.aws, service)
            made.meta.events.register("before-call", lambda **_: (FakeAnswer(), DENIED))
            return made
        return client(site.aws, service)

    account = read_account(make, TYPES, reporter=lambda event: warned.append(str(getattr(event, "message", ""))))
    assert any("are left out" in one and "es:ListDomainNames" in one for one in warned)
    assert {one.kind for one in account.services} == {"hbase", "hdfs"}


class FakeAnswer:
    """An HTTP answer of 403."""

    status_code = 403


DENIED = {
    "Error": {
        "Code": "AccessDeniedException",
        "Message": "User: arn:aws:iam::123456789012:user/x is not authorized to perform: es:ListDomainNames",
    },
    "ResponseMetadata": {"HTTPStatusCode": 403},
}


def test_a_zone_with_the_most_types_is_preferred_and_only_its_types_are_proposed() -> None:
    account = Account(
        vpcs=(Vpc("vpc-1", "", "10.0.0.0/16"),),
        subnets=(
            Subnet("subnet-1", "", "10.0.1.0/24", "vpc-1", "us-east-1e", "nat-1"),
            Subnet("subnet-2", "", "10.0.2.0/24", "vpc-1", "us-east-1a", "tgw-1"),
            Subnet("subnet-3", "", "10.0.3.0/24", "vpc-1", "us-east-1a", "igw-1"),
        ),
        services=(Service("elasticsearch", "es-1", "", "domain public"),),
        key_pairs={},
        zones={kind: frozenset({"us-east-1a"} if kind != "r3.xlarge" else ()) for kind in TYPES},
    )
    found = FirstConfig(account).propose(Starter(), {})
    assert (found.subnet, found.elasticsearch) == ("subnet-2", "es-1")
    assert found.instance_types == ("r5.xlarge", "r6i.xlarge", "r7i.xlarge")
    assert "r3.xlarge" not in render_starter(found)
