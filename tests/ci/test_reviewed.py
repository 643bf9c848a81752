"""Finding the plan that was reviewed, and why it may not be the one that is applied."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from pio_tf.ci.reviewed import artifact_name, take_reviewed_plan
from pio_tf.config.load import load_config
from pio_tf.config.template import render_template
from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.events import Event, Warned
from pio_tf.infra.plan import Plan
from tests.ci.forge_server import REPOSITORY, TOKEN, ForgeServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pio_tf.ci.reviewed import ReviewedPlan
    from pio_tf.cluster.cluster import Cluster
    from pio_tf.config.schema import Config

MERGED, HEAD = "a1" * 20, "b2" * 20


@dataclass
class Plans:
    """A cluster's work with plans: it takes those that say that they fit, and can always make one."""

    config: Config
    opened: list[str] = field(default_factory=list)
    made: int = 0

    def check_plan(self, directory: Path) -> Plan:
        try:
            text = (directory / "plan.md").read_text()
        except OSError as error:
            raise ConfigError(f"{directory} holds no plan that can be applied") from error
        self.opened.append(text)
        if "fits" not in text:
            raise GuardRefused("the plan is not for what is here", cause="serial of the state: 8 in the plan, 10 here")
        return Plan(directory, (), has_changes=True)

    def plan(self, out: Path) -> Plan:
        self.made += 1
        return Plan(out, (), has_changes=True)


@dataclass
class Merge:
    """A merge of pull request 12, and the job that comes after it."""

    forge: ForgeServer
    plans: Plans
    directory: Path
    events: list[Event] = field(default_factory=list)

    def keep(self, text: str, *, name: str = artifact_name("ur", HEAD), head: str = HEAD, fork: bool = False) -> None:
        """Keep an artefact of the pull request's workflow."""
        source = self.directory / f"artefact-{len(self.forge.artifacts)}"
        source.mkdir()
        (source / "plan.md").write_text(text)
        self.forge.keep(name, source, head=head, fork=fork)

    def take(self, **environment: str) -> ReviewedPlan:
        environ = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.forge.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_SHA": MERGED,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_TOKEN": TOKEN,
            **environment,
        }
        return take_reviewed_plan(cast("Cluster", self.plans), self.directory / "plan", environ, self.events.append)

    @property
    def why(self) -> str:
        """Why it is a new plan."""
        (warned,) = [event for event in self.events if isinstance(event, Warned)]
        return warned.message


@pytest.fixture
def merge(tmp_path: Path) -> Iterator[Merge]:
    (tmp_path / "pio-tf.hcl").write_text(render_template(cluster="ur", region="eu-west-1"))
    with ForgeServer() as forge:
        forge.pulls[MERGED] = [pull()]
        yield Merge(forge, Plans(load_config(tmp_path / "pio-tf.hcl")), tmp_path)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pull(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON has it
    return {
        "number": 12,
        "merged_at": "now",
        "merge_commit_sha": MERGED,
        "head": {"sha": HEAD},
        "base": {"ref": "main"},
        **more,
    }


def test_the_plan_of_the_pull_request_is_taken(merge: Merge) -> None:
    merge.keep("it fits")
    assert merge.take().pull == 12
    assert merge.plans.opened == ["it fits"]
    assert merge.plans.made == 0


def test_the_newest_of_several_is_taken(merge: Merge) -> None:
    merge.keep("fits, the first attempt")
    merge.keep("fits, the second attempt")
    merge.take()
    assert merge.plans.opened == ["fits, the second attempt"]


def test_a_plan_that_does_not_hold_is_made_anew_with_the_reason(merge: Merge) -> None:
    merge.keep("it does not")
    taken = merge.take()
    assert (taken.pull, merge.plans.made) == (None, 1)
    assert "serial of the state: 8 in the plan, 10 here" in merge.why


def test_a_push_without_a_pull_request_has_no_reviewed_plan(merge: Merge) -> None:
    merge.keep("it fits")
    for pulls in ([], [pull(merged_at=None)], [pull(merge_commit_sha="c3" * 20)]):
        merge.events.clear()
        merge.forge.pulls[MERGED] = pulls
        assert merge.take().pull is None
        assert "this commit is not the merge of a pull request" in merge.why
    assert merge.plans.opened == []


def test_a_plan_of_an_earlier_commit_or_another_cluster_is_not_the_reviewed_one(merge: Merge) -> None:
    merge.keep("it fits", name=artifact_name("ur", "c3" * 20), head="c3" * 20)
    merge.keep("it fits", name=artifact_name("other", HEAD))
    assert merge.take().pull is None
    assert f"pull request 12 has no plan of its last commit {HEAD[:12]}" in merge.why


def test_a_plan_with_the_right_name_that_another_commit_or_a_fork_has_kept_is_not_taken(merge: Merge) -> None:
    merge.keep("it fits", head="c3" * 20)
    merge.keep("it fits", fork=True)
    assert merge.take().pull is None
    assert merge.plans.opened == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"path": ".github/workflows/evil.yml"}, "the workflow .github/workflows/evil.yml has saved it"),
        (
            {"path": ".github/workflows/evil.yml@refs/pull/12/merge"},
            "the workflow .github/workflows/evil.yml has saved",
        ),
        ({"path": None}, "has saved it, not .github/workflows/pio-tf-plan.yml"),
        ({"event": "push"}, "the event push started the workflow"),
        ({"event": "pull_request_target"}, "the event pull_request_target started the workflow"),
        ({"head_sha": "c3" * 20}, "the workflow ran on the commit c3c3c3c3c3c3"),
        ({"pull_requests": [{"number": 13, "base": {"ref": "main"}}]}, "ran for pull request 13 into main"),
        ({"pull_requests": [{"number": 12, "base": {"ref": "sandbox"}}]}, "ran for pull request 12 into sandbox"),
    ],
)
def test_a_plan_that_another_workflow_or_event_has_saved_is_not_taken(
    merge: Merge, change: dict[str, Any], why: str
) -> None:
    merge.keep("it fits")
    merge.forge.runs[1001].update(change)
    assert merge.take().pull is None
    assert merge.plans.opened == []
    assert why in merge.why


