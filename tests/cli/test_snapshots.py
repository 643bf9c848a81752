"""Every command's output, help and exit code, compared with transcripts in ``snapshots/``.

The output is that on standard output, as JSON and as text.

Programs read the JSON and the exit codes: within version 1 of the schema neither changes. The other two transcripts
change with the prose; ``UPDATE_SNAPSHOTS=1`` writes all of them again, so that you can review the difference.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from pio_tf.cli.app import app
from pio_tf.errors import PioTfError
from tests.cli.samples import sections, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOTS = Path(__file__).parent / "snapshots"
ADOPTED = "trial --power-only --region eu-west-1 --engine-dir ~/ur --key id --dir new --tag Name=spark-*"
RESULTS = (
    "init trial --dir new",
    "adopt trial",
    f"adopt {ADOPTED} --dry-run",
    f"adopt {ADOPTED} --yes",
    "validate",
    "generate",
    "plan",
    "plan --out kept",
    "plan --detailed-exitcode",
    "guard",
    "guard --list",
    "iam",
    "iam --for mirror --account 123456789012",
    "apply",
    "apply kept",
    "drift",
    "output",
    "destroy --confirm trial",
    "destroy --confirm other",
    "up",
    "up --for 2h",
    "extend 2h",
    "resize driver r5.large",
    "resize driver x9.huge",
    "resize driver x9.huge --yes",
    "down",
    "down --force",
    "down --if-idle",
    "down --if-idle --force",
    "list --config pio-tf.hcl",
    "status",
    'schedule set "cron(0 3 ? * SUN *)" --timezone Europe/Berlin',
    "schedule show",
    "schedule show --check",
    "schedule pause",
    "schedule resume",
    "schedule remove",
    "check",
    "check --skip-check engine",
    "provision",
    "train",
    "train --attach",
    "train --attach --build",
    "runs",
    "runs show 2026",
    "cost --month 2026-11",
    "report --output report.html",
    "cost --month November",
    "logs",
    "logs --follow",
    "cancel",
    "notify",
    "notify --test",
    "model list",
    "model show",
    "model rollback",
    "model rollback ur_1795402800000 --yes",
    "model rollback --yes",
    "engine push",
    "engine push my-engine --build",
    "engine push --dry-run",
    "engine save",
    "engine restore s3://bucket/engines/engine-trial-20261123T030000Z.tar.gz --replace",
    "config show",
    "config show core-site.xml",
    "config show nothing",
    "config push",
    "mirror list",
    "mirror fetch mirror",
    "mirror push mirror s3://bucket/prefix",
    "ui --no-browser",
    "host-keys",
    "host-keys accept driver --yes",
    "host-keys accept driver",
    "ci github",
    "ci gitlab --stdout",
    "ci jenkins",
    "ci cron --stdout",
    "ci keys",
    "ci comment kept",
    "ci reviewed kept",
    "sandbox start",
    "sandbox status",
    "sandbox service hang hbase",
    "sandbox fire trial",
    "sandbox stop",
)


def commands() -> Iterator[tuple[str, Any]]:
    """Name and click command of everything that has a help page."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - click's, of one home or another
        yield name, command
        for child, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {child}")

    yield from walk(typer.main.get_command(app), "pio-tf")


def snapshot(file: str) -> dict[str, str]:
    return dict(sections((SNAPSHOTS / file).read_text(encoding="utf-8")))


def compare(file: str, line: str, shown: str) -> None:
    path = SNAPSHOTS / file
    if os.environ.get("UPDATE_SNAPSHOTS"):
        known = snapshot(file) if path.exists() else {}
        path.write_text("".join(f"$ {a}\n{b}" for a, b in {**known, line: shown}.items()), encoding="utf-8")
    assert snapshot(file)[line] == shown


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a directory with a cluster that answers every command."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "PIO_TF_CONFIG", "TERMINAL_WIDTH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    stand_in(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def transcript(line: str, place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the standard output of a command line, and its exit code."""
    try:
        code = app(shlex.split(line)[1:], prog_name="pio-tf", standalone_mode=False) or 0
    except PioTfError as error:
        code = error.exit_code
    shown = capsys.readouterr().out.replace(str(place), "<directory>")
    return f"{shown}[exit code {code}]\n\n"


@pytest.mark.parametrize("words", RESULTS)
def test_json_and_exit_code_stay_as_they_are(words: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"pio-tf {words} --json"
    compare("json.txt", line, transcript(line, place, capsys))


@pytest.mark.parametrize("words", RESULTS)
def test_what_a_person_reads_is_as_the_snapshot(words: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"pio-tf {words}"
    shown = transcript(line, place, capsys)
    shown = re.sub(r"\d+ d\b( \d+ (h|min|s)\b)?", "… d", shown)  # how long ago, or until when
    compare("text.txt", line, "".join(f"{re.sub(' {2,}', '  ', one.rstrip())}\n" for one in shown.splitlines()))


@pytest.mark.parametrize("name", [name for name, _command in commands()])
def test_help_is_as_the_snapshot(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"{name} --help"
    compare("help.txt", line, transcript(line, place, capsys))


def test_no_command_is_without_a_snapshot_of_its_json() -> None:
    names = [name for name, command in commands() if not getattr(command, "commands", {})]
    lines = snapshot("json.txt")
    missing = [one for one in names if not any(line.startswith(f"{one} ") for line in lines)]
    assert missing == ["pio-tf ssh", "pio-tf demo"]
