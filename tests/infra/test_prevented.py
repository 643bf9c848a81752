"""A plan that ``prevent_destroy`` refuses: the guard's verdict is the same with every Terraform and OpenTofu."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.errors import GuardRefused, TerraformError
from pio_tf.infra.deployment import Deployment
from pio_tf.infra.plan_transfer import save_plan
from tests.support.plan_json import change, machine, plan
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = 'module.spark.module.worker["worker-1"].aws_instance.this'
WORKER = machine(id="i-01", tags={"pio-tf:machine": "worker-1", "pio-tf:cluster": "trainer"})
REPLACED = {
    **change("aws_instance", ADDRESS, before=WORKER, after=WORKER, actions=("delete", "create")),
    "action_reason": "replace_because_cannot_update",
}
REPLACED["change"] = {**REPLACED["change"], "replace_paths": [["private_ip"]]}
WHOLE, EMPTY = plan(REPLACED), plan()

TERRAFORM = (
    "Instance cannot be destroyed",
    f"Resource {ADDRESS} has lifecycle.prevent_destroy set, but the plan calls for this resource to be destroyed.",
)
OPENTOFU = (
    "Resource instance cannot be destroyed",
    f"Resource instance {ADDRESS} has prevent_destroy set, but the plan calls for it to be destroyed.\n\nTo proceed, …",
)
"""Summary and beginning of the detail, as Terraform 1.5 to 1.15 and OpenTofu 1.12 print them."""


def refusing(directory: Path, words: tuple[str, str], shown: dict[str, Any] | None) -> Deployment:
    """Make a Terraform that refuses a plan with these words while the modules have ``prevent_destroy``.

    Args:
        shown: its plan file of the refused plan; None: it writes none.
    """
    stand_in = TerraformStandIn(directory)
    diagnostic = {"severity": "error", "summary": words[0], "detail": words[1]}
    event = json.dumps({"@level": "error", "type": "diagnostic", "diagnostic": diagnostic})
    stand_in.prints(show=json.dumps(WHOLE).encode())
    stand_in.refuses(event.encode(), show=None if shown is None else json.dumps(shown).encode())
    return Deployment(stand_in.config, environ={"PATH": "/usr/bin:/bin"})


@pytest.mark.parametrize(
    ("words", "shown"),
    [(TERRAFORM, WHOLE), (TERRAFORM, EMPTY), (TERRAFORM, None), (OPENTOFU, WHOLE)],
    ids=["Terraform 1.7 and newer", "Terraform 1.5 and 1.6", "no plan file", "OpenTofu 1.12"],
)
def test_the_guard_names_what_would_be_replaced(
    tmp_path: Path, words: tuple[str, str], shown: dict[str, Any] | None
) -> None:
    deployment = refusing(tmp_path, words, shown)

    draft = deployment.draft()
    with pytest.raises(GuardRefused) as caught:
        deployment.judge(draft)

    assert caught.value.exit_code == 3
    assert "the plan would replace 1 machine" in caught.value.what
    assert f"{ADDRESS} (worker-1) would be replaced: private_ip" in caught.value.cause
    save_plan(deployment, draft, tmp_path, account="123456789012", who="ann", refused=str(caught.value))
    assert "worker-1" in (tmp_path / "plan.md").read_text()
    assert json.loads((tmp_path / "plan.json").read_text())["resource_changes"][0]["address"] == ADDRESS
    assert not (tmp_path / "plan.tfplan").exists()


def test_the_modules_are_protected_again_and_no_plan_without_protection_remains(tmp_path: Path) -> None:
    deployment = refusing(tmp_path, TERRAFORM, EMPTY)
    draft = deployment.draft()
    assert "prevent_destroy = true" in (deployment.config.stack_dir / "modules/machine/main.tf").read_text()
    assert [path.name for path in draft.path.parent.glob("*.tfplan")] == [draft.path.name]
    assert json.loads(draft.path.read_text()) == EMPTY


def test_a_plan_that_fails_for_another_reason_is_not_made_again(tmp_path: Path) -> None:
    deployment = refusing(tmp_path, ("Invalid provider", "There is none."), WHOLE)
    with pytest.raises(TerraformError, match="terraform plan failed"):
        deployment.draft()


def test_a_plan_file_that_was_replaced_after_its_review_is_judged_again(tmp_path: Path) -> None:
    stand_in = TerraformStandIn(tmp_path)
    stand_in.prints(show=json.dumps(plan(change("aws_instance", after=machine()))).encode())
    deployment = Deployment(stand_in.config, environ={"PATH": "/usr/bin:/bin"})
    made = deployment.plan()
    made.path.write_text(json.dumps(WHOLE))
    with pytest.raises(GuardRefused, match="worker-1"):
        deployment.apply(made)
    assert stand_in.applies == 0
