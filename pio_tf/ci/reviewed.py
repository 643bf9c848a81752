"""The plan that was reviewed on a pull request, for the job that applies it after the merge."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.ci.forge import ForgeError, github
from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.events import Done, Reporter, Step, Warned
from pio_tf.infra.saved_plan import prepare_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.ci.forge import Forge
    from pio_tf.cluster import Cluster
    from pio_tf.infra.plan import Plan


@dataclass(frozen=True)
class ReviewedPlan:
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
        pull = _fetch(api, repository, commit, cluster.config.cluster.name, directory)
        plan = cluster.check_plan(directory)
    except (ForgeError, ConfigError, GuardRefused) as error:
        why = f"{error.what}\n{error.cause}".strip()
        reporter(Warned(f"pio-tf applies no reviewed plan: {why}\nIt makes a new one, which needs approval"))
        return ReviewedPlan(cluster.plan(directory), None)
    reporter(Done(f"the plan of pull request {pull} still holds"))
    return ReviewedPlan(plan, pull)


class _Missing(ForgeError):
    """There is no reviewed plan, and nothing is wrong."""


def _fetch(api: Forge, repository: str, commit: str, cluster: str, directory: Path) -> int:
    """Put the reviewed plan into the directory. Return the number of its pull request."""
    pulls = [
        pull
        for pull in api.get(f"/repos/{repository}/commits/{commit}/pulls")
        if pull.get("merged_at") and pull.get("merge_commit_sha") == commit
    ]
    if not pulls:
        raise _Missing("this commit is not the merge of a pull request")
    pull = pulls[0]
    number, head = int(pull["number"]), str(pull["head"]["sha"])
    found = api.get(f"/repos/{repository}/actions/artifacts", name=artifact_name(cluster, head), per_page=100)
    usable = [one for one in found["artifacts"] if not one["expired"] and _is_of(one, head)]
    if not usable:
        raise _Missing(f"pull request {number} has no plan of its last commit {head[:12]}, or it has expired")
    newest = max(usable, key=lambda one: str(one["created_at"]))
    _unpack(api.download(f"/repos/{repository}/actions/artifacts/{newest['id']}/zip"), directory)
    return number


def _is_of(artifact: Mapping[str, Any], head: str) -> bool:
    """Return whether a run of this repository, not of a fork, has made the artefact for a commit."""
    run = artifact.get("workflow_run") or {}
    return run.get("head_sha") == head and run.get("head_repository_id") == run.get("repository_id")


def _unpack(data: bytes, directory: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if "/" in name or "\\" in name:  # a saved plan has no directories
                    raise _Missing(f"its artefact contains {name}, which no plan has")
                (directory / name).write_bytes(archive.read(name))
    except zipfile.BadZipFile as error:
        raise _Missing(f"its artefact cannot be unpacked: {error}") from error
