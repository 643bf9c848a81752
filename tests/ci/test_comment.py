"""A plan on a pull request: on GitHub, on GitLab, and from Jenkins on either."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.ci.comment import find_pull_request, show_plan
from pio_tf.ci.forge import ForgeError
from pio_tf.errors import ConfigError
from tests.ci.forge_server import REPOSITORY, TOKEN, ForgeServer
from tests.support.shell import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MARK = "<!-- pio-tf plan ur -->"


@pytest.fixture
def server() -> Iterator[ForgeServer]:
    with ForgeServer() as forge:
        yield forge


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Make a directory of `pio-tf plan --out`, with the files that a comment needs."""
    directory = tmp_path / "plan"
    directory.mkdir()
    (directory / "plan.md").write_text(f"{MARK}\n### 9 to create\n")
    return directory


def github(server: ForgeServer, **more: str) -> dict[str, str]:
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": server.url,
        "GITHUB_SERVER_URL": "https://github.test",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_REF": "refs/pull/12/merge",
        "GITHUB_RUN_ID": "55",
        "GITHUB_SHA": "0f" * 20,
        "GITHUB_TOKEN": TOKEN,
        **more,
    }


def gitlab(server: ForgeServer) -> dict[str, str]:
    return {
        "GITLAB_CI": "true",
        "CI_API_V4_URL": server.url,
        "CI_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "12",
        "CI_COMMIT_SHA": "0f" * 20,
        "CI_JOB_URL": "https://gitlab.test/job/1",
        "PIO_TF_GITLAB_TOKEN": TOKEN,
    }


@pytest.mark.parametrize("environment", [github, gitlab])
def test_the_first_plan_makes_a_comment_and_the_next_changes_it(
    server: ForgeServer, plan: Path, environment: Callable[[ForgeServer], dict[str, str]]
) -> None:
    pull_request = find_pull_request(environment(server))
    assert show_plan(pull_request, plan) == "made"
    (plan / "plan.md").write_text(f"{MARK}\n### 1 to update\n")
    assert show_plan(pull_request, plan) == "changed"
    (comment,) = server.comments[12]
    assert comment["body"].startswith(f"{MARK}\n### 1 to update\n\n<sub>Of commit {'0f' * 20} [by this job](https://")


def test_comments_of_people_and_of_other_clusters_stay(server: ForgeServer, plan: Path) -> None:
    other = {"id": 1, "body": "<!-- pio-tf plan other -->\n"}
    person = {"id": 2, "body": f"What is {MARK}?"}
    server.comments[12] = [other.copy(), person.copy(), {"id": 3, "body": None}]
    show_plan(find_pull_request(github(server)), plan)
    assert server.comments[12][:2] == [other, person]
    assert len(server.comments[12]) == 4


def test_a_comment_is_found_among_hundreds(server: ForgeServer, plan: Path) -> None:
    server.comments[12] = [{"id": number, "body": "+1"} for number in range(250)]
    pull_request = find_pull_request(github(server))
    assert [show_plan(pull_request, plan), show_plan(pull_request, plan)] == ["made", "changed"]
    assert len(server.comments[12]) == 251


def test_the_commit_is_the_pull_requests_own(server: ForgeServer, plan: Path, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": "abc123"}}}))
    show_plan(find_pull_request(github(server, GITHUB_EVENT_PATH=str(event))), plan)
    assert "Of commit abc123 " in server.comments[12][0]["body"]


@pytest.mark.parametrize(
    ("url", "api", "comments", "header"),
    [
        (
            "https://github.com/org/engine/pull/3",
            "https://api.github.com",
            "/repos/org/engine/issues/3/comments",
            "Authorization",
        ),
        (
            "https://git.example/org/engine/pull/3",
            "https://git.example/api/v3",
            "/repos/org/engine/issues/3/comments",
            "Authorization",
        ),
        (
            "https://gitlab.example/a/b/engine/-/merge_requests/3",
            "https://gitlab.example/api/v4",
            "/projects/a%2Fb%2Fengine/merge_requests/3/notes",
            "PRIVATE-TOKEN",
        ),
    ],
)
def test_jenkins_names_the_pull_request_by_its_address(url: str, api: str, comments: str, header: str) -> None:
    pull_request = find_pull_request(
        {"CHANGE_URL": url, "GITHUB_TOKEN": TOKEN, "GIT_COMMIT": "abc", "BUILD_URL": "https://ci/1"}
    )
    assert (pull_request.forge.url, pull_request.comments, pull_request.commit, pull_request.job) == (
        api,
        comments,
        "abc",
        "https://ci/1",
    )
    assert header in pull_request.forge.headers
    assert TOKEN not in repr(pull_request)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "this job is not for a pull request"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/main"}, "GITHUB_REF is refs/heads/main"),
        ({"GITLAB_CI": "true"}, "CI_MERGE_REQUEST_IID is not set"),
        ({"CHANGE_URL": "https://github.com/org/engine/pull/3"}, "GITHUB_TOKEN is not set"),
        (
            {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "3", "CI_API_V4_URL": "file:///etc"},
            "not the address of an API",
        ),
    ],
)
def test_a_job_without_a_pull_request_or_a_token_is_told_so(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_pull_request(environ)
    assert said in str(caught.value)
    assert caught.value.next_step


def test_a_token_that_may_not_comment_is_told_what_the_api_says(server: ForgeServer, plan: Path) -> None:
    server.refuses.add("POST")
    with pytest.raises(ForgeError, match="403") as caught:
        show_plan(find_pull_request(github(server)), plan)
    assert "Resource not accessible by integration" in caught.value.cause
    assert TOKEN not in str(caught.value)
    with pytest.raises(ForgeError, match="401"):
        show_plan(find_pull_request(github(server, GITHUB_TOKEN="old")), plan)


def test_an_api_that_does_not_answer_is_named(plan: Path) -> None:
    with ForgeServer() as gone:
        environ = github(gone)
    with pytest.raises(ForgeError, match="no answer"):
        show_plan(find_pull_request(environ), plan)


def test_a_directory_without_a_plan_is_named(server: ForgeServer, tmp_path: Path) -> None:
    pull_request = find_pull_request(github(server))
    with pytest.raises(ConfigError, match=r"cannot read .*plan\.md"):
        show_plan(pull_request, tmp_path)
    (tmp_path / "plan.md").write_text("# Plans\n")
    with pytest.raises(ConfigError, match="is not the summary of a plan"):
        show_plan(pull_request, tmp_path)
    assert server.calls == []


def test_the_command_does_it(server: ForgeServer, plan: Path, tmp_path: Path) -> None:
    project = Project(tmp_path, environment=github(server))
    assert json.loads(project.run("ci", "comment", "plan", "--json").stdout) == {"version": 1, "comment": "made"}
    assert server.comments[12][0]["body"].startswith(MARK)
