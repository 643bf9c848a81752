"""Each module's own tests (``*.tftest.hcl``, AWS mocked) in the bundled Terraform; and what no module may say."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pio_tf.config.components import Component
from pio_tf.infra.bootstrap import Settings, render_script
from pio_tf.infra.root_module import MODULES, find_modules
from tests.support.site import terraform

if TYPE_CHECKING:
    from pio_tf.model import Role

BASH = shutil.which("bash") or "/bin/bash"
ROOT = Path(__file__).parents[2] / "pio_tf" / "infra" / "root"

FORBIDDEN = {
    r"\bassociate_public_ip_address\s*=": "on a stopped machine it reads back false, and replaces the machine",
    r"\bnetwork_interface\s*\{": "deprecated since AWS provider 6.10",
    r"^\s*vpc\s*=": "aws_eip.vpc is gone in provider 6",
    r"^\s*domain\s*=": "aws_eip.domain is unknown to provider 3.39",
    r"\bdefault_tags\b": "shows as drift on aws_eip",
    r"\bebs_block_device\b": "no drift check, and a change replaces the machine",
    r"\bephemeral_block_device\b": "a change replaces the machine",
    r"\bcount\s*=\s*var\.workers": "machines carry names: scaling must not renumber them",
    r"\benable_classiclink": "gone in provider 5",
    r"\buser_data_replace_on_change\b": "unknown to 3.39, and replaces the machine",
    r"^\s*(ingress|egress)\s*[={]": "rules are resources of their own",
    r"\bs3_(force|use)_path_style\b": "its name differs between 3.39 and 6",
    r"\bshared_credentials_files?\b": "its name differs between 3.39 and 6",
}


def test_the_modules_that_are_copied_are_all_there_are() -> None:
    assert sorted(path.name for path in find_modules().iterdir()) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_the_usual_files(module: str) -> None:
    names = {path.name for path in (find_modules() / module).iterdir()}
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"} <= names


@pytest.mark.parametrize(
    "path", [*find_modules().glob("*/*.tf"), *ROOT.glob("*.tf")], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_nothing_is_used_that_one_of_the_provider_versions_lacks_or_that_replaces_machines(path: Path) -> None:
    text = re.sub(r"#.*", "", path.read_text())
    assert [why for pattern, why in FORBIDDEN.items() if re.search(pattern, text, re.MULTILINE)] == []
    if path.is_relative_to(find_modules()):
        assert not re.search(r'^provider "', text, re.MULTILINE), "a module has no provider block"


@pytest.mark.parametrize("path", list(find_modules().glob("*/variables.tf")), ids=lambda p: p.parent.name)
def test_every_variable_is_typed_and_described(path: Path) -> None:
    blocks = re.split(r'^variable "', path.read_text(), flags=re.MULTILINE)[1:]
    assert [
        block.partition('"')[0] for block in blocks if "  type" not in block or "  description = " not in block
    ] == []


@pytest.mark.parametrize("kind", ["aws_instance", "aws_eip", "aws_vpc", "aws_subnet", "aws_security_group"])
def test_what_must_survive_carries_prevent_destroy(kind: str) -> None:
    blocks = [
        block
        for path in find_modules().glob("*/main.tf")
        for block in re.split(r"^(?=resource |data |module )", path.read_text(), flags=re.MULTILINE)
        if block.startswith(f'resource "{kind}"')
    ]
    assert blocks
    assert all("prevent_destroy = true" in block for block in blocks)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_passes_its_own_tests(module: str, tmp_path: Path, mirror: Path) -> None:
    shutil.copytree(find_modules(), tmp_path / "modules")
    directory = tmp_path / "modules" / module
    environ = {"TF_CLI_CONFIG_FILE": str(mirror)}

    ready = terraform("init", "-no-color", cwd=directory, **environ)
    assert ready.returncode == 0, ready.stdout + ready.stderr
    result = terraform("test", "-no-color", cwd=directory, **environ)

    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Success! [1-9]\d* passed, 0 failed", result.stdout)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a copy of the bootstrap module, which needs no provider, ready to be applied."""
    directory = tmp_path_factory.mktemp("bootstrap")
    for path in (find_modules() / "bootstrap").iterdir():
        if path.is_file():
            shutil.copy(path, directory)
    assert terraform("init", cwd=directory).returncode == 0
    return directory


@pytest.mark.parametrize("role", ["driver", "master", "worker"])
def test_the_script_for_the_first_boot_is_bash_and_the_one_that_provision_runs(role: Role, bootstrap: Path) -> None:
    home = '/opt/o\'brien "$HOME" `id` \\ ${x}'
    component = Component("spark", "2.4.8", home, "x.tgz", "0" * 128, ("http://one/x.tgz", "s3://two/x.tgz"))
    pio = replace(component, name="pio", version="0.14.0")
    settings = Settings(
        role=role,
        ssh_user="ubuntu",
        service_user="aml",
        region="eu-west-1",
        components=(component, pio),
        hosts={"spark-master": "127.77.0.11", "driver": "127.77.0.10"},
        master_host="127.77.0.11" if role == "worker" else "-",
        elasticsearch_name="it's",
        https_proxy="http://proxy:3128",
        no_proxy=(".internal", "10.0.0.1"),
        extra_bootstrap='#!/bin/bash\necho "it\'s ${HOME}"',
    )
    variables = {
        "role": role,
        "ssh_user": "ubuntu",
        "region": "eu-west-1",
        "software": {
            "user": "aml",
            "elasticsearch_name": "it's",
            "https_proxy": settings.https_proxy,
            "no_proxy": settings.no_proxy,
            "extra_bootstrap": settings.extra_bootstrap,
            "components": [
                {"name": one.name, "version": one.version, "home": home, "sha512": one.sha512, "urls": one.urls}
                for one in (component, pio)
            ],
        },
        "hosts": settings.hosts,
        "master_host": "127.77.0.11" if role == "worker" else None,
    }
    (bootstrap / "terraform.tfvars.json").write_text(json.dumps(variables))
    applied = terraform("apply", "-auto-approve", "-no-color", cwd=bootstrap)
    assert applied.returncode == 0, applied.stderr
    packed = b64decode(terraform("output", "-raw", "user_data_base64", cwd=bootstrap).stdout)
    script = gzip.decompress(packed).decode()

    assert script == render_script(settings)
    assert len(packed) < 13_000, "AWS takes 16384 bytes; leave room for the addresses of 500 workers"
    checked = subprocess.run([BASH, "-n"], input=script, capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    head = script.partition("\nset -euo pipefail")[0]
    said = subprocess.run(
        [BASH, "-c", head + '\nprintf "%s\\n" "$ROLE" "$MASTER_HOST" "$ELASTICSEARCH_NAME" "$COMPONENTS"'],
        capture_output=True,
        text=True,
        check=True,
    )
    first = ["spark", "2.4.8", home, "0" * 128, "http://one/x.tgz s3://two/x.tgz"]
    assert said.stdout.splitlines()[:4] == [role, settings.master_host, "it's", "\t".join(first)]
    assert len(said.stdout.splitlines()) == (5 if role == "driver" else 4)
