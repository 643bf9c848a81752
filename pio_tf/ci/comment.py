"""pio-tf's comment on a pull request: one for each cluster, which shows the latest plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit

from msgspec import Struct

from pio_tf.ci.forge import github, gitlab
from pio_tf.errors import ConfigError
from pio_tf.infra.saved_plan import MARKER, SUMMARY
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.ci.forge import Forge

_PULL_REF = re.compile(r"refs/pull/(\d+)/")
_CHANGE_URL = re.compile(r"(?P<base>https?://[^/]+)/(?P<project>.+?)/(?P<kind>pull|-/merge_requests)/(?P<number>\d+)")


class PullRequest(Struct, frozen=True):
    """The pull request (or merge request) of a job.

    Args:
        comments: path of its comments.
        comment: path of one of them, with ``{id}``.
        update: the method that changes one.
        commit: the job's commit.
        job: address of the job's page; empty: unknown.
    """

    forge: Forge
    comments: str
    comment: str
    update: str
    commit: str = ""
    job: str = ""


def find_pull_request(environ: Mapping[str, str]) -> PullRequest:
    """Return the pull request of this job, from the variables of GitHub Actions, GitLab CI or Jenkins.

    Raises:
        ConfigError: there is none, or no token for its API.
    """
    if environ.get("GITHUB_ACTIONS"):
        match = _PULL_REF.match(environ.get("GITHUB_REF", ""))
        if match is None:
            raise _no_pull_request(f"GITHUB_REF is {environ.get('GITHUB_REF') or 'not set'}")
        repository = environ.get("GITHUB_REPOSITORY", "")
        page = f"{environ.get('GITHUB_SERVER_URL')}/{repository}/actions/runs/{environ.get('GITHUB_RUN_ID')}"
        return _on_github(github(environ), repository, match[1], commit=_head(environ), job=page)
    if environ.get("GITLAB_CI"):
        number = environ.get("CI_MERGE_REQUEST_IID")
        if not number:
            raise _no_pull_request("CI_MERGE_REQUEST_IID is not set")
        forge = gitlab(environ.get("CI_API_V4_URL", ""), environ)
        commit = environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environ.get("CI_COMMIT_SHA", "")
        project, job = environ.get("CI_PROJECT_ID", ""), environ.get("CI_JOB_URL", "")
        return _on_gitlab(forge, project, number, commit=commit, job=job)
    match = _CHANGE_URL.match(environ.get("CHANGE_URL", ""))
    if match is None:
        raise _no_pull_request("neither GITHUB_ACTIONS nor GITLAB_CI is set, and CHANGE_URL (of Jenkins) names none")
    base, project, number = match["base"], match["project"], match["number"]
    commit, job = environ.get("GIT_COMMIT", ""), environ.get("BUILD_URL", "")
    if match["kind"] == "pull":
        api = "https://api.github.com" if urlsplit(base).hostname == "github.com" else f"{base}/api/v3"
        return _on_github(github({**environ, "GITHUB_API_URL": api}), project, number, commit=commit, job=job)
    return _on_gitlab(gitlab(f"{base}/api/v4", environ), quote(project, safe=""), number, commit=commit, job=job)


def show_plan(pull_request: PullRequest, directory: Path) -> Literal["made", "changed"]:
    """Show a saved plan in the comment. Make the comment, or change it.

    Args:
        directory: of ``pio-tf plan --out``.

    Raises:
        ConfigError: there is no summary.
        ForgeError: the API refused it.
    """
    path = directory / SUMMARY
    try:
        summary = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}", cause=error.strerror or str(error), next_step=f"pio-tf plan --out {directory}"
        ) from error
    mark = summary.partition("\n")[0]
    if not mark.startswith(MARKER):
        raise ConfigError(f"{path} is not the summary of a plan", next_step=f"pio-tf plan --out {directory}")
    body = {"body": summary + _footer(pull_request)}
    forge = pull_request.forge
    # The first line names the cluster.
    mine = [one["id"] for one in forge.pages(pull_request.comments) if str(one.get("body")).startswith(mark)]
    if mine:
        forge.send(pull_request.update, pull_request.comment.format(id=mine[-1]), body)
        return "changed"
    forge.send("POST", pull_request.comments, body)
    return "made"


def _on_github(forge: Forge, repository: str, number: str, *, commit: str, job: str) -> PullRequest:
    path = f"/repos/{repository}/issues"
    return PullRequest(forge, f"{path}/{number}/comments", f"{path}/comments/{{id}}", "PATCH", commit, job)


def _on_gitlab(forge: Forge, project: str, number: str, *, commit: str, job: str) -> PullRequest:
    path = f"/projects/{project}/merge_requests/{number}/notes"
    return PullRequest(forge, path, f"{path}/{{id}}", "PUT", commit, job)


def _head(environ: Mapping[str, str]) -> str:
    """Return the pull request's own commit. GITHUB_SHA is a merge commit that GitHub makes for the job."""
    try:
        event = parse_json(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        return str(event["pull_request"]["head"]["sha"])
    except (OSError, ValueError, LookupError, TypeError):
        return environ.get("GITHUB_SHA", "")


def _no_pull_request(cause: str) -> ConfigError:
    return ConfigError(
        "this job is not for a pull request", cause=cause, next_step="run it in a job that a pull request starts"
    )


def _footer(pull_request: PullRequest) -> str:
    """Return the commit and the job: the comment stays when new commits come."""
    of = f"Of commit {pull_request.commit}" if pull_request.commit else ""
    by = f"[by this job]({pull_request.job})" if pull_request.job else ""
    words = " ".join(word for word in (of, by) if word)
    return f"\n<sub>{words}</sub>\n" if words else ""
