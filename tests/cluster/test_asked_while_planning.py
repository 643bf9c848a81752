"""A plan asks AWS while Terraform works, and both end together."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec.structs import replace

from pio_tf import Cluster
from pio_tf.errors import AwsError
from tests.support.no_machines import no_machines
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.cluster.stack import Stack

PLANNING = "trap 'touch {0}/interrupted; exit 1' INT; touch {0}/planning; while :; do sleep 0.05; done"
"""A plan that ends when it is interrupted."""


@dataclass
class SilentFleet:
    """Machines of an AWS that does not answer."""

    directory: Path
    patience: float
    """Seconds to wait for Terraform."""
    terraform_planned: bool = False

    def look(self) -> None:
        """Note if Terraform plans, and raise an error."""
        end = time.monotonic() + self.patience
        while not (found := (self.directory / "planning").exists()) and time.monotonic() < end:
            time.sleep(0.02)
        self.terraform_planned = found
        raise AwsError("AWS does not answer")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    stand_in = TerraformStandIn(tmp_path)
    stand_in.before_plan(PLANNING.format(tmp_path))
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    return Cluster(stand_in.config, environ=environ, open_session=no_machines)._command().stack


def ask(stack: Stack, fleet: SilentFleet) -> None:
    with pytest.raises(AwsError, match="AWS does not answer"):
        replace(stack, fleet=cast("Any", fleet)).plan(None)


def test_a_stack_that_needs_an_init_asks_aws_before_terraform_downloads_its_provider(
    stack: Stack, tmp_path: Path
) -> None:
    fleet = SilentFleet(tmp_path, patience=0)
    ask(stack, fleet)
    assert not fleet.terraform_planned
    assert not (stack.config.stack_dir / ".terraform").exists()


def test_an_initialised_stack_asks_aws_while_terraform_plans_and_interrupts_it_if_aws_fails(
    stack: Stack, tmp_path: Path
) -> None:
    stack.deployment.prepare()
    fleet = SilentFleet(tmp_path, patience=60)
    ask(stack, fleet)
    assert fleet.terraform_planned
    assert (tmp_path / "interrupted").exists()
    assert not stack.deployment.planner.plan_path.exists()
