"""The sandbox's pio-tf.hcl is an ordinary one that works."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr

from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from pio_tf.sandbox.access_key import AccessKey
from pio_tf.sandbox.layout import SandboxInfo, Services
from pio_tf.sandbox.project import prepare_project, render_sandbox_config

INFO = SandboxInfo(
    url="http://127.0.0.1:4321",
    pid=1,
    directory=Path('/state/a ${b} "c"'),
    region="us-east-1",
    profile="sandbox",
    credentials_file=Path('/state/a ${b} "c"/credentials'),
    cli_config_file=Path("/state/terraform/terraformrc"),
    ssh_port=2222,
    ssh_user="ubuntu",
    services=Services(host="127.77.255.1", elasticsearch=9200, zookeeper=2181, namenode=9000),
    log_file=Path("/state/sandbox.log"),
)


@pytest.fixture
def info(tmp_path: Path) -> SandboxInfo:
    """Return a sandbox with an access key."""
    credentials = tmp_path / "sandbox" / "credentials"
    credentials.parent.mkdir()
    AccessKey.new().write(credentials)
    return replace(INFO, credentials_file=credentials)


def test_it_loads_and_points_at_the_sandbox(tmp_path: Path, info: SandboxInfo) -> None:
    path = prepare_project(tmp_path / "new", info, cluster="trial", cidr="127.77.5.0/24")
    assert path == tmp_path / "new" / "pio-tf.hcl"
    config = load_config(path, environ={})
    assert config.cluster.name == "trial"
    assert config.aws.endpoint_url == "http://127.0.0.1:4321"
    assert (config.aws.region, config.aws.profile) == ("us-east-1", "sandbox")
    assert config.aws.credentials_file == path.parent / ".pio-tf" / "sandbox_credentials"
    assert AccessKey.read(config.aws.credentials_file) == AccessKey.read(info.credentials_file)
    assert stat.S_IMODE(config.aws.credentials_file.stat().st_mode) == 0o600
    assert config.terraform.cli_config_file == INFO.cli_config_file
    assert str(config.network.cidr) == "127.77.5.0/24"
    assert config.first_host == 10
    assert (config.ssh.user, config.ssh.port, config.ssh.address) == ("ubuntu", 2222, "private")
    assert (config.spark.home, config.pio.home, config.pio.engine_dir) == ("~/spark", "~/pio", "~/engine")
    assert config.driver.allow_small_memory


def test_it_has_the_spark_and_the_password_of_real_services(tmp_path: Path, info: SandboxInfo) -> None:
    password = tmp_path / "password"
    password.write_text("s3cret")
    services = replace(info.services, kind="real", elasticsearch_user="elastic", elasticsearch_password_file=password)
    real = replace(info, services=services, spark="2.4")
    config = load_config(prepare_project(tmp_path / "real", real, cluster="trial"), environ={})
    assert (config.spark.version, config.software.pio.spark_version) == (None, "2.4.8")
    assert config.elasticsearch is not None
    assert isinstance(config.elasticsearch.password, SecretStr)
    assert config.elasticsearch.user == "elastic"
    assert config.elasticsearch.password.get_secret_value() == "s3cret"
    light = load_config(prepare_project(tmp_path / "light", info, cluster="trial"), environ={})
    assert light.software.pio.spark_version is None
    assert light.elasticsearch is not None
    assert (light.elasticsearch.user, light.elasticsearch.password) == (None, None)
    assert "Without it" not in (tmp_path / "light" / "pio-tf.hcl").read_text()


def test_its_machines_are_in_the_range_of_the_sandbox(tmp_path: Path, info: SandboxInfo) -> None:
    second = replace(info, network="127.78.0.0/16")
    config = load_config(prepare_project(tmp_path / "project", second, cluster="trial"), environ={})
    assert str(config.network.cidr) == "127.78.0.0/24"


def test_it_names_the_services_of_the_sandbox(tmp_path: Path, info: SandboxInfo) -> None:
    config = load_config(prepare_project(tmp_path / "project", info, cluster="trial"), environ={})
    assert config.elasticsearch is not None
    assert (config.elasticsearch.hosts, config.elasticsearch.port) == (["127.77.255.1"], 9200)
    assert config.hbase is not None
    assert (config.hbase.hosts, config.hbase.zookeeper_port) == (["127.77.255.1"], 2181)
    assert config.hdfs is not None
    assert (config.hdfs.namenode, config.hdfs.port) == ("127.77.255.1", 9000)


def test_the_key_beside_it_is_private_and_its_public_half_belongs_to_it(tmp_path: Path, info: SandboxInfo) -> None:
    config = load_config(prepare_project(tmp_path / "project", info, cluster="trial"), environ={})
    key = config.path.parent / config.ssh.key
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    private = asyncssh.read_private_key(key)
    public = asyncssh.read_public_key(f"{key}.pub")
    assert private.convert_to_public().public_data == public.public_data
    assert private.get_algorithm() == "ssh-ed25519"


def test_an_existing_one_is_never_overwritten(tmp_path: Path, info: SandboxInfo) -> None:
    existing = tmp_path / "project" / "pio-tf.hcl"
    existing.parent.mkdir()
    existing.write_text("# mine\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="exists already") as caught:
        prepare_project(tmp_path / "project", info, cluster="trial")
    assert "--dir" in caught.value.next_step
    assert existing.read_text(encoding="utf-8") == "# mine\n"
    assert list(existing.parent.iterdir()) == [existing]


def test_the_same_input_gives_the_same_text() -> None:
    texts = {render_sandbox_config(INFO, cluster="trial", key=Path(".pio-tf/sandbox_key")) for _ in range(2)}
    assert len(texts) == 1
