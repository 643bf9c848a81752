"""A training on AWS's clock in the sandbox: from stopped to stopped without any client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from tests.integration.training import behave, bring_up, listed
from tests.support.background import wait_until

if TYPE_CHECKING:
    from tests.support.sandbox_project import Project

CIDR = "127.77.78.0/25"
MODEL = 'model {\n  max_shrink  = "30%"\n  keep_models = 2\n}\n'


@pytest.fixture(scope="module")
def project(project: Project) -> Project:
    """Return a stopped cluster with a schedule. Its driver lingers for five seconds after a training."""
    project.config.write_text(project.config.read_text() + "\nschedule {\n}\n" + MODEL)
    bring_up(project, spark=False)
    project.config.write_text(project.config.read_text().replace('linger = "1h"', 'linger = "5s"'))
    project.run("down")
    project.run("schedule", "set", "cron(0 3 ? * SUN *)", "--timezone", "Europe/Berlin")
    return project


def schedule(project: Project, *options: str, exit_code: int = 0) -> dict[str, Any]:
    shown = project.run("schedule", "show", "--json", *options, exit_code=exit_code)
    return dict(json.loads(shown.stdout)["schedule"])


def test_set_leaves_the_machines_stopped_and_the_driver_informed(project: Project) -> None:
    assert project.powers() == {"stopped"}
    shown = schedule(project)
    assert (shown["cron"], shown["timezone"], shown["from_file"]) == ("cron(0 3 ? * SUN *)", "Europe/Berlin", False)
    assert (shown["last"], shown["problem"], shown["driver_knows"]) == (None, None, None)


def serve_a_model(project: Project) -> None:
    """Let Elasticsearch serve a model of one document."""
    where = project.sandbox.services
    for path, body in (
        ("/urindex_1", {"aliases": {"urindex": {}}, "mappings": {"items": {}}}),
        ("/urindex_1/items/i1", {"id": "i1"}),
    ):
        url = f"http://{where.host}:{where.elasticsearch}{path}"
        headers = {"Content-Type": "application/json"}
        urlopen(Request(url, json.dumps(body).encode(), headers, method="PUT"), timeout=30).close()


def test_a_training_needs_no_client_and_the_next_one_finds_it(project: Project) -> None:
    serve_a_model(project)
    project.run("sandbox", "fire", "trial")
    assert wait_until(lambda: project.seen("driver") == "running", within=300)
    status = json.loads(project.run("status", "--json").stdout)["schedule"]
    assert status["stops"] > status["last"]
    assert wait_until(lambda: project.seen("driver") == "stopped", within=400)
    project.run("up")
    (run,) = (one for one in listed(project).values() if one["scheduled"])
    assert (run["state"], run["client"]["owner"], run["scheduled"][:19]) == (
        "succeeded",
        "schedule",
        status["last"][:19],
    )
    assert "Training completed successfully." in project.run("logs", run["id"]).stdout
    shown = schedule(project, "--check")
    assert (shown["run"], shown["problem"], shown["driver_knows"]) == (run["id"], None, True)
    assert shown["stops"] is None, "`up` has taken the machines over"
    assert f"run {run['id']} succeeded" in project.run("down").stderr
    judged = json.loads(project.run("runs", "--json").stdout)["runs"][-1]
    assert [proof["held"] for proof in judged["proofs"]] == [True, True, True, None, True]
    kept = f"pio-tf-model-urindex-{run['id'].lower()}"
    assert judged["custody"] == {"documents": {"urindex": 1}, "kept": {"urindex": kept}, "put_back": {}}
    assert json.loads(project.run("plan", "--json").stdout)["has_changes"] is False


def test_a_schedule_that_fires_while_a_client_trains_leaves_it_the_machines(project: Project) -> None:
    before = listed(project)
    behave(project, pauseSeconds=80)  # the client looks for a mark once a minute
    with project.start("train") as client:
        client.says("Run 2")
        project.run("sandbox", "fire", "trial")
        said = client.ends(0)
    behave(project)
    assert said.index("took the machines over from their schedule") < said.index("Trained in ")
    (run,) = (one for key, one in listed(project).items() if key not in before)
    assert (run["state"], run["scheduled"]) == ("succeeded", None)
    assert project.powers() == {"stopped"}
    assert schedule(project)["problem"] is None


def test_a_training_that_fails_is_named_by_status_and_an_exit_code(project: Project) -> None:
    engine = project.home("driver") / "engine" / "engine.json"
    text = engine.read_text()
    engine.unlink()
    project.run("sandbox", "fire", "trial")
    assert wait_until(lambda: project.seen("driver") == "running", within=300)
    assert wait_until(lambda: project.seen("driver") == "stopped", within=400)
    engine.write_text(text)
    project.run("up")
    shown = schedule(project)
    assert "led to no model" in shown["problem"]
    assert shown["problem"] in project.run("status").stdout
    assert schedule(project, "--check", exit_code=6)["problem"] == shown["problem"]
    project.run("down")
