"""The workflows for GitHub, executed step by step on a sandbox: pull request, merge, weekly training, reaper.

The tests share one cluster and one repository, and go through the life of both in the order of the file.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.ci.github_runner import Github
from tests.support import fork_server
from tests.support.fork_server import PIO_TF
from tests.support.sandbox_project import sandbox_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ci.conftest import Site
    from tests.ci.forge_server import ForgeServer
    from tests.ci.github_runner import Run


CIDR = "127.77.71.0/25"
ROLES = {f"PIO_TF_{name}_ROLE": f"arn:aws:iam::123456789012:role/{name.lower()}" for name in ("PLAN", "APPLY", "TRAIN")}


@pytest.fixture(scope="module")
def github(site: Site, forge: ForgeServer, transcript: list[str]) -> Iterator[Github]:
    public = (site.client / ".pio-tf" / "sandbox_key.pub").read_text()
    variables = {**ROLES, "PIO_TF_SSH_PUBLIC_KEY": public}
    host = Github(site.scratch / "github", forge, site.path, variables, {"PIO_TF_SSH_KEY": site.key}, site.access_key)
    yield host
    transcript += [run.transcript() for run in host.runs]


def states(site: Site) -> dict[str, str]:
    """Return the states of the cluster's machines, as EC2 names them."""
    found = sandbox_client(site.sandbox, "ec2").describe_instances()["Reservations"]
    instances = [one for reservation in found for one in reservation["Instances"]]
    names = {str(one["InstanceId"]): {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in instances}
    return {names[str(one["InstanceId"])]["pio-tf:machine"]: str(one["State"]["Name"]) for one in instances}


def by_hand(site: Site, *arguments: str, exit_code: int = 0) -> str:
    """Run ``pio-tf`` as a user at a terminal does."""
    environment = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true"}
    done = fork_server.run([PIO_TF, *arguments], cwd=site.client, env=environment, timeout=300)
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done.stdout + done.stderr


def results(run: Run) -> dict[str, str]:
    return {name: job.result for name, job in run.jobs.items()}


def test_a_pull_request_gets_its_plan_as_a_comment_and_as_an_artefact(
    site: Site, github: Github, forge: ForgeServer
) -> None:
    github.main = github.commit({"README.md": "An engine."})
    head, (run,) = github.pull_request(1, site.files)
    assert results(run) == {"plan": "success", "comment": "success"}, run.transcript()
    assert run.jobs["plan"].role.endswith("role/plan")
    (comment,) = forge.comments[1]
    assert comment["body"].startswith("<!-- pio-tf plan nightly -->\n")
    assert "14 to create" in comment["body"]
    assert f"Of commit {head} [by this job](https://github.test/org/recommender/actions/runs/1000)" in comment["body"]
    assert "14 to create" in run.jobs["plan"].summary
    assert [one["name"] for one in forge.artifacts] == [f"pio-tf-plan-nightly-{head}"]
    assert states(site) == {}


def test_a_second_push_changes_the_comment(site: Site, github: Github, forge: ForgeServer) -> None:
    files = site.changed(r"(?m)^cluster \{$", 'cluster {\n  tags = { team = "search" }')
    head, (run,) = github.pull_request(1, files)
    assert results(run) == {"plan": "success", "comment": "success"}, run.transcript()
    (comment,) = forge.comments[1]
    assert head in comment["body"]
    assert "comment changed" in run.jobs["comment"].output


def test_a_merge_applies_the_plan_that_was_reviewed(site: Site, github: Github, forge: ForgeServer) -> None:
    head = forge.artifacts[-1]["workflow_run"]["head_sha"]
    (run,) = github.merge(1, head)
    assert results(run) == {"plan": "success", "apply": "success"}, run.transcript()
    assert run.jobs["plan"].outputs == {"reviewed": "true", "has-changes": "true"}
    assert "the plan of pull request 1 still holds" in run.jobs["plan"].output
    assert "as it was reviewed" in run.jobs["plan"].summary
    assert run.jobs["apply"].environment == "production"
    assert [run.jobs[name].role.rpartition("/")[2] for name in ("plan", "apply")] == ["plan", "apply"]
    assert sorted(states(site)) == ["driver", "master", "worker-1"]


def test_the_reaper_leaves_a_cluster_alone_that_was_just_started(site: Site, github: Github) -> None:
    run = github.schedule("pio-tf-reap.yml")
    assert results(run) == {"reap": "success"}, run.transcript()
    assert "nothing was stopped: started " in run.jobs["reap"].output
    assert set(states(site).values()) == {"running"}


def test_the_weekly_training_leaves_a_model_and_stopped_machines(site: Site, github: Github) -> None:
    site.lay_out_pio()
    run = github.schedule("pio-tf-train.yml")
    assert results(run) == {"train": "success"}, run.transcript()
    assert "Training completed successfully." in run.jobs["train"].output
    assert "Planning" not in run.jobs["train"].output, "a training must not apply an unreviewed change"
    assert run.jobs["train"].role.endswith("role/train")
    assert set(states(site).values()) == {"stopped"}


def test_the_reaper_has_nothing_to_do_for_stopped_machines(github: Github) -> None:
    run = github.schedule("pio-tf-reap.yml")
    assert results(run) == {"reap": "success"}, run.transcript()
    assert "3 machines are stopped" in run.jobs["reap"].output


def test_a_pull_request_that_would_replace_machines_is_refused_and_says_so(
    site: Site, github: Github, forge: ForgeServer
) -> None:
    files = site.changed(r"(?m)^network \{$", "network {\n  first_host = 50")
    kept = len(forge.artifacts)
    _head, (run,) = github.pull_request(2, files)
    assert results(run) == {"plan": "failure", "comment": "success"}
    outcomes = {step.name: step.outcome for step in run.jobs["plan"].steps}
    assert outcomes["Plan"] == "failure, exit code 3"
    assert outcomes["Save the plan"] == "skipped"
    assert outcomes["Save its summary"] == "success"
    (comment,) = forge.comments[2]
    assert "pio-tf refused this plan and does not apply it." in comment["body"]
    assert "would be replaced" in comment["body"]
    assert len(forge.artifacts) == kept
    assert set(states(site).values()) == {"stopped"}


def test_a_plan_that_is_stale_at_its_merge_is_made_anew_and_waits_for_approval(
    site: Site, github: Github, forge: ForgeServer
) -> None:
    tags = r'tags = \{ team = "search" \}'
    mine = site.files
    site = replace(site, files=github.commits[github.main])
    first, _ = github.pull_request(3, site.changed(tags, 'tags = { team = "search", cost = "3" }'))
    second, _ = github.pull_request(4, site.changed(tags, 'tags = { team = "search", cost = "4" }'))
    assert mine.keys() == site.files.keys() - {"README.md"}
    (run,) = github.merge(3, first)
    assert results(run) == {"plan": "success", "apply": "success"}, run.transcript()
    assert run.jobs["apply"].environment == "production"

    asked: list[str] = []

    def nobody_approves(environment: str) -> bool:
        asked.append(environment)
        return False

    github.approves = nobody_approves
    (run,) = github.merge(4, second)
    assert results(run) == {"plan": "success", "apply": "waiting"}, run.transcript()
    assert asked == ["production-replanned"]
    assert run.jobs["plan"].outputs["reviewed"] == "false"
    assert "serial of the state" in run.jobs["plan"].output
    assert "**A new plan, not yet reviewed.** The job's log says why" in run.jobs["plan"].summary
    assert set(states(site).values()) == {"stopped"}

    github.approves = lambda _environment: True
    run = github.dispatch("pio-tf-apply.yml")
    assert results(run) == {"plan": "success", "apply": "success"}, run.transcript()
    assert run.jobs["apply"].environment == "production-replanned"
    assert set(states(site).values()) == {"stopped"}, "an apply must not leave machines running that were stopped"


def test_a_merge_without_changes_asks_nobody(github: Github) -> None:
    text = github.commits[github.main]["pio-tf.hcl"]
    head, (run,) = github.pull_request(5, {**github.commits[github.main], "pio-tf.hcl": f"{text}\n# A remark.\n"})
    assert results(run) == {"plan": "success", "comment": "success"}, run.transcript()
    (run,) = github.merge(5, head)
    assert results(run) == {"plan": "success", "apply": "skipped"}, run.transcript()
    assert run.jobs["plan"].outputs == {"reviewed": "true", "has-changes": "false"}


def test_the_reaper_names_the_run_that_keeps_it_from_stopping(site: Site, github: Github) -> None:
    (path,) = site.sandbox.directory.glob("machines/*/home/engine/engine.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "standIn": {"pauseSeconds": 120}}))
    by_hand(site, "train", "--no-apply", "--detach")
    run = now(github)
    assert results(run) == {"reap": "success"}, run.transcript()
    assert "nothing was stopped: run " in run.jobs["reap"].output
    assert "is active" in run.jobs["reap"].output
    assert "not in the state" not in run.jobs["reap"].output
    assert set(states(site).values()) == {"running"}
    by_hand(site, "cancel")


def test_the_reaper_stops_what_somebody_has_left_running(site: Site, github: Github) -> None:
    run = now(github)
    assert results(run) == {"reap": "success"}, run.transcript()
    assert set(states(site).values()) == {"stopped"}


def test_no_job_has_shown_the_private_key(site: Site, github: Github) -> None:
    secret = site.key.splitlines()[2]
    for run in github.runs:
        assert secret not in run.transcript()
        assert secret not in json.dumps([job.summary for job in run.jobs.values()])
    assert len(github.runs) > 10


def now(github: Github) -> Run:
    """Run the reaper without the half hour in which it leaves machines alone after a start and after a run."""
    files = dict(github.commits[github.main])
    name = ".github/workflows/pio-tf-reap.yml"
    files[name] = files[name].replace("pio-tf down --if-idle", "pio-tf down --if-idle --idle-for 0")
    before, github.main = github.main, github.commit(files)
    try:
        return github.schedule("pio-tf-reap.yml")
    finally:
        github.main = before
