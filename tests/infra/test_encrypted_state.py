"""States that OpenTofu has encrypted, and states that the other product wrote last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError
from pio_tf.events import Warned, silent
from pio_tf.infra.backend.move import move_state
from pio_tf.infra.backend.s3 import s3_backend
from pio_tf.infra.backend.state import read_state
from pio_tf.infra.deployment import Deployment
from pio_tf.infra.terraform_messages import Diagnostic, failure
from tests.support.deployments import Recorder
from tests.support.outputs_sample import OUTPUTS
from tests.support.plan_json import plan
from tests.support.state_bucket import Bucket, make_bucket, state, with_backend
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.infra.binary import Product
    from pio_tf.sandbox.aws import LocalAws
    from tests.support.site import Site

KEY = "pio-tf/demo/terraform.tfstate"
PATH = {"PATH": "/usr/bin:/bin"}


def encrypted(serial: int, lineage: str = "a0b1") -> str:
    """Return a state as OpenTofu 1.10 encrypts it."""
    meta = {"key_provider.pbkdf2.k": "eyJzYWx0Ijo…"}
    return json.dumps(
        {"serial": serial, "lineage": lineage, "meta": meta, "encrypted_data": "RL…", "encryption_version": "v0"}
    )


def written_by(registry: str) -> str:
    provider = f'provider["{registry}/hashicorp/aws"]'
    resource = {"mode": "managed", "type": "aws_vpc", "name": "this", "provider": provider, "instances": []}
    return json.dumps({**json.loads(state(serial=3, region="eu-west-1")), "resources": [resource]})


@pytest.fixture
def bucket(aws: LocalAws) -> Bucket:
    return make_bucket(aws.url)


def test_an_encrypted_state_is_not_empty() -> None:
    found = read_state(encrypted(7), name="s3://states/demo")
    assert found is not None
    assert str(found) == "serial 7 of lineage a0b1, encrypted"


def test_an_encrypted_state_moves_to_s3_byte_for_byte(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    config.stack_dir.mkdir(parents=True)
    (config.stack_dir / "terraform.tfstate").write_text(encrypted(7))
    assert move_state(config, reporter=silent, by_hand="tofu")
    assert bucket.read(KEY).decode() == encrypted(7)


@pytest.mark.parametrize(
    ("there", "here", "why"),
    [
        (encrypted(7), state(serial=7), "they are different states. In S3: serial 7 of lineage a0b1, encrypted"),
        (encrypted(3), encrypted(7), "the one in S3 is older: serial 3 of lineage a0b1, encrypted"),
        (state(serial=3, lineage="a0b1"), encrypted(7), "the one in S3 is older"),
    ],
    ids=["over another one", "over an older one", "over the older one in clear"],
)
def test_no_state_is_written_over_or_by_an_encrypted_one(
    site: Site, bucket: Bucket, there: str, here: str, why: str
) -> None:
    config = with_backend(site, bucket.name)
    config.stack_dir.mkdir(parents=True)
    (config.stack_dir / "terraform.tfstate").write_text(here)
    bucket.write(KEY, there)
    with pytest.raises(ConfigError) as caught:
        move_state(config, reporter=silent, by_hand="tofu")
    assert why in caught.value.cause
    assert bucket.read(KEY).decode() == there


def test_the_copy_in_clear_gives_way_to_the_newer_encrypted_state(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    config.stack_dir.mkdir(parents=True)
    (config.stack_dir / "terraform.tfstate").write_text(state(serial=7))
    bucket.write(KEY, encrypted(8, lineage=json.loads(state(serial=7))["lineage"]))
    assert move_state(config, reporter=silent, by_hand="tofu")
    assert not (config.stack_dir / "terraform.tfstate").exists()


@pytest.mark.parametrize(
    ("product", "environ", "applies"),
    [("OpenTofu", {"TF_ENCRYPTION": "state {}"}, 1), ("OpenTofu", {}, 0), ("Terraform", {"TF_ENCRYPTION": "x"}, 0)],
)
def test_an_apply_without_changes_encrypts_the_state(
    tmp_path: Path, product: str, environ: Mapping[str, str], applies: int
) -> None:
    stand_in = TerraformStandIn(tmp_path, product=product)
    stand_in.prints(show=json.dumps(plan()).encode(), output=json.dumps(OUTPUTS).encode(), status=0)
    deployment = Deployment(stand_in.config, environ={**PATH, **environ})
    deployment.apply(deployment.plan())
    assert stand_in.applies == applies


@pytest.mark.parametrize(
    "said",
    [
        "This state file is encrypted and can not be read without an encryption configuration",
        "decryption failed for all provided methods: attempted decryption failed for state",
        'The state file does not have a "version" attribute, which is required to identify the format version.',
        "This state file is encrypted and can not be\nread without an encryption configuration",
        'The state file does not have a "version"\nattribute, which is required to identify the format version.',
    ],
    ids=["OpenTofu without a key", "another key", "Terraform", "OpenTofu's init", "lines that Terraform wraps"],
)
def test_an_encrypted_state_that_cannot_be_read_is_not_simply_called_damaged(site: Site, said: str) -> None:
    backend = s3_backend(with_backend(site, "states"))
    assert backend is not None
    error = Diagnostic("error", "Unsupported state file format", said)
    for advise in (None, backend.advise):
        found = failure("tofu output", [error], exit_code=1, by_hand="tofu", advise=advise)
        assert found.next_step.startswith("if OpenTofu has encrypted the state, use OpenTofu")


@pytest.mark.parametrize(
    ("product", "registry", "warning"),
    [
        (
            "Terraform",
            "registry.opentofu.org",
            "the state was last written by OpenTofu, and pio-tf uses Terraform 1.9.0",
        ),
        (
            "OpenTofu",
            "registry.terraform.io",
            "the state was last written by Terraform, and pio-tf uses OpenTofu 1.9.0",
        ),
        ("Terraform", "registry.terraform.io", ""),
        ("OpenTofu", "registry.opentofu.org", ""),
        ("Terraform", "registry.example.com", ""),
    ],
)
def test_a_state_of_the_other_product_is_a_warning(tmp_path: Path, product: str, registry: str, warning: str) -> None:
    stand_in, recorder = TerraformStandIn(tmp_path, product=product), Recorder()
    (stand_in.config.stack_dir / "terraform.tfstate").write_text(written_by(registry))
    Deployment(stand_in.config, environ=PATH, reporter=recorder).prepare()
    found = [event.message for event in recorder.events if isinstance(event, Warned)]
    assert [one[: len(warning)] for one in found] == ([warning] if warning else [])


@pytest.mark.parametrize(
    ("registry", "product"), [("registry.terraform.io", "terraform"), ("registry.opentofu.org", "tofu")]
)
def test_the_writer_of_a_state_in_s3_is_read_from_the_object(
    site: Site, bucket: Bucket, registry: str, product: Product
) -> None:
    config = with_backend(site, bucket.name)
    bucket.write(KEY, written_by(registry))
    found = Deployment(config, environ=PATH).stack.state()
    assert found is not None
    assert found.product == product


def test_a_state_that_opentofu_could_not_save_is_decrypted_to_restore_it(tmp_path: Path) -> None:
    """Decrypt errored.tfstate, which OpenTofu encrypts: its `state push` refuses encrypted files."""
    stand_in = TerraformStandIn(tmp_path, product="OpenTofu")
    stack = stand_in.config.stack_dir
    (stack / "errored.tfstate").write_text(encrypted(8))
    (tmp_path / "plain").write_text(state(serial=8, lineage="a0b1"))

    Deployment(stand_in.config, environ=PATH).prepare()

    assert json.loads((tmp_path / "pushed").read_text())["serial"] == 8
    assert not (stack / "errored.tfstate").exists()
    (copy,) = (stand_in.config.work_dir / "state-backups").glob("*.errored")
    assert copy.read_text() == encrypted(8)
    left = [path for path in stand_in.config.work_dir.rglob("*") if path.name in ("plain.tfstate", "terraform.tfstate")]
    assert left == [stack / "terraform.tfstate"]
