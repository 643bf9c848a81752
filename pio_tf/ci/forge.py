"""GitHub's and GitLab's REST APIs, as far as a pipeline needs them."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from pio_tf.errors import ConfigError, PioTfError
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS = 30.0
_PAGE = 100
_MOST_BYTES = 200 * 1024 * 1024
_PULL_REF = re.compile(r"refs/pull/(\d+)/")
_CHANGE = re.compile(r"(?P<base>https?://[^/]+)/(?P<project>.+?)/(?P<kind>pull|-/merge_requests)/(?P<number>\d+)")


class ForgeError(PioTfError):
    """The API of GitHub or GitLab refused a call, or did not answer."""


@dataclass(frozen=True)
class Forge:
    """An API and who asks it.

    Args:
        url: without a slash at its end.
        headers: credentials, which go to this API only and not to where it redirects to.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        """What a GET answers."""
        return self._json("GET", path, query=query)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page."""
        page = 1
        while items := self.get(path, per_page=_PAGE, page=page):
            yield from items
            if len(items) < _PAGE:
                return
            page += 1

    def send(self, method: str, path: str, body: Mapping[str, object]) -> None:
        """A POST, PATCH or PUT."""
        self._json(method, path, body=body)

    def download(self, path: str) -> bytes:
        """A file, from wherever the API sends us to."""
        return self._call("GET", path)

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        answer = self._call(f"{method}", f"{path}?{urlencode(query)}" if query else path, body=body)
        try:
            return parse_json(answer) if answer else None
        except ValueError as error:
            raise ForgeError(
                f"{method} {self.url}{path}: no JSON",
                cause=str(error),
                next_step="see whether the address is the API's",
            ) from error

    def _call(self, method: str, path: str, *, body: Mapping[str, object] | None = None) -> bytes:
        address = f"{self.url}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data=data, method=method)  # noqa: S310 - checked by the constructors
        request.add_header("User-Agent", "pio-tf")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in self.headers.items():
            request.add_unredirected_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310 - as above
                return bytes(response.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise ForgeError(
                f"{method} {address}: {error.code} {error.reason}",
                cause=_reason(error),
                next_step="see which permissions the job's token has: docs/ci.md names those that it needs",
                details={"status": error.code},
            ) from error
        except (OSError, ValueError) as error:  # URLError is an OSError
            raise ForgeError(
                f"{method} {address}: no answer", cause=str(error), next_step="see whether the job may reach it"
            ) from error


@dataclass(frozen=True)
class Change:
    """A pull request (or merge request) that a job is for.

    Args:
        comments: path of its comments.
        comment: path of one of them, with ``{id}``.
        update: the method that changes one.
        commit: what the job is for.
        job: address of the job's page; empty: unknown.
    """

    forge: Forge
    comments: str
    comment: str
    update: str
    commit: str = ""
    job: str = ""


def find_change(environ: Mapping[str, str]) -> Change:
    """The pull request of this job, by the variables of GitHub Actions, GitLab CI or Jenkins.

    Raises:
        ConfigError: there is none, or no token for its API.
    """
    if environ.get("GITHUB_ACTIONS"):
        match = _PULL_REF.match(environ.get("GITHUB_REF", ""))
        if match is None:
            raise _no_change(f"GITHUB_REF is {environ.get('GITHUB_REF') or 'not set'}")
        repository = environ.get("GITHUB_REPOSITORY", "")
        page = f"{environ.get('GITHUB_SERVER_URL')}/{repository}/actions/runs/{environ.get('GITHUB_RUN_ID')}"
        return _github(github(environ), repository, match[1], commit=_head(environ), job=page)
    if environ.get("GITLAB_CI"):
        number = environ.get("CI_MERGE_REQUEST_IID")
        if not number:
            raise _no_change("CI_MERGE_REQUEST_IID is not set")
        forge = _gitlab_api(environ.get("CI_API_V4_URL", ""), environ)
        commit = environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environ.get("CI_COMMIT_SHA", "")
        return _gitlab(
            forge, environ.get("CI_PROJECT_ID", ""), number, commit=commit, job=environ.get("CI_JOB_URL", "")
        )
    match = _CHANGE.match(environ.get("CHANGE_URL", ""))
    if match is None:
        raise _no_change("neither GITHUB_ACTIONS nor GITLAB_CI is set, and CHANGE_URL (of Jenkins) names none")
    facts = {"commit": environ.get("GIT_COMMIT", ""), "job": environ.get("BUILD_URL", "")}
    if match["kind"] == "pull":
        host = urlsplit(match["base"]).hostname
        api = "https://api.github.com" if host == "github.com" else f"{match['base']}/api/v3"
        return _github(github({**environ, "GITHUB_API_URL": api}), match["project"], match["number"], **facts)
    forge = _gitlab_api(f"{match['base']}/api/v4", environ)
    return _gitlab(forge, quote(match["project"], safe=""), match["number"], **facts)


def github(environ: Mapping[str, str]) -> Forge:
    """GitHub's API, as the job's token may use it.

    Raises:
        ConfigError: there is no token.
    """
    url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    headers = {
        "Authorization": f"Bearer {_token(environ, 'GITHUB_TOKEN')}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    return Forge(_checked(url), headers)


def _gitlab_api(url: str, environ: Mapping[str, str]) -> Forge:
    # Jenkins has one credential for comments, whichever it is.
    variable = "PIO_TF_GITLAB_TOKEN" if environ.get("GITLAB_CI") else "GITHUB_TOKEN"
    return Forge(_checked(url), {"PRIVATE-TOKEN": _token(environ, variable)})


def _github(forge: Forge, repository: str, number: str, *, commit: str, job: str) -> Change:
    path = f"/repos/{repository}/issues"
    return Change(forge, f"{path}/{number}/comments", f"{path}/comments/{{id}}", "PATCH", commit, job)


def _gitlab(forge: Forge, project: str, number: str, *, commit: str, job: str) -> Change:
    path = f"/projects/{project}/merge_requests/{number}/notes"
    return Change(forge, path, f"{path}/{{id}}", "PUT", commit, job)


def _head(environ: Mapping[str, str]) -> str:
    """The pull request's own commit; GITHUB_SHA is that of a merge which nobody has made."""
    from pathlib import Path

    try:
        event = parse_json(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        return str(event["pull_request"]["head"]["sha"])
    except (OSError, ValueError, LookupError, TypeError):
        return environ.get("GITHUB_SHA", "")


def _token(environ: Mapping[str, str], variable: str) -> str:
    token = environ.get(variable, "").strip()
    if not token:
        raise ConfigError(f"{variable} is not set", next_step=f"hand the job's token over as {variable}")
    return token


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is no address of an API", next_step="see the variables of the CI system")
    return url.rstrip("/")


def _no_change(cause: str) -> ConfigError:
    return ConfigError(
        "this job is not for a pull request", cause=cause, next_step="run it in a job that a pull request starts"
    )


def _reason(error: urllib.error.HTTPError) -> str:
    """What the API itself says."""
    try:
        return str(parse_json(error.read(10_000))["message"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
