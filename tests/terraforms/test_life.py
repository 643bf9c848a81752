"""A cluster from its first plan to its end, as a user runs pio-tf with one Terraform or OpenTofu on PATH.

The tests of a world share its cluster, in the order in which they stand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.state_bucket import LOCK
from tests.terraforms.worlds import World

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws
    from tests.terraforms.worlds import Program

MACHINES = ("driver", "master", "worker-1")


def assert_no_changes(world: World) -> None:
    done = world.project.run("plan", "--detailed-exitcode")
    assert "no changes" in done.stdout
    assert "warning" not in done.stderr


def test_the_first_plan_creates_every_machine(world: World) -> None:
    done = world.project.run("plan", "--detailed-exitcode", "--json", exit_code=2)
    result = json.loads(done.stdout)
    assert result["has_changes"] is True
    assert world.project.instances() == {}


def test_apply_creates_them_and_a_plan_after_it_is_empty(world: World) -> None:
    world.project.run("apply")
    assert sorted(world.project.instances()) == sorted(MACHINES)
    assert world.is_encrypted() is world.encrypted
    assert_no_changes(world)


def test_a_plan_is_empty_while_the_machines_are_stopped(world: World) -> None:
    before = world.project.instances()
    world.project.run("down", "--force")
    assert set(world.project.states().values()) == {"stopped"}
    assert_no_changes(world)
    assert world.project.instances() == before


def test_a_replacement_is_refused_with_names_and_both_files(world: World) -> None:
    before = world.project.instances()
    world.write(first_host=90)
    said = world.project.fails("plan", "--out", "refused", exit_code=3)
    assert "the plan would replace 3 machines: refused, nothing was changed" in said
    for name in MACHINES:
        assert f"aws_instance.this ({name}) would be replaced: private_ip cannot change" in said
    saved = world.project.directory / "refused"
    assert sorted(path.name for path in saved.iterdir()) == ["plan.json", "plan.md"]
    assert "(worker-1) would be replaced: private_ip" in (saved / "plan.md").read_text()
    changes = json.loads((saved / "plan.json").read_text())["resource_changes"]
    replaced = [one["address"] for one in changes if one["change"]["actions"] == ["delete", "create"]]
    assert len([address for address in replaced if ".aws_instance." in address]) == 3
    assert world.project.instances() == before
    assert "prevent_destroy = true" in (world.stack / "modules/machine/main.tf").read_text()
    assert not list(world.stack.parent.glob("refused*"))


def test_a_saved_plan_is_applied_once(world: World) -> None:
    before = world.project.instances()
    world.write(workers=2)
    world.project.run("plan", "--out", "saved", "--detailed-exitcode", exit_code=2)
    world.project.run("apply", "saved")
    after = world.project.instances()
    assert sorted(after) == [*MACHINES, "worker-2"]
    assert {name: after[name] for name in before} == before
    assert "something was applied since" in world.project.fails("apply", "saved", exit_code=3)
    assert world.is_encrypted() is world.encrypted


def test_a_lock_is_reported_with_the_command_that_users_have(world: World) -> None:
    if world.bucket is None:
        return
    world.bucket.write(f"{world.key}.tflock", json.dumps(LOCK))
    said = world.project.fails("plan", exit_code=4)
    assert f"`{world.program.product} -chdir={world.stack} force-unlock {LOCK['ID']}`" in said
    world.bucket.remove(f"{world.key}.tflock")


def test_destroy_removes_everything(world: World) -> None:
    world.project.run("destroy", "--confirm", world.project.name)
    assert world.project.instances() == {}
    assert world.is_encrypted() is world.encrypted


def test_one_that_cannot_lock_a_state_in_s3_is_refused(
    old: Program, tmp_path: Path, aws: LocalAws, provider_mirror: Path
) -> None:
    world = World(tmp_path, old, aws.url, provider_mirror, backend="s3")
    world.write(options=f'binary = "{old.product}"')
    said = world.project.fails("plan", exit_code=1)
    assert f"{old.version} (" in said
    assert "is too old for a state in S3: use_lockfile, a lock object beside the state, is new in 1.10.0" in said
