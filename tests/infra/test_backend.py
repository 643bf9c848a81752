"""The state in S3: its defaults, its lock, and the errors for a missing bucket or permission."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError, Locked, PioTfError, TerraformError
from pio_tf.events import Step
from pio_tf.infra.backend.s3 import require_lockfile, s3_backend
from pio_tf.infra.binary import TerraformBinary
from pio_tf.infra.deployment import Deployment
from pio_tf.infra.root_module import render_stack
from tests.support.deployments import ENVIRON, Recorder, deployment
from tests.support.provider_scripts import terraform_of
from tests.support.site import Site
from tests.support.state_bucket import LOCK, Bucket, make_bucket, state, with_backend

if TYPE_CHECKING:
    from pio_tf.config.schema import Config
    from pio_tf.infra.backend.s3 import S3Backend
    from pio_tf.sandbox.aws import LocalAws


KEY = "pio-tf/demo/terraform.tfstate"


@pytest.fixture
def bucket(aws: LocalAws) -> Bucket:
    return make_bucket(aws.url)


@pytest.fixture
def dry(tmp_path: Path) -> Site:
    """Make a directory for a cluster on AWS; no test calls AWS."""
    return Site(directory=tmp_path, name="demo", url="https://api.example.internal", mirror=tmp_path / "terraformrc")


def on_aws(config: Config, **changes: object) -> Config:
    """Return the configuration without any API other than AWS's."""
    return config.model_copy(update={"aws": config.aws.model_copy(update={"endpoint_url": None, **changes})})


def backend_of(config: Config) -> S3Backend:
    backend = s3_backend(config)
    assert backend is not None
    return backend


def error_of(config: Config) -> PioTfError:
    with pytest.raises(PioTfError) as caught:
        deployment(config).plan()
    return caught.value


def test_what_pio_tf_hcl_does_not_say_is_locked_encrypted_and_under_the_clusters_key(dry: Site) -> None:
    config = on_aws(with_backend(dry, "states"))
    assert render_stack(config)["backend.tf"] == (
        "# Written by pio-tf from pio-tf.hcl: change that file, not this one.\n\n"
        'terraform {\n  backend "s3" {\n'
        '    bucket       = "states"\n'
        "    encrypt      = true\n"
        '    key          = "pio-tf/demo/terraform.tfstate"\n'
        '    region       = "us-east-1"\n'
        "    use_lockfile = true\n"
        "  }\n}\n"
    )


def test_what_pio_tf_hcl_says_stands(dry: Site) -> None:
    config = on_aws(
        with_backend(
            dry, "states", 'key = "a/b.tfstate"', 'region = "eu-west-1"', "encrypt = false", "use_lockfile = false"
        )
    )
    backend = backend_of(config)
    assert dict(backend.arguments) == {
        "bucket": "states",
        "encrypt": False,
        "key": "a/b.tfstate",
        "region": "eu-west-1",
        "use_lockfile": False,
    }
    assert backend.aws.region == "eu-west-1"
    assert config.aws.region == "us-east-1"


def test_a_table_that_locks_is_left_to_lock_alone(dry: Site) -> None:
    assert "use_lockfile" not in backend_of(with_backend(dry, "states", 'dynamodb_table = "locks"')).arguments


def test_the_bucket_is_reached_with_the_clusters_credentials(dry: Site) -> None:
    from pio_tf.config.blocks import AssumeRole

    role = AssumeRole(role_arn="arn:aws:iam::123456789012:role/pio-tf", external_id="x")
    backend = backend_of(on_aws(with_backend(dry, "states"), profile="training", assume_role=role))
    assert backend.arguments["profile"] == "training"
    assert backend.arguments["assume_role"] == {
        "role_arn": "arn:aws:iam::123456789012:role/pio-tf",
        "session_name": "pio-tf",
        "external_id": "x",
    }
    assert backend.aws.assume_role == role


def test_credentials_that_the_backend_has_of_its_own_are_used_for_the_bucket(dry: Site) -> None:
    config = on_aws(
        with_backend(dry, "states", 'assume_role = { role_arn = "arn:aws:iam::210987654321:role/states" }'),
        profile="training",
    )
    backend = backend_of(config)
    assert "profile" not in backend.arguments
    assert backend.aws.profile is None
    assert backend.aws.assume_role is not None
    assert backend.aws.assume_role.role_arn == "arn:aws:iam::210987654321:role/states"
    assert config.aws.assume_role is None


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("pio-tf/demo/terraform.tfstate", "pio-tf/demo/"),
        ("terraform.tfstate", ""),
        ("pio-tf/demo.tfstate", "pio-tf/demo/"),
        ("states/demo", "states/demo/"),
    ],
)
def test_the_clusters_other_objects_have_a_place_that_no_other_cluster_has(dry: Site, key: str, prefix: str) -> None:
    assert backend_of(with_backend(dry, "states", f'key = "{key}"')).prefix == prefix


def test_a_terraform_that_knows_no_lock_object_is_refused_with_what_to_do(dry: Site) -> None:
    backend = backend_of(with_backend(dry, "states"))
    old = TerraformBinary(path=Path("/usr/bin/terraform"), product="terraform", version="1.9.8")
    with pytest.raises(
        TerraformError, match=r"Terraform 1\.9\.8 .* too old for a state in S3.* new in 1\.10\.0"
    ) as caught:
        require_lockfile(backend, old)
    assert "terraform.binary" in caught.value.next_step
    require_lockfile(backend, TerraformBinary(path=Path("/usr/bin/tofu"), product="tofu", version="1.10.0-rc1"))
    unlocked = backend_of(with_backend(dry, "states", "use_lockfile = false"))
    require_lockfile(unlocked, old)


