"""The shell of the pipelines for GitLab, Jenkins and cron, executed on a sandbox as their runners do.

The tests share one cluster, in the order of the file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.ci.forge_server import REPOSITORY, TOKEN
from tests.support import fork_server
from tests.support.fork_server import PIO_TF

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.ci.conftest import Site
    from tests.ci.forge_server import ForgeServer


CIDR = "127.77.71.128/25"


class Runner:
    """A machine that runs jobs, each in a new checkout."""

    def __init__(self, site: Site, forge: ForgeServer, transcript: list[str]) -> None:
        self.site, self.forge, self.transcript = site, forge, transcript
        self.count = 0

    def checkout(self) -> Path:
        self.count += 1
        directory = self.site.scratch / "jobs" / str(self.count)
        for name, text in self.site.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if text.startswith("#!"):
                path.chmod(0o755)
        return directory

    def shell(
        self, script: str, directory: Path, environment: Mapping[str, str], *, title: str, exit_code: int = 0
    ) -> str:
        """Run a script, with the keys of a role; fail, showing what it said, unless it ends with ``exit_code``."""
        home = self.site.scratch / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=directory,
            env={
                "PATH": self.site.path,
                "HOME": str(home),
                "AWS_ACCESS_KEY_ID": self.site.access_key.id,
                "AWS_SECRET_ACCESS_KEY": self.site.access_key.secret,
                "AWS_EC2_METADATA_DISABLED": "true",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        self.transcript.append(f"=== {title}: exit code {done.returncode}\n{done.stdout}")
        assert done.returncode == exit_code, done.stdout
        return done.stdout

    def gitlab(self, job: str, source: str, *, plan: Path | None = None, **variables: str) -> tuple[str, Path]:
        """Run a job of GitLab; return its output and its directory."""
        spec = _resolved(yaml.safe_load(self.site.files[".gitlab-ci.yml"]), job)
        directory = self.checkout()
        if plan:
            shutil.copytree(plan, directory / "plan")
        environment = {
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_PIPELINE_SOURCE": source,
            "CI_API_V4_URL": self.forge.url,
            "CI_PROJECT_ID": "7",
            "CI_COMMIT_SHA": "0f" * 20,
            "CI_JOB_URL": "https://gitlab.test/job/1",
            "PIO_TF_SSH_PUBLIC_KEY": self.site.public_key,
            **self._scoped(spec.get("environment")),
            "PIO_TF_AWS_TOKEN": "a.web.token",
            **variables,
            # Keys stand above a web identity, which the sandbox has no provider for.
            **{name: str(value).replace("$PIO_TF_", "role-") for name, value in spec["variables"].items()},
        }
        script = "\n".join(["set -eo pipefail", *spec["before_script"], *spec["script"]])
        return self.shell(script, directory, environment, title=f"GitLab, {job}"), directory

    def _scoped(self, environment: object) -> dict[str, str]:
        """Return the variables of a job's environment: those with the scope production*, or pio-tf-comment."""
        name = str(environment.get("name") if isinstance(environment, dict) else environment)
        if name.startswith("production"):
            return {"PIO_TF_SSH_KEY": self.site.key}
        return {"PIO_TF_GITLAB_TOKEN": TOKEN} if name == "pio-tf-comment" else {}

    def jenkins(self, name: str, stage: str, *, plan: Path | None = None, **variables: str) -> tuple[str, Path]:
        """Run a stage of a Jenkinsfile, with its post steps."""
        text = self.site.files[name]
        part = re.split(r"(?m)^    stage\(", text)
        (block,) = [block for block in part if block.startswith(f"'{stage}'")]
        directory = self.checkout()
        if "unstash 'plan'" in block:
            assert plan is not None
            shutil.copytree(plan, directory / "plan")
        environment = {
            "CI": "true",
            "PIO_TF_CONFIG": "pio-tf.hcl",
            "PIO_TF_SSH_PUBLIC_KEY": self.site.public_key,
            "WORKSPACE_TMP": f"{directory}@tmp",
            **({"PIO_TF_SSH_KEY": self.site.key} if "pio-tf-ssh-key" in part[0] + block else {}),
            **variables,
        }
        said, steps = "", r"( *withCredentials.*?\n)? +sh '''#!/usr/bin/env bash\n(.*?)'''"
        for number, (credentials, script) in enumerate(re.findall(steps, block, flags=re.DOTALL)):
            own = {"GITHUB_TOKEN": TOKEN} if credentials else {}
            said += self.shell(script, directory, {**environment, **own}, title=f"Jenkins, {name}, {stage} {number}")
        return said, directory

    def states(self) -> set[str]:
        """Return the states of the machines, as a client of EC2 sees them."""
        done = fork_server.run([PIO_TF, "status"], cwd=self.site.client, env=os.environ, timeout=300)
        assert done.returncode == 0, done.stderr
        return set(re.findall(r"\b(running|stopped|pending|stopping)\b", done.stdout))


