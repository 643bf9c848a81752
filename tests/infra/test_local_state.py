"""A state in the stack's directory that is no state: every command names the file and the next step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import TerraformError
from pio_tf.infra.backend.state import StateBackups
from pio_tf.infra.terraform_messages import Diagnostic, failure
from tests.support.config_samples import load_text, text_with
from tests.support.deployments import deployment
from tests.support.outputs_sample import MACHINES, OUTPUTS
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config

_UNREADABLE = "its serial or its resources are unreadable: "
STATE = {"version": 4, "terraform_version": "1.5.0", "lineage": "a0b1", "serial": 3, "outputs": {}, "resources": [{}]}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = load_text(tmp_path, text_with())
    config.stack_dir.mkdir(parents=True)
    return config


def refusal(config: Config) -> TerraformError:
    with pytest.raises(TerraformError) as caught:
        deployment(config).outputs()
    return caught.value


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"{half of a sta", "it is not JSON: "),
        (b"<html>", "it is not JSON: "),
        (b"\xff\xfe\x00", "it is not JSON: "),
        (b"[]", "it is not a JSON object"),
        (b"{}", "it has no lineage"),
        (b'{"version": 4, "lineage": "a"}', "it has no serial"),
        (b'{"version": 4, "lineage": "a", "serial": "x"}', _UNREADABLE),
        (
            b'{"version": 4, "lineage": "a", "serial": 1, "resources": 7}',
            "its serial or its resources are unreadable: ",
        ),
    ],
)
def test_a_file_that_is_no_state_is_named_with_the_cause(config: Config, text: bytes, cause: str) -> None:
    path = config.stack_dir / "terraform.tfstate"
    path.write_bytes(text)
    error = refusal(config)
    assert error.what == f"{path} is not a Terraform state"
    assert error.cause.startswith(cause)
    assert error.next_step.startswith("restore a good one")


def test_a_state_of_a_newer_format_names_the_version(config: Config) -> None:
    (config.stack_dir / "terraform.tfstate").write_text(json.dumps(STATE | {"version": 5}))
    error = refusal(config)
    assert error.cause == "its format, version 5, is newer than this pio-tf"
    assert error.next_step.startswith("use the Terraform that wrote it")


def test_a_directory_in_place_of_the_state_is_named(config: Config) -> None:
    path = config.stack_dir / "terraform.tfstate"
    path.mkdir()
    error = refusal(config)
    assert (error.what, error.cause) == (f"{path} is not a Terraform state", "it is a directory")


def test_a_state_that_cannot_be_opened_is_named(config: Config) -> None:
    path = config.stack_dir / "terraform.tfstate"
    path.symlink_to(path.name)
    error = refusal(config)
    assert (error.what, error.cause) == (f"cannot read the state {path}", "Too many levels of symbolic links")


@pytest.mark.parametrize("damage", ["empty", "directory", "cut"])
def test_a_lost_state_is_restored_from_the_newest_backup(config: Config, damage: str) -> None:
    path = config.stack_dir / "terraform.tfstate"
    path.write_text(json.dumps(STATE))
    backup = StateBackups(config, by_hand="terraform").save()
    if damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_text("" if damage == "empty" else json.dumps(STATE)[:50])
    remove = f"rm -r {path} && " if damage == "directory" else ""
    assert refusal(config).next_step == f"restore the newest backup: {remove}cp {backup} {path}; then `pio-tf plan`"


@pytest.mark.parametrize(
    ("state", "asks"),
    [
        ({"outputs": OUTPUTS}, False),
        ({"outputs": OUTPUTS, "version": 3}, True),
        ({"encrypted_data": "RL…"}, True),
    ],
    ids=["plain", "old", "encrypted"],
)
def test_terraform_is_asked_only_for_outputs_that_the_file_does_not_show(
    tmp_path: Path, state: dict[str, object], asks: bool
) -> None:
    stand_in = TerraformStandIn(tmp_path)
    stand_in.prints(output=json.dumps(OUTPUTS).encode() if asks else b"it was asked")
    (stand_in.config.stack_dir / "terraform.tfstate").write_text(json.dumps(STATE | state))
    outputs = deployment(stand_in.config).outputs()
    assert outputs is not None
    assert [machine.name for machine in outputs.machines] == list(MACHINES)


def test_outputs_of_another_kind_in_the_state_are_no_traceback(config: Config) -> None:
    path = config.stack_dir / "terraform.tfstate"
    path.write_text(json.dumps(STATE | {"outputs": [1]}))
    assert refusal(config).what == "the stack's outputs are not those of a pio-tf stack"


def test_an_empty_file_before_the_first_apply_is_no_loss(config: Config) -> None:
    (config.stack_dir / "terraform.tfstate").write_text("")
    StateBackups(config, by_hand="terraform").check_state()


@pytest.mark.parametrize(
    ("summary", "detail", "advice"),
    [
        (
            "Unsupported state file format",
            "The state file could not be parsed as JSON: syntax error at byte offset 1.",
            "the state is damaged: restore an older version of it, or a backup",
        ),
        (
            "Unsupported state file format",
            "The state file may have been created by a newer version of\nTerraform.",
            "use the Terraform that wrote the state, or a newer one",
        ),
    ],
)
def test_terraform_s_own_error_for_a_state_elsewhere_comes_with_the_next_step(
    summary: str, detail: str, advice: str
) -> None:
    diagnostic = Diagnostic("error", summary, detail)
    assert failure("terraform output", [diagnostic], exit_code=1, by_hand="terraform -chdir=/stack").next_step == advice
