"""The destinations of network.egress: how they are written, and which connections they leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.infra.egress import find_blocked
from tests.support.config_samples import load_text, mistakes, text_with

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config


def text(egress: str, *, hosts: str = '"es-1"') -> str:
    network = f'network {{\n  cidr = "10.20.0.0/24"\n  egress = [{egress}]\n}}\n'
    return text_with(network=network, elasticsearch=f"elasticsearch {{\n  hosts = [{hosts}]\n}}\n")


def load(directory: Path, egress: str, *, hosts: str = '"es-1"') -> Config:
    return load_text(directory, text(egress, hosts=hosts))


@pytest.mark.parametrize(
    "egress",
    ["10.0.0.1/8", "10.0.0.0/33", "somewhere:443", "10.0.0.0/8:0", "10.0.0.0/8:443-80", "10.0.0.0/8:70000", "pl-x", ""],
)
def test_what_names_no_destination_is_refused_with_its_line(tmp_path: Path, egress: str) -> None:
    (mistake,) = mistakes(tmp_path, text(f'"{egress}"'))
    assert "pio-tf.hcl:3: network.egress" in mistake
    assert "must be an IPv4 address range or a prefix list" in mistake


def test_groups_of_a_vpc_need_that_vpc(tmp_path: Path) -> None:
    network = 'network {\n  cidr = "10.20.0.0/24"\n  security_group_ids = ["sg-0a"]\n}\n'
    (mistake,) = mistakes(tmp_path, text_with(network=network))
    assert "security_group_ids: groups of another VPC do not fit a new network (cidr)" in mistake


@pytest.mark.parametrize("egress", ['"0.0.0.0/0"', '"0.0.0.0/0:1-65535"', '"0.0.0.0/0:443", "10.0.0.0/8"'])
def test_connections_that_may_be_allowed_give_no_warning(tmp_path: Path, egress: str) -> None:
    assert find_blocked(load(tmp_path, egress)) == ()


def test_each_connection_that_no_destination_allows_is_named(tmp_path: Path) -> None:
    (warning,) = find_blocked(load(tmp_path, '"0.0.0.0/0:2181", "pl-0a:9000"', hosts='"10.1.2.3:9200"'))
    assert warning == (
        "pio-tf.hcl:3: network.egress keeps machines from archive.apache.org:443 (software), "
        "10.1.2.3:9200 (elasticsearch)"
    )


def test_an_address_outside_of_all_ranges_is_blocked_whatever_its_port(tmp_path: Path) -> None:
    config = load(tmp_path, '"10.0.0.0/8", "192.0.2.0/24:443"', hosts='"10.1.2.3:9200", "192.0.2.7:9200"')
    (warning,) = find_blocked(config)
    assert "192.0.2.7:9200 (elasticsearch)" in warning
    assert "10.1.2.3" not in warning


@pytest.mark.parametrize(
    ("machines", "warned"), [("", True), ("make_instance_profile = true", False), ('instance_profile = "ours"', False)]
)
def test_sessions_of_machines_without_an_instance_profile_are_warned_about(
    tmp_path: Path, machines: str, warned: bool
) -> None:
    ssh = 'ssh {\n  key = "id_ed25519"\n  via = "ssm"\n}\n'
    config = load_text(tmp_path, text_with(ssh=ssh, machines=f"machines {{\n  {machines}\n}}\n"))
    found = [one for one in find_blocked(config) if one.startswith('pio-tf.hcl:3: ssh.via = "ssm" needs')]
    assert bool(found) == warned
