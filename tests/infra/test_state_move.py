"""A state that moves: from the stack's directory into S3, from key to key; never over another one, and never lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError, Locked, PioTfError, TerraformError
from pio_tf.events import Step
from pio_tf.infra.deployment import Deployment
from tests.support.deployments import ENVIRON, Recorder, deployment
from tests.support.state_bucket import LOCK, Bucket, make_bucket, state, with_backend

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.sandbox.aws import LocalAws
    from tests.support.site import Site


KEY = "pio-tf/demo/terraform.tfstate"


@pytest.fixture
def bucket(aws: LocalAws) -> Bucket:
    return make_bucket(aws.url)


def local_state(config: Config, text: str) -> Path:
    path = config.stack_dir / "terraform.tfstate"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def copies(config: Config) -> list[Path]:
    return sorted(config.stack_dir.glob("terraform.tfstate.before-s3-*"))


def region(config: Config, recorder: Recorder | None = None) -> str:
    """Read an output, as the next command does."""
    cluster = deployment(config, recorder)
    cluster.outputs()
    return str(cluster.stack.terraform.output()["region"]["value"])


def refused(config: Config) -> PioTfError:
    with pytest.raises(PioTfError) as caught:
        deployment(config).outputs()
    return caught.value


def identity(text: bytes) -> tuple[str, int]:
    raw = json.loads(text)
    return raw["lineage"], raw["serial"]


def test_a_local_state_moves_to_s3_with_the_next_command_and_a_copy_stays(site: Site, bucket: Bucket) -> None:
    plain = site.write()
    local_state(plain, state(serial=7))
    assert region(plain) == "us-east-1"
    deployment(plain).plan()  # the stack is initialised, and its state is in the directory

    config = with_backend(site, bucket.name)
    recorder = Recorder()
    assert region(config, recorder) == "us-east-1"

    assert identity(bucket.read(KEY)) == ("f3c1", 7)
    (copy,) = copies(config)
    assert identity(copy.read_bytes()) == ("f3c1", 7)
    assert copy.stat().st_mode & 0o777 == 0o600
    steps = [event.message for event in recorder.events if isinstance(event, Step)]
    assert any(
        f"Moving the state to s3://{bucket.name}/{KEY}; a copy stays here as {copy.name}" in step for step in steps
    )

    again = Recorder()
    assert region(config, again) == "us-east-1"
    assert again.events == []
    assert copies(config) == [copy]


def test_the_first_command_of_a_stack_that_was_never_initialised_moves_its_state_too(
    site: Site, bucket: Bucket
) -> None:
    config = with_backend(site, bucket.name)
    local_state(config, state(serial=2))
    assert region(config) == "us-east-1"
    assert identity(bucket.read(KEY)) == ("f3c1", 2)


def test_a_second_checkout_with_the_same_state_uses_the_one_in_s3(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    bucket.write(KEY, state(serial=9, region="eu-west-1"))
    path = local_state(config, state(serial=7))
    assert region(config) == "eu-west-1"
    assert not path.exists()
    assert identity(copies(config)[0].read_bytes()) == ("f3c1", 7)
    assert identity(bucket.read(KEY)) == ("f3c1", 9)


@pytest.mark.parametrize(
    ("there", "why"),
    [(state(serial=3), "is older"), (state(serial=30, lineage="another"), "different states")],
    ids=["an older one", "another one"],
)
def test_a_state_is_never_written_over_by_another(site: Site, bucket: Bucket, there: str, why: str) -> None:
    config = with_backend(site, bucket.name)
    bucket.write(KEY, there)
    path = local_state(config, state(serial=7))
    error = refused(config)
    assert isinstance(error, ConfigError)
    assert str(path) in error.what
    assert f"s3://{bucket.name}/{KEY}" in error.what
    assert error.what.startswith("pio-tf.hcl:")
    assert why in error.cause
    assert "nothing was changed" in error.next_step
    assert bucket.read(KEY).decode() == there
    assert path.read_text() == state(serial=7)


def test_a_state_is_not_moved_while_another_client_has_its_place_locked(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name, more='lock_timeout = "5m"')
    path = local_state(config, state(serial=7))
    bucket.write(f"{KEY}.tflock", json.dumps(LOCK))
    with pytest.raises(Locked, match="state is locked"):  # at once: what was found may be old after a wait
        Deployment(config, environ=ENVIRON).outputs()
    assert KEY not in bucket.names()
    assert path.read_text() == state(serial=7)
    bucket.remove(f"{KEY}.tflock")
    assert region(config) == "us-east-1"


def test_a_state_is_not_moved_while_another_process_is_using_it_here(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    path = local_state(config, state(serial=7))
    path.with_name(".terraform.tfstate.lock.info").write_text(json.dumps(LOCK))  # as Terraform writes it
    program = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True)"
    command = [sys.executable, "-c", f"{program}; input()", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        error = refused(config)
        holder.communicate(b"\n")
    assert isinstance(error, Locked)
    assert "apply by ann@ci-runner-7" in error.cause
    assert bucket.names() == []
    assert path.read_text() == state(serial=7)


def test_a_move_that_fails_leaves_the_state_where_it_was(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    path = local_state(config, state(serial=7))
    bucket.deny("s3:PutObject", key=KEY)
    assert f"s3:PutObject on arn:aws:s3:::{bucket.name}/{KEY}" in refused(config).next_step
    assert bucket.names() == []
    assert identity(path.read_bytes()) == ("f3c1", 7)
    bucket.allow()
    assert region(config) == "us-east-1"
    assert identity(bucket.read(KEY)) == ("f3c1", 7)


def test_a_move_that_was_interrupted_after_the_copy_is_completed(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    local_state(config, state(serial=7))
    bucket.write(KEY, state(serial=7))  # the copy has arrived, and Terraform was killed then
    assert region(config) == "us-east-1"


def test_a_state_without_content_is_not_moved(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    local_state(config, json.dumps(json.loads(state(serial=7)) | {"outputs": {}}))
    assert deployment(config).outputs() is None
    assert bucket.names() == []


def test_an_encrypted_state_of_opentofu_is_not_taken_for_an_empty_one(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    encrypted = json.dumps({"serial": 7, "lineage": "a0b1", "encrypted_data": "…", "encryption_version": "v0"})
    bucket.write(KEY, encrypted)
    path = local_state(config, state(serial=7))
    assert "different states" in refused(config).cause
    assert bucket.read(KEY).decode() == encrypted
    assert path.exists()


def test_a_state_that_cannot_be_read_is_left_alone(site: Site, bucket: Bucket) -> None:
    config = with_backend(site, bucket.name)
    path = local_state(config, "{half of a sta")
    error = refused(config)
    assert isinstance(error, TerraformError)
    assert f"{path} is not a Terraform state" in error.what
    assert path.read_text() == "{half of a sta"


def test_another_key_takes_the_state_along_and_leaves_the_old_one(site: Site, bucket: Bucket) -> None:
    bucket.write(KEY, state(serial=7))
    assert region(with_backend(site, bucket.name)) == "us-east-1"
    moved = with_backend(site, bucket.name, 'key = "elsewhere/terraform.tfstate"')
    recorder = Recorder()
    assert region(moved, recorder) == "us-east-1"
    assert identity(bucket.read("elsewhere/terraform.tfstate")) == ("f3c1", 7)
    assert identity(bucket.read(KEY)) == ("f3c1", 7)
    assert any(f"the one at s3://{bucket.name}/{KEY} is left as it is" in str(event) for event in recorder.events)


def test_another_bucket_with_another_state_is_refused(site: Site, bucket: Bucket) -> None:
    bucket.write(KEY, state(serial=7))
    assert region(with_backend(site, bucket.name)) == "us-east-1"
    other = make_bucket(site.url)
    other.write(KEY, state(serial=1, lineage="another"))
    error = refused(with_backend(site, other.name))
    assert "different states" in error.cause
    assert identity(other.read(KEY)) == ("another", 1)


def test_other_arguments_of_the_same_place_need_no_move(site: Site, bucket: Bucket) -> None:
    bucket.write(KEY, state(serial=7))
    assert region(with_backend(site, bucket.name)) == "us-east-1"
    recorder = Recorder()
    assert region(with_backend(site, bucket.name, "max_retries = 2"), recorder) == "us-east-1"
    (step,) = recorder.events
    assert isinstance(step, Step)
    assert step.message == "Initialising Terraform"
    assert copies(site.write()) == []


def test_the_way_back_from_s3_is_refused_with_the_reason(site: Site, bucket: Bucket) -> None:
    bucket.write(KEY, state(serial=7))
    assert region(with_backend(site, bucket.name)) == "us-east-1"
    plain = site.write()
    for command in (lambda: deployment(plain).outputs(), lambda: deployment(plain).plan()):
        with pytest.raises(ConfigError, match=r"has no terraform\.backend any more") as caught:
            command()
        assert "diverge from the state that other clients use" in caught.value.cause
        assert f"terraform -chdir={plain.stack_dir} init -migrate-state" in caught.value.next_step
    assert not (plain.stack_dir / "terraform.tfstate").exists()


def test_of_two_checkouts_that_move_the_same_state_at_once_none_loses_it(
    site: Site, bucket: Bucket, tmp_path: Path
) -> None:
    configs = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        config = with_backend(type(site)(directory, site.name, site.url, site.mirror), bucket.name)
        local_state(config, state(serial=7))
        configs.append(config)
    start = threading.Barrier(2)

    def move(config: Config) -> None:
        cluster = deployment(config)
        _ = cluster.stack.terraform
        start.wait()
        moved = False
        while not moved:
            with contextlib.suppress(Locked):  # the other one moves it just now
                cluster.outputs()
                moved = True

    threads = [threading.Thread(target=move, args=(config,)) for config in configs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [region(config) for config in configs] == ["us-east-1", "us-east-1"]
    assert identity(bucket.read(KEY)) == ("f3c1", 7)
    assert all(identity(copies(config)[0].read_bytes()) == ("f3c1", 7) for config in configs)
