"""The plan that was reviewed on a pull request, for the job that applies it after the merge."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pio_tf.ci.forge import ForgeError, github
from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.events import Done, Reporter, Step, Warned
from pio_tf.infra.saved_plan import NAMES, prepare_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.ci.forge import Forge
    from pio_tf.cluster.cluster import Cluster
    from pio_tf.infra.plan import Plan

WORKFLOW = ".github/workflows/pio-tf-plan.yml"
"""The workflow that makes the plans of pull requests."""
_MOST_BYTES = 1024 * 1024 * 1024
"""Limit of an artefact, unpacked, in bytes; the plan of 500 machines has some 60 MB."""


class ReviewedPlan(Struct, frozen=True):
    """A plan that can be applied now. ``pull``: the number of the pull request with its review; None: it is new."""

    plan: Plan
    pull: int | None


def artifact_name(cluster: str, commit: str) -> str:
    """Return the name that the workflow gives to the artefact with a pull request's plan."""
    return f"pio-tf-plan-{cluster}-{commit}"


def take_reviewed_plan(
    cluster: Cluster, directory: Path, environ: Mapping[str, str], reporter: Reporter
) -> ReviewedPlan:
    """Fetch the plan that was reviewed for the merged commit. If it is gone or stale, make a new one.

    Args:
        directory: where to save it.
        environ: the environment of a job of GitHub Actions.

    Raises:
        ConfigError: this is not such a job.
        GuardRefused: the new plan breaks a rule.
    """
    repository, commit = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_SHA", "")
    if not environ.get("GITHUB_ACTIONS") or not repository or not commit:
        raise ConfigError(
            "this is not a job of GitHub Actions",
            cause="GITHUB_ACTIONS, GITHUB_REPOSITORY and GITHUB_SHA are its variables",
            next_step=f"in another system, make a plan on the merged branch: pio-tf plan --out {directory}",
        )
    api = github(environ)
    prepare_directory(directory)
    reporter(Step(f"Looking for the plan that was reviewed for {commit[:12]}"))
    try:
        branch = environ.get("GITHUB_REF", "").removeprefix("refs/heads/")
        pull = _fetch(api, repository, commit, branch, cluster.config.cluster.name, directory)
        plan = cluster.check_plan(directory)
    except (ForgeError, ConfigError, GuardRefused) as error:
        why = f"{error.what}\n{error.cause}".strip()
        reporter(Warned(f"pio-tf applies no reviewed plan: {why}\nIt makes a new one, which needs approval"))
        return ReviewedPlan(cluster.plan(directory), None)
    reporter(Done(f"the plan of pull request {pull} still holds"))
    return ReviewedPlan(plan, pull)


class _Missing(ForgeError):
    """There is no reviewed plan, and nothing is wrong."""


def _fetch(api: Forge, repository: str, commit: str, branch: str, cluster: str, directory: Path) -> int:
    """Put the reviewed plan into the directory. Return the number of its pull request."""
    pulls = [
        pull
        for pull in api.get(f"/repos/{repository}/commits/{commit}/pulls")
        if pull.get("merged_at") and pull.get("merge_commit_sha") == commit
    ]
    if not pulls:
        raise _Missing("this commit is not the merge of a pull request")
    pull = pulls[0]
    number, head, base = int(pull["number"]), str(pull["head"]["sha"]), str(pull["base"]["ref"])
    if base != branch:
        raise _Missing(f"pull request {number} was merged into {base}, not into {branch or 'a branch'}")
    found = api.get(f"/repos/{repository}/actions/artifacts", name=artifact_name(cluster, head), per_page=100)
    usable = [one for one in found["artifacts"] if not one["expired"] and _is_of(one, head)]
    if not usable:
        raise _Missing(f"pull request {number} has no plan of its last commit {head[:12]}, or it has expired")
    refused = []
    for one in sorted(usable, key=lambda one: str(one["created_at"]), reverse=True):
        why = _foreign_run(api.get(f"/repos/{repository}/actions/runs/{one['workflow_run']['id']}"), number, head, base)
        if not why:
            _unpack(api.download(f"/repos/{repository}/actions/artifacts/{one['id']}/zip"), directory)
            return number
        refused.append(why)
    raise _Missing(f"no plan of pull request {number} is from its plan workflow: {'; '.join(dict.fromkeys(refused))}")


def _is_of(artifact: Mapping[str, Any], head: str) -> bool:
    """Return whether a run of this repository, not of a fork, has made the artefact for a commit."""
    run = artifact.get("workflow_run") or {}
    return run.get("head_sha") == head and run.get("head_repository_id") == run.get("repository_id")


def _foreign_run(run: Mapping[str, Any], number: int, head: str, base: str) -> str:
    """Return why a run is not the plan workflow's for a pull request; empty if it is.

    Any workflow of the repository can save an artefact of any name.
    """
    path = str(run.get("path")).partition("@")[0]
    if path != WORKFLOW:
        return f"the workflow {path} has saved it, not {WORKFLOW}"
    if run.get("event") != "pull_request":
        return f"the event {run.get('event')} started the workflow, not pull_request"
    if run.get("head_sha") != head:
        return f"the workflow ran on the commit {str(run.get('head_sha'))[:12]}"
    # GitHub lists only open pull requests here: after the merge, there may be none.
    targets = [(one["number"], one["base"]["ref"]) for one in run.get("pull_requests") or ()]
    if targets and (number, base) not in targets:
        return f"the workflow ran for pull request {targets[0][0]} into {targets[0][1]}"
    return ""


def _unpack(data: bytes, directory: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(one.file_size for one in archive.infolist()) > _MOST_BYTES:
                raise _Missing(f"its artefact is larger than {_MOST_BYTES >> 20} MiB")
            for name in archive.namelist():
                if name not in NAMES:
                    raise _Missing(f"its artefact contains {name}, which no plan has")
                (directory / name).write_bytes(archive.read(name))
    except zipfile.BadZipFile as error:
        raise _Missing(f"its artefact cannot be unpacked: {error}") from error
