"""A local AWS for the tests of this part, and configurations for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pio_tf.aws.session import Aws
from pio_tf.config.schema import Config
from pio_tf.sandbox.aws import LocalAws
from tests.support.instances import with_all_operations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_ec2 import EC2Client

REGION = "eu-west-1"


class MakeConfig(Protocol):
    """Makes a configuration; arguments are blocks that are laid over the usual ones."""

    def __call__(self, **blocks: dict[str, Any]) -> Config: ...


@pytest.fixture(scope="module")
def local_aws() -> Iterator[LocalAws]:
    """Run moto's server as the sandbox does, once for all tests of a file.

    Each test has a cluster with its own name.
    """
    with LocalAws(transition_seconds=0.2) as aws:
        yield aws


@pytest.fixture(autouse=True)
def _no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the computer's AWS settings from the tests."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """Write a credentials file that holds nothing of value."""
    return write_credentials(tmp_path)


@pytest.fixture
def make_config(credentials: Path) -> MakeConfig:
    """Return a function that makes configurations without any API, unless the test names one."""
    return partial(build_config, credentials)


@pytest.fixture
def local_config(make_config: MakeConfig, local_aws: LocalAws) -> MakeConfig:
    """Return a function that makes configurations for the local AWS."""

    def make(**blocks: dict[str, Any]) -> Config:
        aws = {"endpoint_url": local_aws.url, **blocks.pop("aws", {})}
        return make_config(aws=aws, **blocks)

    return make


@pytest.fixture(scope="module")
def ec2(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> EC2Client:
    """Return a client of the local AWS, with all operations: tests make what pio-tf only looks at."""
    credentials = write_credentials(tmp_path_factory.mktemp("aws"))
    return with_all_operations(Aws(build_config(credentials, aws={"endpoint_url": local_aws.url})).client("ec2"))


def write_credentials(directory: Path) -> Path:
    """Write a credentials file that any account would refuse."""
    path = directory / "credentials"
    path.write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret\n")
    return path


def build_config(credentials: Path, **blocks: dict[str, Any]) -> Config:
    """Return a valid configuration with these blocks laid over it.

    ``network`` is replaced as a whole.
    """
    raw: dict[str, Any] = {
        "cluster": {"name": "rec"},
        "aws": {"region": REGION, "credentials_file": str(credentials)},
        "network": {"cidr": "10.1.0.0/24"},
        "ssh": {"key": "id_ed25519"},
        "pio": {"engine_dir": "/home/aml/ur"},
        "elasticsearch": {"hosts": ["es-1"]},
        "hbase": {"hosts": ["hbase-1"]},
        "hdfs": {"namenode": "hdfs-1"},
    }
    for name, block in blocks.items():
        raw[name] = block if name == "network" else {**raw.get(name, {}), **block}
    return Config.model_validate(raw)