def test_a_state_is_written_read_and_locked_in_s3(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    cluster = deployment(config)
    assert cluster.outputs() is None
    assert cluster.plan().has_changes
    assert bucket.names() == []  # the lock has been given back, and there is no state yet
    bucket.write(KEY, state(serial=3))
    assert Deployment(config, environ=ENVIRON).stack.terraform.output()["region"]["value"] == "us-east-1"


def test_a_held_lock_is_reported_with_holder_time_operation_and_next_step(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    bucket.write(f"{KEY}.tflock", json.dumps(LOCK))
    error = error_of(config)
    assert isinstance(error, Locked)
    assert error.exit_code == 4
    assert "apply by ann@ci-runner-7, since 2026-11-01 10:00:00.123456 +0000 UTC" in error.cause
    assert " ago)" in error.cause
    assert LOCK["ID"] in error.cause
    assert f"terraform -chdir={config.stack_dir} force-unlock {LOCK['ID']}" in error.next_step
    assert error.details["who"] == "ann@ci-runner-7"
    assert json.loads(bucket.read(f"{KEY}.tflock")) == LOCK  # never unlocked by itself


def test_a_lock_is_waited_for_as_long_as_pio_tf_hcl_says(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name, more='lock_timeout = "5m"')
    bucket.write(f"{KEY}.tflock", json.dumps(LOCK))
    recorder = Recorder()

    def let_go() -> None:
        while not any(isinstance(event, Step) and "state lock" in event.message for event in recorder.events):
            time.sleep(0.05)
        bucket.remove(f"{KEY}.tflock")

    holder = threading.Thread(target=let_go)
    holder.start()
    try:
        assert Deployment(config, reporter=recorder, environ=ENVIRON).plan().has_changes
    finally:
        holder.join()


def test_of_pipelines_that_plan_at_once_with_no_patience_one_passes_and_the_other_names_it(
    site: Site, bucket: Bucket, tmp_path: Path
) -> None:
    configs = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        configs.append(with_backend(Site(directory, site.name, site.url, site.mirror), bucket.name))
    for config in configs:
        deployment(config).outputs()  # initialised
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def plan(config: Config) -> None:
        cluster = deployment(config)
        _ = cluster.stack.terraform
        start.wait()
        try:
            cluster.plan()
            outcomes.append("planned")
        except Locked as error:
            outcomes.append("locked" if "plan by " in error.cause else error.cause)

    threads = [threading.Thread(target=plan, args=(config,)) for config in configs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) in (["locked", "planned"], ["planned", "planned"])  # the second if they just missed it
    assert f"{KEY}.tflock" not in bucket.names()


def test_a_missing_bucket_is_reported_with_the_command_that_makes_it(site: Site) -> None:
    error = error_of(with_backend(site, "no-such-bucket"))
    assert "no-such-bucket" in str(error)
    assert "pio-tf init --backend" in error.next_step


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject"])
def test_a_permission_that_the_lock_needs_is_named_with_its_object(site: Site, bucket: Bucket, action: str) -> None:
    config = with_backend(site, bucket.name)
    bucket.deny(action, key="*.tflock")
    error = error_of(config)
    lock = f"arn:aws:s3:::{bucket.name}/{KEY}.tflock"
    assert not isinstance(error, Locked)
    assert "state lock" in error.cause
    assert f"s3:GetObject, s3:PutObject and s3:DeleteObject on {lock}" in error.next_step
    left = f"{KEY}.tflock" in bucket.names()
    assert left == (action == "s3:DeleteObject")
    assert left == (f"terraform -chdir={config.stack_dir} force-unlock " in error.next_step)


def test_a_permission_that_the_state_needs_is_named_with_its_object(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    bucket.write(KEY, state(serial=3))
    bucket.deny("s3:GetObject", key=KEY)
    error = error_of(config)
    assert f"s3:GetObject and s3:PutObject on arn:aws:s3:::{bucket.name}/{KEY}" in error.next_step


def test_a_workspace_of_the_environment_is_refused_with_the_reason(site: Site) -> None:
    config = site.write()
    cluster = Deployment(config, environ={**ENVIRON, "TF_WORKSPACE": "prod"})
    with pytest.raises(ConfigError, match="TF_WORKSPACE names the workspace prod") as caught:
        cluster.plan()
    assert "one state, under a key of its own" in caught.value.cause
    assert "another cluster.name" in caught.value.next_step
    assert not (config.stack_dir / ".terraform").exists()


def test_a_workspace_that_was_selected_in_the_stack_and_does_not_exist_is_refused_with_the_way_back(
    site: Site, bucket: Bucket
) -> None:
    config = with_backend(site, bucket.name)
    chosen = config.stack_dir / ".terraform" / "environment"
    chosen.parent.mkdir(parents=True)
    chosen.write_text("prod")
    error = error_of(config)
    assert isinstance(error, ConfigError)
    assert "the workspace prod is selected" in error.what
    assert error.next_step == f"{terraform_of(site.mirror)} -chdir={config.stack_dir} workspace select default"
    chosen.write_text("default")
    assert deployment(config).plan().has_changes
