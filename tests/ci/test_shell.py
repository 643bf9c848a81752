"""Every shell script of the repository, and every one in a pipeline, through shellcheck."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from pio_tf.ci.pipeline import render_pipeline
from pio_tf.config.components import Component
from pio_tf.config.load import load_config
from pio_tf.config.template import render_template
from pio_tf.infra.bootstrap import Settings, render_script
from tests.support.debian import need_packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pio_tf.ci.pipeline import System
    from pio_tf.model import Role

pytestmark = pytest.mark.debian
ROOT = Path(__file__).parents[2]
ON_PURPOSE: Mapping[str, tuple[str, ...]] = {
    "pio_tf/training/runs/driver.sh": ("SC2238",),  # `command` is the name of a file there
    "pio_tf/training/runs/after_run.sh": ("SC2154",),  # driver.sh calls it, and sets the status
    # driver.sh and settings stand above it; one of them is TOKEN; and sed works on lines
    "pio_tf/training/scheduled.sh": ("SC2154", "SC2153", "SC2001"),
    "terraform/modules/bootstrap/common.sh": ("SC2034",),  # the other parts use them
    "terraform/modules/bootstrap/bootstrap.sh": ("SC2153",),  # settings stand above it; one of them is NO_PROXY
    "pio_tf/sandbox/programs/sudo.sh": ("SC1091", "SC2034"),  # it reads the modules' own parts, which use its variables
    "pio_tf/sandbox/programs/spark-class.sh": ("SC1091",),  # it reads the settings of the SPARK_HOME around it
    "pio_tf/sandbox/programs/spark-daemon.sh": ("SC1091",),  # likewise
    "pio_tf/sandbox/pio/bin/pio": ("SC1091", "SC2068"),  # as PredictionIO's own: it splits its arguments once more
}
"""Findings of shellcheck that a file has on purpose."""


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    need_packages("shellcheck", program="shellcheck")


def problems(text: str, *, dialect: str = "bash", on_purpose: tuple[str, ...] = ()) -> str:
    """Return shellcheck's findings in a script."""
    done = subprocess.run(
        [shutil.which("shellcheck") or "", f"--shell={dialect}", *(f"--exclude={code}" for code in on_purpose), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


NOT_OURS = (".venv/", ".git/", "pio_tf/ci/templates/", "build/", "dist/", "tests/upgrade/")
"""Templates have placeholders, and artefacts of an older version stay as they are."""


def shell_files() -> Iterator[str]:
    """Yield the repository's shell files: by their names, or by their first lines."""
    ours = (top for top in ROOT.iterdir() if not f"{top.name}/".startswith(NOT_OURS))
    for path in sorted(path for top in ours for path in (top, *top.rglob("*"))):
        name = str(path.relative_to(ROOT))
        if name.startswith(NOT_OURS) or not path.is_file():
            continue
        with path.open("rb") as file:
            first = file.readline(200)
        if path.suffix == ".sh" or re.match(rb"#!\S*(/env )?\S*\bbash\b|#!/bin/sh\b", first):
            yield name


FILES = list(shell_files())


def test_the_scripts_of_the_repository_are_found() -> None:
    assert {"pio_tf/training/runs/driver.sh", "terraform/modules/bootstrap/bootstrap.sh", ".ci/run"} <= {*FILES}
    assert ON_PURPOSE.keys() <= {*FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_script_of_the_repository_has_no_mistake(name: str) -> None:
    assert problems((ROOT / name).read_text(), on_purpose=ON_PURPOSE.get(name, ())) == ""


@pytest.mark.parametrize("role", ["driver", "master", "worker"])
def test_the_script_of_a_machine_has_no_mistake_as_a_whole(role: Role) -> None:
    spark = Component("spark", "2.4.8", "/usr/local/spark", "spark.tgz", "0" * 128, ("https://example.org/spark.tgz",))
    settings = Settings(role, "ubuntu", "aml", "eu-west-1", (spark,), {"driver": "10.0.0.10"}, "10.0.0.11")
    assert problems(render_script(settings)) == ""


def pipeline(system: System, tmp_path: Path) -> Mapping[str, str]:
    (tmp_path / "pio-tf.hcl").write_text(render_template(cluster="ur", region="eu-west-1"))
    return render_pipeline(system, load_config(tmp_path / "pio-tf.hcl"), root=tmp_path).files


def test_the_steps_for_github_have_no_mistake(tmp_path: Path) -> None:
    scripts = []
    for text in pipeline("github", tmp_path).values():
        read = yaml.safe_load(text)
        for job in read["jobs"].values() if "jobs" in read else [read["runs"]]:
            scripts += [step["run"] for step in job["steps"] if "run" in step]
    assert len(scripts) == 8
    assert [problems(script) for script in scripts] == [""] * 8
    assert not [script for script in scripts if "${{" in script], "an expression in a script is a way in"


def test_the_jobs_for_gitlab_have_no_mistake(tmp_path: Path) -> None:
    (text,) = pipeline("gitlab", tmp_path).values()
    jobs = [job for job in yaml.safe_load(text).values() if isinstance(job, dict)]
    scripts = ["\n".join(job[part]) for job in jobs for part in ("before_script", "script") if part in job]
    assert len(scripts) == 7
    assert [problems(script, dialect="sh") for script in scripts] == [""] * 7


def test_the_steps_for_jenkins_have_no_mistake(tmp_path: Path) -> None:
    texts = pipeline("jenkins", tmp_path).values()
    scripts = [script for text in texts for script in re.findall(r"sh '''(.*?)'''", text, flags=re.DOTALL)]
    assert len(scripts) == 5
    assert all(script.startswith("#!/usr/bin/env bash\n") for script in scripts)
    assert [problems(script) for script in scripts] == [""] * 5


def test_the_script_for_cron_has_no_mistake(tmp_path: Path) -> None:
    assert problems(pipeline("cron", tmp_path)["pio-tf-job"]) == ""


def test_a_mistake_would_be_seen() -> None:
    assert "SC2086" in problems("#!/bin/bash\nrm -r $1\n")
