"""A local AWS with a project, and a repository with a pipeline, on a sandbox."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.ci.pipeline import SYSTEMS, render_pipeline
from pio_tf.config.load import load_config
from pio_tf.events import silent
from pio_tf.infra.backend.state_bucket import prepare_bucket
from pio_tf.sandbox.access_key import AccessKey
from pio_tf.sandbox.control import start_sandbox, stop_sandbox
from pio_tf.sandbox.project import prepare_project
from tests.ci.forge_server import ForgeServer
from tests.ci.tools import make_path
from tests.integration import light_spark
from tests.integration.training import PIO_WITHOUT_SPARK, lay_out_no_spark
from tests.support.local_project import aws, project
from tests.support.provider_broker import provider_broker
from tests.support.provider_scripts import find_provider, install_scripts, terraform_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.sandbox.layout import SandboxInfo

__all__ = ["aws", "project"]

NAME = "nightly"


@dataclass(frozen=True)
class Site:
    """A team's repository: its state is in a bucket, and no commit holds its key.

    Args:
        files: of the repository, the pipelines of every system among them.
        client: a user's directory, outside the pipelines.
        path: PATH of runners.
    """

    sandbox: SandboxInfo
    files: dict[str, str]
    key: str
    public_key: str
    client: Path
    path: str
    scratch: Path

    @property
    def access_key(self) -> AccessKey:
        """The key of the sandbox, which jobs have, too."""
        return AccessKey.read(self.sandbox.credentials_file)

    def lay_out_pio(self) -> None:
        """Install the PredictionIO of the configuration, which trains without Spark, on the driver."""
        (engine,) = self.sandbox.directory.glob("machines/*/home/engine")
        lay_out_no_spark(engine.parent)

    def changed(self, pattern: str, replacement: str, *, name: str = "pio-tf.hcl") -> dict[str, str]:
        """Return the files, with one thing changed."""
        text, count = re.subn(pattern, replacement, self.files[name])
        assert count == 1, f"{pattern} stands {count} times in {name}"
        return {**self.files, name: text}


@pytest.fixture(scope="module")
def keyed_mirror(tmp_path_factory: pytest.TempPathFactory, released_mirror: Path) -> Iterator[Path]:
    """Yield the CLI configuration file of a mirror whose Terraform uses a provider with the job's own credentials."""
    with (
        tempfile.TemporaryDirectory(prefix="providers-") as directory,  # a short path: a socket's
        provider_broker(find_provider(released_mirror), Path(directory)) as broker,
    ):
        yield install_scripts(tmp_path_factory.mktemp("mirror"), released=released_mirror, broker=broker)


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, keyed_mirror: Path
) -> Iterator[Site]:
    """Return a sandbox for the file, in the network of the module's ``CIDR``. Its machines run no Spark."""
    client = tmp_path_factory.mktemp("client")
    sandbox = tmp_path_factory.mktemp("sandbox") / "sandbox"
    scratch = tmp_path_factory.mktemp("ci")
    info = start_sandbox(sandbox, machine=light_spark.MACHINES, install_mirror=lambda _directory: keyed_mirror)
    (sandbox / light_spark.MARK).touch()
    try:
        path = prepare_project(client, info, cluster=NAME, cidr=request.module.CIDR)
        text = re.sub(r"(?m)^(\s*workers\s*=\s*)2$", r"\g<1>1", path.read_text())
        text = text.replace('"~/pio"', f'"~/{PIO_WITHOUT_SPARK}"')
        path.write_text(text)
        bucket = prepare_bucket(load_config(path), None, reporter=silent).name
        text = text.replace("terraform {", f'terraform {{\n  backend "s3" {{\n    bucket = "{bucket}"\n  }}\n')
        path.write_text(text)
        # A job's credentials come from its role, not from a file.
        committed = re.sub(r"(?m)^\s*(profile|credentials_file)\s*=.*\n", "", text)
        config = load_config(path)
        files = {"pio-tf.hcl": committed}
        for system in SYSTEMS:
            files |= render_pipeline(system, config, root=client).files
        key = (client / ".pio-tf" / "sandbox_key").read_text()
        public = (client / ".pio-tf" / "sandbox_key.pub").read_text()
        yield Site(info, files, key, public, client, make_path(scratch / "tools", terraform_of(keyed_mirror)), scratch)
    finally:
        stop_sandbox(sandbox)


@pytest.fixture(scope="module")
def forge() -> Iterator[ForgeServer]:
    """Run a stand-in for GitHub, or GitLab."""
    with ForgeServer() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def transcript() -> Iterator[list[str]]:
    """Write the collected lines to the file that $PIO_TF_TRANSCRIPT names, for a reader."""
    lines: list[str] = []
    yield lines
    if lines and os.environ.get("PIO_TF_TRANSCRIPT"):
        with Path(os.environ["PIO_TF_TRANSCRIPT"]).open("a", encoding="utf-8") as file:
            file.write("\n".join(lines))