def _resolved(pipeline: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a job with the contents of the jobs that it extends."""
    spec = dict(pipeline[name])
    parent = spec.pop("extends", None)
    if parent is None:
        return spec
    base = _resolved(pipeline, parent)
    return {**base, **spec, "variables": {**base.get("variables", {}), **spec.get("variables", {})}}


@pytest.fixture(scope="module")
def runner(site: Site, forge: ForgeServer, transcript: list[str]) -> Runner:
    return Runner(site, forge, transcript)


def test_gitlab_shows_the_plan_on_the_merge_request(runner: Runner, forge: ForgeServer) -> None:
    _said, directory = runner.gitlab("pio-tf-plan", "merge_request_event", CI_MERGE_REQUEST_IID="4")
    runner.gitlab("pio-tf-comment", "merge_request_event", plan=directory / "plan", CI_MERGE_REQUEST_IID="4")
    (note,) = forge.comments[4]
    assert "14 to create" in note["body"]
    assert "[by this job](https://gitlab.test/job/1)" in note["body"]


def test_gitlab_applies_the_plan_that_somebody_has_looked_at(runner: Runner) -> None:
    _said, directory = runner.gitlab("pio-tf-plan-merged", "push")
    said, _ = runner.gitlab("pio-tf-apply", "push", plan=directory / "plan")
    assert "Applying: 14 to create" in said
    assert runner.states() == {"running"}


def test_gitlab_reaps_nothing_that_was_just_started(runner: Runner) -> None:
    said, _ = runner.gitlab("pio-tf-reap", "schedule", PIO_TF_JOB="reap")
    assert "nothing was stopped: started " in said
    assert runner.states() == {"running"}


def test_jenkins_shows_the_plan_on_the_pull_request(runner: Runner, forge: ForgeServer) -> None:
    address = f"{forge.url}/{REPOSITORY}/pull/8"
    runner.jenkins("Jenkinsfile", "Plan", CHANGE_URL=address, BUILD_URL="https://jenkins.test/8", GIT_COMMIT="abc")
    (comment,) = forge.comments[8]
    assert "no changes" in comment["body"]
    assert "Of commit abc [by this job](https://jenkins.test/8)" in comment["body"]


def test_jenkins_applies_the_plan_of_its_build(runner: Runner, site: Site) -> None:
    changed = site.changed(r"(?m)^cluster \{$", 'cluster {\n  tags = { team = "search" }')
    site.files.update(changed)
    _said, directory = runner.jenkins("Jenkinsfile", "Plan")
    said, _ = runner.jenkins("Jenkinsfile", "Apply", plan=directory / "plan")
    assert "Applying: 11 to update" in said


def test_jenkins_reaps_nothing_that_was_just_started(runner: Runner) -> None:
    assert "nothing was stopped: started " in runner.jenkins("Jenkinsfile.reap", "Reap")[0]


def test_jenkins_trains_and_stops_the_machines(runner: Runner, site: Site) -> None:
    site.lay_out_pio()
    said, _ = runner.jenkins("Jenkinsfile.train", "Train")
    assert "Training completed successfully." in said
    assert runner.states() == {"stopped"}


def test_cron_trains_in_silence(runner: Runner, site: Site) -> None:
    directory = runner.checkout()
    environment = {"PIO_TF_SSH_KEY": site.key}
    runner.shell("pio-tf ci keys", directory, environment, title="cron, once: the key")
    assert runner.shell("./pio-tf-job train", directory, {}, title="cron, train") == ""
    log = next(directory.rglob("train.log")).read_text()
    assert "Training completed successfully." in log
    assert runner.states() == {"stopped"}
    assert runner.shell("./pio-tf-job reap", directory, {}, title="cron, reap") == ""
    assert "3 machines are stopped" in next(directory.rglob("reap.log")).read_text()