def test_a_newer_artefact_of_another_workflow_does_not_hide_the_plan(merge: Merge) -> None:
    merge.keep("fits, of the plan workflow")
    merge.keep("fits, of another one")
    merge.forge.runs[1002]["path"] = ".github/workflows/evil.yml"
    assert merge.take().pull == 12
    assert merge.plans.opened == ["fits, of the plan workflow"]


def test_a_plan_for_another_branch_is_not_taken(merge: Merge) -> None:
    merge.keep("it fits")
    assert merge.take(GITHUB_REF="refs/heads/release").pull is None
    assert "pull request 12 was merged into main, not into release" in merge.why
    assert merge.plans.opened == []


def test_a_plan_that_has_expired_is_made_anew(merge: Merge) -> None:
    merge.keep("it fits")
    merge.forge.artifacts[0]["expired"] = True
    assert merge.take().pull is None
    assert "it has expired" in merge.why


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_an_artefact_that_cannot_be_unpacked_is_none(merge: Merge, content: bytes) -> None:
    merge.keep("it fits")
    merge.forge.zips[1] = content
    assert merge.take().pull is None
    assert "cannot be unpacked" in merge.why


def test_an_artefact_with_other_files_writes_nowhere_else(merge: Merge) -> None:
    merge.keep("it fits")
    for name in ("sub/plan.md", "..", ".", "../plan.md", "evil.py", ".git"):
        merge.events.clear()
        merge.forge.zips[1] = zipped({name: b"it fits"})
        assert merge.take().pull is None
        assert f"contains {name}, which no plan has" in merge.why
        assert list((merge.directory / "plan").iterdir()) == []


def test_an_artefact_that_would_fill_the_disk_is_not_unpacked(merge: Merge) -> None:
    merge.keep("it fits")
    content = zipped({"plan.md": b"it fits"})
    size = content.rindex(b"plan.md") - 46 + 24  # in the entry of the archive's directory
    merge.forge.zips[1] = content[:size] + (2 << 30).to_bytes(4, "little") + content[size + 4 :]
    assert merge.take().pull is None
    assert "larger than 1024 MiB" in merge.why


def test_a_token_without_permission_means_a_new_plan_and_says_so(merge: Merge) -> None:
    merge.forge.refuses.add("GET")
    assert merge.take().pull is None
    assert "Resource not accessible by integration" in merge.why


def test_elsewhere_than_in_github_it_says_what_to_do(merge: Merge) -> None:
    with pytest.raises(ConfigError, match="not a job of GitHub Actions") as caught:
        merge.take(GITHUB_ACTIONS="")
    assert "pio-tf plan --out" in caught.value.next_step
    with pytest.raises(ConfigError, match="GITHUB_TOKEN is not set"):
        merge.take(GITHUB_TOKEN="")
    assert merge.plans.made == 0
