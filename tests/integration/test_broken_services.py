"""`pio-tf check` on real services that hang or are stopped: it names the service, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.control import change_service, start_sandbox, stop_sandbox
from pio_tf.sandbox.project import prepare_project
from tests.support.sandbox_project import Project, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pio_tf.sandbox.layout import WantedState

CHECKS = {"elasticsearch": "elasticsearch", "zookeeper": "zookeeper", "namenode": "hdfs"}
"""The check that finds a service broken."""

CAUSES: dict[WantedState, str] = {"hung": "no answer within 5 s", "stopped": "connection refused"}


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, share_mirror: Callable[[Path], Path], java_cache: Path
) -> Iterator[Project]:
    directory, sandbox = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("sandbox") / "sandbox"
    info = start_sandbox(sandbox, services="real", password=True, spark="3.5", install_mirror=share_mirror)
    try:
        prepare_project(directory, info, cluster="trial")
        project = Project(directory, info, clean_environment() | {"PIO_TF_SANDBOX_DIR": str(sandbox)})
        config = project.changed(r"workers( +)= 2", r"workers\1= 1")
        config.replace(project.config)
        project.run("up")
        yield project
    finally:
        stop_sandbox(sandbox)


def found(project: Project, *, exit_code: int) -> dict[str, tuple[str, str]]:
    """Return the status and detail of each check."""
    checks = json.loads(project.run("check", "--json", exit_code=exit_code).stdout)["checks"]
    return {check["name"]: (check["status"], check["detail"]) for check in checks}


def test_services_that_run_are_ok(project: Project) -> None:
    results = found(project, exit_code=0)
    assert {results[check][0] for check in CHECKS.values()} == {"ok"}
    assert "Elasticsearch 6.8.23" in results["elasticsearch"][1]


@pytest.mark.parametrize("name", CHECKS)
def test_a_broken_service_is_the_only_one_that_fails(project: Project, name: str) -> None:
    for state, cause in CAUSES.items():
        change_service(project.sandbox.directory, name, state)
        try:
            results = found(project, exit_code=5)
        finally:
            change_service(project.sandbox.directory, name, "running")
        assert {check for check, (status, _) in results.items() if status == "failed"} == {CHECKS[name]}
        assert cause in results[CHECKS[name]][1]
        assert project.sandbox.services.host in results[CHECKS[name]][1]
