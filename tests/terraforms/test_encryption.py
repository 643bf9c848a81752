"""A state that OpenTofu encrypts: in clear and back, from a file to S3, and never taken for an empty one.

The tests share one cluster of each OpenTofu, in the order in which they stand.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.provider_scripts import TERRAFORM as BUNDLED
from tests.support.state_bucket import make_bucket, state
from tests.terraforms.worlds import World, encryption

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws
    from tests.terraforms.worlds import Program

TERRAFORM = f'binary = "{BUNDLED}"'


@pytest.fixture(scope="module")
def cluster(tofu: Program, tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, provider_mirror: Path) -> World:
    """Make a cluster whose state is a file in clear."""
    world = World(tmp_path_factory.mktemp("cluster"), tofu, aws.url, provider_mirror, backend="local")
    world.project.run("apply")
    return world


def encrypt(world: World, value: str | None) -> None:
    """Set TF_ENCRYPTION from now on."""
    world.project.environment.pop("TF_ENCRYPTION", None)
    if value is not None:
        world.project.environment["TF_ENCRYPTION"] = value


def assert_no_changes(world: World) -> None:
    assert "no changes" in world.project.run("plan", "--detailed-exitcode").stdout


def fresh_checkout(world: World) -> None:
    """Remove all that pio-tf and OpenTofu have written: what a new runner has."""
    shutil.rmtree(world.project.directory / ".pio-tf")


def test_an_apply_without_changes_encrypts_the_state(cluster: World) -> None:
    assert not cluster.is_encrypted()
    encrypt(cluster, encryption("first", before="clear"))
    before = cluster.project.instances()
    cluster.project.run("apply")
    assert cluster.is_encrypted()
    assert cluster.project.instances() == before


def test_it_moves_to_s3_byte_for_byte(cluster: World) -> None:
    before = cluster.state()
    cluster.bucket = make_bucket(cluster.project.url or "")
    cluster.write()
    assert_no_changes(cluster)
    assert cluster.state() == before


def test_it_moves_to_another_object_byte_for_byte(cluster: World) -> None:
    before = cluster.state()
    cluster.key = "elsewhere/terraform.tfstate"
    cluster.write()
    assert_no_changes(cluster)
    assert cluster.state() == before


def test_a_runner_with_the_key_finds_no_changes(cluster: World) -> None:
    fresh_checkout(cluster)
    assert_no_changes(cluster)


@pytest.mark.parametrize("checkout", ["old", "fresh"])
def test_without_the_key_it_is_not_taken_for_an_empty_one(cluster: World, checkout: str) -> None:
    before, right = cluster.state(), cluster.project.environment["TF_ENCRYPTION"]
    encrypt(cluster, None)
    if checkout == "fresh":
        fresh_checkout(cluster)
    for command in ("plan", "apply"):
        said = cluster.project.fails(command, exit_code=1)
        assert "if OpenTofu has encrypted the state, use OpenTofu (terraform.binary), with TF_ENCRYPTION" in said
    assert cluster.state() == before
    done = cluster.project.run("status", "--json")
    assert len(json.loads(done.stdout)["machines"]) == 3
    assert "using only the tags of the machines" in done.stderr
    encrypt(cluster, right)


def test_another_key_does_not_read_it(cluster: World) -> None:
    before, right = cluster.state(), cluster.project.environment["TF_ENCRYPTION"]
    encrypt(cluster, encryption("second"))
    said = cluster.project.fails("apply", exit_code=1)
    assert "with TF_ENCRYPTION as for its last apply" in said
    assert cluster.state() == before
    encrypt(cluster, right)


def test_terraform_does_not_take_it_for_an_empty_one(cluster: World) -> None:
    before = cluster.state()
    cluster.write(options=TERRAFORM)
    said = cluster.project.fails("apply", exit_code=1)
    assert "if OpenTofu has encrypted the state, use OpenTofu (terraform.binary), with TF_ENCRYPTION" in said
    assert cluster.state() == before
    cluster.write()


def test_no_other_state_is_moved_over_it(cluster: World) -> None:
    before = cluster.state()
    fresh_checkout(cluster)
    cluster.stack.mkdir(parents=True)
    (cluster.stack / "terraform.tfstate").write_text(state(serial=99, lineage="another"))
    said = cluster.project.fails("plan", exit_code=2)
    assert "they are different states. In S3: serial " in said
    assert ", encrypted; the other one: serial 99 of lineage another" in said
    assert cluster.state() == before
    fresh_checkout(cluster)


def test_one_that_could_not_be_saved_is_restored(cluster: World) -> None:
    assert cluster.bucket is not None
    before = cluster.state()
    cluster.write(workers=2)
    cluster.project.run("plan")
    cluster.bucket.deny("s3:PutObject", key=cluster.key)
    cluster.project.fails("apply", exit_code=1)
    cluster.bucket.allow()
    assert "worker-2" in cluster.project.instances()
    errored = json.loads((cluster.stack / "errored.tfstate").read_text())
    assert "encrypted_data" in errored
    assert cluster.state() == before

    assert "Restoring the state" in cluster.project.run("plan", "--detailed-exitcode").stderr

    assert cluster.is_encrypted()
    assert not (cluster.stack / "errored.tfstate").exists()
    # The file of this name in .terraform says where the state is.
    states = [path for path in cluster.project.directory.rglob("*.tfstate*") if path.parent.name != ".terraform"]
    assert [path for path in states if b'"resources"' in path.read_bytes()] == []


def test_an_apply_without_changes_encrypts_it_with_a_new_key(cluster: World) -> None:
    encrypt(cluster, encryption("second", before="first"))
    cluster.project.run("apply")
    encrypt(cluster, encryption("second"))
    assert_no_changes(cluster)
    encrypt(cluster, encryption("first"))
    cluster.project.fails("plan", exit_code=1)


def test_an_apply_without_changes_decrypts_it(cluster: World) -> None:
    encrypt(cluster, encryption("clear", before="second"))
    cluster.project.run("apply")
    assert not cluster.is_encrypted()
    encrypt(cluster, None)
    assert_no_changes(cluster)


def test_the_other_product_gets_a_warning(cluster: World) -> None:
    cluster.write(workers=2, options=TERRAFORM)
    said = cluster.project.run("plan").stderr
    assert "the state was last written by OpenTofu, and pio-tf uses Terraform" in said
