"""Terraform's words, turned into errors that a user can act on."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from pio_tf.errors import Locked
from pio_tf.infra.terraform_messages import Diagnostic, diagnostics_in_text, failure

LOCK_DETAIL = """\
Error message: resource temporarily unavailable
Lock Info:
  ID:        01234567-89ab-cdef-0123-456789abcdef
  Path:      terraform.tfstate
  Operation: OperationTypeApply
  Who:       alice@build-7
  Version:   1.15.5
  Created:   2026-03-01 10:00:00.123456 +0000 UTC
  Info:      \n

Terraform acquires a state lock to protect the state from being written
by multiple users at the same time."""


def error(text: str) -> Diagnostic:
    return Diagnostic(severity="error", summary=text)


def test_a_held_lock_says_who_since_when_and_how_to_break_it() -> None:
    found = failure(
        "terraform plan",
        [Diagnostic(severity="error", summary="Error acquiring the state lock", detail=LOCK_DETAIL)],
        exit_code=1,
        by_hand="terraform -chdir=/stack",
        now=datetime(2026, 3, 1, 10, 45, tzinfo=timezone.utc),
    )
    assert isinstance(found, Locked)
    assert found.exit_code == 4
    assert "apply by alice@build-7, since 2026-03-01 10:00:00.123456 +0000 UTC (45 min ago)" in found.cause
    assert "terraform -chdir=/stack force-unlock 01234567-89ab-cdef-0123-456789abcdef" in found.next_step
    assert found.details["who"] == "alice@build-7"


def test_a_lock_that_failed_for_another_reason_is_no_held_lock() -> None:
    found = failure(
        "terraform plan",
        [Diagnostic("error", "Error acquiring the state lock", "AccessDenied: s3:PutObject")],
        exit_code=1,
        by_hand="terraform -chdir=/stack",
    )
    assert not isinstance(found, Locked)
    assert "permission" in found.next_step


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("ExpiredToken: The security token included in the request is expired", "sign in again"),
        (
            "error configuring Terraform AWS Provider: no valid credential sources: No valid credential sources found",
            "check the AWS credentials",
        ),
        ("UnauthorizedOperation: You are not authorized to perform this operation.", "permission"),
        ("Error launching source instance: InvalidAMIID.NotFound: The image id '[ami-1]' does not exist", "ami_filter"),
        ("Your query returned no results. Please change your search criteria and try again.", "ami_filter"),
        ("InvalidKeyPair.Duplicate: The keypair already exists", "delete it"),
        ("InvalidKeyPair.NotFound: The key pair 'x' does not exist", "ssh.key_pair"),
        ("InvalidSubnetID.NotFound: The subnet ID 'subnet-1' does not exist", "network.subnet_id"),
        ("no matching EC2 Subnet found", "network.subnet_id"),
        (
            "InsufficientInstanceCapacity: We currently do not have sufficient r3.xlarge capacity",
            "another instance_type",
        ),
        ("VcpuLimitExceeded: You have requested more vCPU capacity", "raise the limit"),
        (
            "VolumeModificationRateExceeded: You've reached the maximum modification rate per volume limit.",
            "put the old root_volume_gib back",
        ),
        ("InvalidIPAddress.InUse: Address 10.0.0.10 is in use.", "network.first_host"),
        ("Failed to query available provider packages", "terraform.cli_config_file"),
        ("Backend configuration changed", "terraform -chdir=/stack init -migrate-state"),
        ("state snapshot was created by Terraform v1.15.5, which is newer than current v1.5.0", "or a newer one"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "aws.endpoint_url"),
    ],
)
def test_well_known_errors_come_with_their_next_step(said: str, advice: str) -> None:
    found = failure("terraform plan", [error(said)], exit_code=1, by_hand="terraform -chdir=/stack")
    assert advice in found.next_step
    assert said in found.cause


def test_the_resource_and_its_place_are_named() -> None:
    found = failure(
        "terraform apply",
        [
            Diagnostic(
                severity="error",
                summary="creating EC2 Instance",
                detail="operation failed",
                address="module.driver.module.machine.aws_instance.this",
                file="modules/machine/main.tf",
                line=15,
            ),
            error("execution halted"),
        ],
        exit_code=1,
        by_hand="terraform -chdir=/stack",
        unfinished=True,
    )
    assert found.what == "terraform apply failed"
    assert found.cause == (
        "module.driver.module.machine.aws_instance.this (modules/machine/main.tf:15): "
        "creating EC2 Instance: operation failed"
    )
    assert "run it again" in found.next_step


def test_a_failure_without_a_word_still_has_its_exit_code() -> None:
    found = failure("terraform plan", [], exit_code=137, by_hand="terraform -chdir=/stack")
    assert found.what == "terraform plan ended with exit code 137"


def test_framed_and_coloured_text_is_read() -> None:
    text = (
        "Initializing...\n\x1b[31m╷\x1b[0m\n│ \x1b[31mError: \x1b[0mFailed to query available provider packages\n│ \n"
        "│   on versions.tf line 5, in terraform:\n│ could not connect to registry\n╵\n"
    )
    (found,) = diagnostics_in_text(text)
    assert (found.severity, found.summary) == ("error", "Failed to query available provider packages")
    assert (found.file, found.line) == ("versions.tf", 5)
    assert "could not connect to registry" in found.detail
