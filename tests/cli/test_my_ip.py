"""`ssh_cidrs = ["my-ip"]`, with a service on loopback that says where this computer is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf import Cluster
from pio_tf.errors import PioTfError
from pio_tf.infra.my_address import address_of_plan, find_my_address
from pio_tf.infra.root_module import render_stack, stack_variables
from tests.support.fixed_answers import Server
from tests.support.plan_files import configuration, plan_file
from tests.support.shell import Project, ec2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.sandbox.aws import LocalAws


def says(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.0 {status}\r\n\r\n{body}".encode()


@pytest.fixture
def service() -> Iterator[Server]:
    server = Server("127.0.0.1", says("198.51.100.7\n"))
    yield server
    server.off()


def network(service: Server, ranges: str = '"my-ip"', inside: str = 'cidr = "127.77.97.0/24"') -> str:
    return f'{inside}\nssh_cidrs = [{ranges}]\nmy_ip_url = "http://127.0.0.1:{service.port}"'


def loaded(directory: Path, service: Server, ranges: str = '"my-ip"') -> Config:
    return Cluster.load(Project(directory).write(network=network(service, ranges)), environ={}).config


def ranges_in(config: Config) -> list[str]:
    variables = stack_variables(config)["network"]
    assert isinstance(variables, dict)
    return list(variables["ssh_cidrs"])


def open_to(project: Project) -> list[str]:
    """Return who may open SSH connections, as EC2 knows it."""
    assert project.url is not None
    groups = ec2(project.url).describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [f"pio-tf-{project.name}"]}]
    )["SecurityGroups"]
    rules = [rule for group in groups for rule in group["IpPermissions"] if rule.get("FromPort") == 22]
    return [one["CidrIp"] for rule in rules for one in rule["IpRanges"]]


def test_a_plan_asks_where_this_computer_is_and_later_commands_remember(tmp_path: Path, service: Server) -> None:
    config = loaded(tmp_path, service, '"192.0.2.0/24", "my-ip"')
    assert ranges_in(config) == ["192.0.2.0/24"]
    said: list[object] = []
    assert ranges_in(find_my_address(config, reporter=said.append)) == ["192.0.2.0/24", "198.51.100.7/32"]
    assert [str(getattr(one, "message", "")) for one in said] == ['"my-ip" is 198.51.100.7, says 127.0.0.1']
    assert ranges_in(Cluster.load(config.path, environ={}).config) == ["192.0.2.0/24", "198.51.100.7/32"]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (says("2001:db8::1"), "answers '2001:db8::1', which is no IPv4 address"),
        (says("<html>Log in to the hotel's network" + " " * 999), "no IPv4 address"),
        (says("", "503 Service Unavailable"), "HTTP 503 Service Unavailable"),
        (says("", "302 Found\r\nLocation: http://192.0.2.1/"), "HTTP 302 Found"),
        (b"", "Connection aborted"),
    ],
)
def test_an_answer_without_an_address_is_an_error_with_its_line(
    tmp_path: Path, service: Server, answer: bytes, cause: str
) -> None:
    service.answer = answer
    config = loaded(tmp_path, service)
    with pytest.raises(PioTfError, match='could not find the address for "my-ip"') as caught:
        find_my_address(config, reporter=lambda _event: None)
    assert cause in caught.value.cause
    assert caught.value.what.startswith(f"{Project(tmp_path).line('ssh_cidrs')}: network.ssh_cidrs")
    assert "203.0.113.7/32" in caught.value.next_step


def test_a_mistyped_address_and_an_open_service_are_mistakes_of_the_file(tmp_path: Path, service: Server) -> None:
    project = Project(tmp_path)
    project.write(network=network(service, '"my_ip"').replace("http://127.0.0.1", "http://192.0.2.1"))
    said = project.fails("generate", exit_code=2)
    assert 'network.ssh_cidrs[0]: must be an IPv4 address range, like "10.20.0.0/24", or "my-ip", got "my_ip"' in said
    assert "network.my_ip_url: must be an https address" in said


@pytest.mark.parametrize(
    ("planned", "here"),
    [
        (["192.0.2.0/24", "203.0.113.9/32"], ["192.0.2.0/24", "203.0.113.9/32"]),
        (["192.0.2.0/24", "192.0.2.0/24", "203.0.113.9/32"], ["192.0.2.0/24"]),
        (["192.0.2.0/24", "203.0.113.0/24"], ["192.0.2.0/24"]),
        (["192.0.2.0/24", "0.0.0.0/0"], ["192.0.2.0/24"]),
        (["203.0.113.9/32"], ["192.0.2.0/24", "203.0.113.9/32"]),
    ],
)
def test_the_address_of_a_plan_file_is_its_one_other_range_of_one_address(
    tmp_path: Path, service: Server, planned: list[str], here: list[str]
) -> None:
    config = loaded(tmp_path, service, '"192.0.2.0/24", "my-ip"')
    content = plan_file(configuration(render_stack(config)), {"network": {"ssh_cidrs": planned}})
    assert ranges_in(address_of_plan(config, content)) == here


def test_a_saved_plan_keeps_its_address_and_a_new_one_changes_only_who_may_connect(
    tmp_path: Path, service: Server, aws: LocalAws, mirror: Path
) -> None:
    project = Project(tmp_path, name="moving", url=aws.url, mirror=mirror)
    project.write(network=network(service))
    assert '"my-ip" is 198.51.100.7, says 127.0.0.1' in project.run("plan", "--out", "kept").stderr
    service.answer = says("198.51.100.8")  # the job that applies runs on another computer
    project.run("guard", "kept")
    project.run("apply", "kept")
    assert open_to(project) == ["198.51.100.7/32"]
    # A driver that runs would be asked for runs, and no machine is behind this one.
    ec2(aws.url).stop_instances(InstanceIds=[one for one, _ in project.instances().values()])
    assert project.run("drift").stdout == "no drift: AWS is as Terraform left it\n"

    changes = json.loads(project.run("plan", "--json").stdout)["changes"]
    assert {one["address"].partition("[")[0] for one in changes} == {"module.security.aws_security_group_rule.ssh"}
    project.run("apply")
    assert open_to(project) == ["198.51.100.8/32"]
    assert json.loads(project.run("plan", "--json").stdout)["has_changes"] is False

    service.off()
    assert "could not find the address" in project.fails("plan", "--detailed-exitcode", exit_code=1)
    project.run("status")
    project.run("drift")
    project.run("destroy", "--confirm", "moving")
