"""The edge of the program: exit codes, and no traceback."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pio_tf
from tests.support import fork_server
from tests.support.fork_server import PIO_TF


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PIO_TF", "TF_"))}
    return fork_server.run([PIO_TF, *arguments], cwd=cwd, env=clean | environment, timeout=60)


def test_version_is_the_package_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout == f"pio-tf {pio_tf.__version__}\n"


def test_help_imports_neither_boto3_nor_rich_nor_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pio_tf.cli.app import app\n"
        "try:\n    app(['--help'], prog_name='pio-tf')\nexcept SystemExit:\n    pass\n"
        "heavy = {'boto3', 'botocore', 'rich', 'pydantic', 'asyncssh', 'hcl2', 'moto', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", ["up", "down", "status", "train", "plan", "apply", "generate", "output", "config show", "config push"]
)
def test_without_a_configuration_every_command_says_how_to_make_one(tmp_path: Path, command: str) -> None:
    done = run(*command.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert "pio-tf.hcl" in done.stderr
    assert "pio-tf init" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_with_json_an_error_is_json_on_standard_output(tmp_path: Path) -> None:
    done = run("status", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 2
    assert "pio-tf init" in done.stderr


def test_an_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    done = run("fly", cwd=tmp_path)
    assert done.returncode == 2
    assert "fly" in done.stderr


def test_a_surprise_becomes_one_message_and_a_report_in_a_file(tmp_path: Path) -> None:
    code = (
        "from pio_tf.cli import app, main\n"
        "from pio_tf.cli.command import CommandCall, command\n"
        "@command()\n"
        "def surprise(call: CommandCall):\n    raise RuntimeError('never thought of')\n"
        "app.SECTIONS['Tests'] = (surprise,)\n"
        "main.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "surprise"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "RuntimeError: never thought of" in done.stderr
    assert "Traceback" not in done.stderr
    report = re.search(r"\S+pio-tf-crash-\S+\.txt", done.stderr)
    assert report
    assert "Traceback" in Path(report[0]).read_text()


@pytest.mark.parametrize("command", ["status", "plan", "drift"])
def test_debug_shows_the_traceback_of_an_error_and_nothing_else_does(tmp_path: Path, command: str) -> None:
    assert "Traceback" not in run(command, "-v", cwd=tmp_path).stderr
    done = run(command, "--debug", cwd=tmp_path)
    assert "Traceback (most recent call last):" in done.stderr
    assert "pio_tf.errors.ConfigError: " in done.stderr
    assert "\nerror: " in done.stderr


@pytest.mark.parametrize(("streams", "encoding"), [("2>&-", "utf-8"), ("", "ascii"), (">&-", "latin-1")])
def test_an_argument_that_is_no_text_is_a_usage_error(tmp_path: Path, streams: str, encoding: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" status "$1" {streams}', PIO_TF, b"\xff\xfe"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": encoding, "CI": "true", "TMPDIR": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2, done
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", ["9" * 5000, "²", "-1", "x"])
def test_a_width_that_is_no_number_is_ignored(tmp_path: Path, columns: str) -> None:
    done = run("status", cwd=tmp_path, COLUMNS=columns, LINES=columns)
    assert (done.returncode, "there is no file" in done.stderr) == (2, True)


def test_debug_of_spark_is_not_ours(tmp_path: Path) -> None:
    assert "Traceback" not in run("train", "--", "--debug", cwd=tmp_path).stderr


def test_quiet_and_verbose_contradict_each_other(tmp_path: Path) -> None:
    done = run("status", "-q", "-v", cwd=tmp_path)
    assert done.returncode == 2
    assert "--verbose and --quiet contradict each other" in done.stderr


def test_quiet_says_nothing_of_the_work(tmp_path: Path) -> None:
    done = run("init", "trainer", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "pio-tf.hcl").exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda item: str(item)
)
@pytest.mark.parametrize("shell", ["{}", "trap '' INT; {}"], ids=["in the foreground", "in the background of a script"])
def test_a_signal_ends_a_command_like_ctrl_c_with_its_own_exit_code(
    tmp_path: Path, number: signal.Signals, code: int, shell: str
) -> None:
    program = (
        "import os, time\n"
        "from pio_tf.cli import app, main\n"
        "from pio_tf.cli.command import CommandCall, command\n"
        "@command()\n"
        "def wait(call: CommandCall):\n"
        f"    try:\n        os.kill(os.getpid(), {int(number)})\n        time.sleep(5)\n"
        "    finally:\n        print('stopped the machines')\n"
        "app.SECTIONS['Tests'] = (wait,)\n"
        "main.main()\n"
    )
    command = shell.format(shlex.join([sys.executable, "-c", program, "wait"]))
    done = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout == "stopped the machines\n"
    assert "Traceback" not in done.stderr


def test_init_writes_a_configuration_once_and_never_over_another(tmp_path: Path) -> None:
    first = run("init", "trainer", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    text = (tmp_path / "pio-tf.hcl").read_text()
    assert 'name = "trainer"' in text
    second = run("init", "other", cwd=tmp_path)
    assert second.returncode == 2
    assert "pio-tf.hcl" in second.stderr
    assert (tmp_path / "pio-tf.hcl").read_text() == text
