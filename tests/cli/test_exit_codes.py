"""The exit codes that docs/commands.md names are those with which `pio-tf` ends."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf import errors
from pio_tf.cli.app import app
from tests.support.fork_server import run
from tests.support.shell import Project

if TYPE_CHECKING:
    from pio_tf.sandbox.aws import LocalAws

ROOT = Path(__file__).parents[2]
RAISED = """
import os
from pio_tf import errors
from pio_tf.cli import app, main
from pio_tf.cli.command import CommandCall, command

@command()
def end(call: CommandCall, name: str):
    if name.startswith("SIG"):
        import signal
        os.kill(os.getpid(), signal.Signals[name])
    elif name:
        raise getattr(errors, name)("so it ended")

app.SECTIONS["Tests"] = (end,)
main.main()
"""


@pytest.fixture(scope="module")
def table() -> dict[str, int]:
    """Name -> code, as `make docs` writes them."""
    spec = importlib.util.spec_from_file_location("reference_script", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page: str = module.render_commands(app)
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", page.partition("## Exit codes")[2], flags=re.MULTILINE)
    return {name: int(code) for code, names in rows for name in names.strip().split("; ")}


@pytest.mark.parametrize(
    ("ended_by", "name"),
    [
        ("", "success"),
        ("PioTfError", "error"),
        ("AwsError", "error"),
        ("TerraformError", "error"),
        ("RemoteError", "error"),
        ("SandboxError", "error"),
        ("ConfigError", "usage"),
        ("GuardRefused", "guard refused"),
        ("Locked", "locked"),
        ("NotReady", "not ready"),
        ("NotReady", "preflight failed"),
        ("TrainingFailed", "training failed"),
        ("MachinesMayBeRunning", "machines may be running"),
        ("Interrupted", "interrupted"),
        ("SIGINT", "interrupted"),
        ("SIGTERM", "terminated"),
        ("SIGHUP", "hung up"),
    ],
)
def test_a_command_ends_with_the_code_of_the_table(
    table: dict[str, int], tmp_path: Path, ended_by: str, name: str
) -> None:
    command = [sys.executable, "-c", RAISED, "end", ended_by]
    done = run(command, cwd=tmp_path, env=os.environ, timeout=60)
    assert done.returncode == table[name], done.stderr


def test_every_kind_of_error_is_tried_above() -> None:
    tried = test_a_command_ends_with_the_code_of_the_table.pytestmark[0].args[1]  # type: ignore[attr-defined]
    kinds = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
    assert kinds == {one for one, _name in tried if one and not one.startswith("SIG")}


def test_a_command_line_that_is_wrong_and_one_that_is_right(table: dict[str, int], tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("--version", exit_code=table["success"])
    project.run("plan", "--fast", exit_code=table["usage"])
    project.run("plan", exit_code=table["usage"])


def test_changes_are_told_from_wrong_usage(table: dict[str, int], tmp_path: Path, aws: LocalAws, mirror: Path) -> None:
    project = Project(tmp_path, url=aws.url, mirror=mirror)
    project.write(network='cidr = "127.77.93.0/24"')
    project.run("plan", exit_code=table["success"])
    project.run("plan", "--detailed-exitcode", exit_code=table["changes present"])
    project.run("plan", "--detailed-exitcode", "--fast", exit_code=table["error"])
    project.run("plan", "--detailed-exitcode", "-c", "elsewhere.hcl", exit_code=table["error"])


def test_what_is_not_there_yet_is_not_ready(table: dict[str, int], tmp_path: Path, aws: LocalAws) -> None:
    project = Project(tmp_path, url=aws.url)
    project.write()
    project.run("output", exit_code=table["not ready"])


def test_ctrl_c_is_128_and_the_number_of_its_signal(table: dict[str, int]) -> None:
    assert table["interrupted"] == 128 + signal.SIGINT
    assert table["terminated"] == 128 + signal.SIGTERM
    assert table["hung up"] == 128 + signal.SIGHUP


def test_one_place_opens_the_output_of_commands_and_closes_it() -> None:
    """An output that is not opened with ``with`` would leave its group open where the command fails."""
    opened = {}
    for module in (ROOT / "pio_tf" / "cli").rglob("*.py"):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        items = [node.context_expr for with_ in ast.walk(tree) if isinstance(with_, ast.With) for node in with_.items]
        if "Output" in calls:
            opened[module.name] = [ast.unparse(item) for item in items]
    assert opened.keys() == {"command.py", "main.py"}  # main.py writes errors, and opens no group
    assert any(item.startswith("_output(") for item in opened["command.py"])
