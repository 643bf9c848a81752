"""``.ci/run``, with a Makefile whose targets only wait or end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = Path(__file__).parents[2] / ".ci" / "run"


def begin(directory: Path, *, ci: str = "", **targets: str) -> subprocess.Popen[bytes]:
    """Start a copy of the script, with Debian's ``man-db`` in the directory; each target is a command."""
    beside = ("lint", "types", "machine-image", "test-machines", "test-again")
    recipes = dict.fromkeys((".venv/bin/python", "setup", "collected", "test", *beside), "true")
    recipes |= {name.replace("_", "-"): command for name, command in targets.items()}
    lines = [f"{name}:\n\t@{command}\n" for name, command in recipes.items()]
    (directory / "Makefile").write_text(f".PHONY: {' '.join(recipes)}\n" + "".join(lines))
    (directory / ".ci").mkdir()
    script = directory / ".ci" / "run"
    script.write_text(RUN.read_text().replace("/var/lib/man-db", str(directory / "man-db")))
    script.chmod(0o755)
    (directory / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(directory / "tmp"), "MAKEFLAGS": "", "MAKELEVEL": "", "CI": ci}
    return subprocess.Popen([script], env=environment, stdout=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_ended_leaves_no_job_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    waits = "echo $$$$ >{0}; exec sleep 300"
    names = ("lint", "test", "test_machines")
    process = begin(tmp_path, **{name: waits.format(f"{name}.pid") for name in names})
    files = [tmp_path / f"{name}.pid" for name in names]
    until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == 128 + number
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_run_that_is_ended_while_it_is_set_up_leaves_no_job(tmp_path: Path) -> None:
    waits = "echo $$$$ >{0}.pid; exec sleep 300"
    process = begin(tmp_path, setup=waits.format("setup"), machine_image=waits.format("image"))
    files = [tmp_path / "setup.pid", tmp_path / "image.pid"]
    until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.parametrize(("ci", "indexed"), [("true", False), ("", True)])
def test_manual_pages_are_not_indexed_during_a_run_of_ci_only(tmp_path: Path, ci: str, indexed: bool) -> None:
    wanted = tmp_path / "man-db" / "auto-update"
    wanted.parent.mkdir()
    wanted.touch()
    process = begin(tmp_path, ci=ci, test="echo >begun; exec sleep 300")
    until(lambda: (tmp_path / "begun").exists())
    assert wanted.exists() == indexed
    process.terminate()
    process.communicate(timeout=120)
    assert wanted.exists()


@pytest.mark.skipif(shutil.which("chrt") is None, reason="there is no chrt")
def test_no_job_interrupts_another_one_as_it_wakes_up(tmp_path: Path) -> None:
    process = begin(tmp_path, **dict.fromkeys(("test", "lint", "test_machines"), "chrt --pid $$$$ >>policies"))
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert (tmp_path / "policies").read_text().count("policy: SCHED_BATCH\n") == 3


def test_a_run_whose_setup_fails_tests_nothing(tmp_path: Path) -> None:
    process = begin(tmp_path, setup="false", test="touch tested")
    process.communicate(timeout=120)
    assert process.returncode == 2
    assert not (tmp_path / "tested").exists()


@pytest.mark.parametrize(
    ("target", "name"), [("lint", "lint and types"), ("types", "lint and types"), ("test_machines", "machines")]
)
def test_a_failure_beside_the_tests_fails_the_run_and_is_shown(tmp_path: Path, target: str, name: str) -> None:
    process = begin(tmp_path, **{target: "echo a wrong word; false"})
    out, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert f"--- {name}\na wrong word\n" in out.decode()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_machines_boot_while_lint_the_types_and_the_tests_are_not_done(tmp_path: Path) -> None:
    comes = "until [ -e booted ]; do sleep 0.05; done"
    process = begin(tmp_path, lint=comes, test=comes, test_machines="touch booted")
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_the_image_is_built_during_the_setup_and_machines_boot_after_it(tmp_path: Path) -> None:
    comes = "until [ -e {} ]; do sleep 0.05; done"
    process = begin(
        tmp_path,
        machine_image=f"touch begun; {comes.format('installed')}; sleep 0.5; touch built",
        setup=comes.format("begun"),
        test="touch installed",
        test_machines="[ -e built ]",
    )
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out


@pytest.mark.parametrize(("again", "code"), [("true", 0), ("echo a wrong sum; false", 2)])
def test_a_run_fails_if_tests_that_failed_beside_others_fail_alone_too(tmp_path: Path, again: str, code: int) -> None:
    process = begin(tmp_path, test="false", test_again=again)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code
    assert "--- the tests that failed, once more and alone\n" in out.decode()
    assert ("a wrong sum" in out.decode()) == (code != 0)


def test_the_whole_file_of_a_test_that_failed_runs_again(tmp_path: Path) -> None:
    (tmp_path / "test_order.py").write_text(
        "from pathlib import Path\n"
        "def test_makes(): Path('made').touch()\n"
        "def test_needs(): assert Path('made').exists() and Path('calm').exists()\n"
    )
    (tmp_path / "test_other.py").write_text("def test_passes(): pass\n")
    shutil.copy(RUN.parents[1] / "Makefile", tmp_path)
    again = ["make", f"VENV={sys.prefix}", f"--assume-old={sys.prefix}/.ready", "test-again"]
    environment = {**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "", "PYTEST_ADDOPTS": ""}

    def run(*command: str) -> tuple[int, str]:
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout

    assert run(*again)[0] != 0, "without a list of what has failed, nothing says that it passes"
    assert run(sys.executable, "-m", "pytest")[0] == 1
    (tmp_path / "made").unlink()
    assert run(*again)[0] != 0
    (tmp_path / "made").unlink()
    (tmp_path / "calm").touch()
    code, said = run(*again)
    assert code == 0, said
    assert "2 passed" in said


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
