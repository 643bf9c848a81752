"""Fixtures and collection rules for all tests."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.provider import install_mirror

if TYPE_CHECKING:
    from collections.abc import Callable

# A shell starts background jobs of a script with SIGINT ignored, and `nohup` ignores SIGHUP. Every child would inherit
# that, and no test could interrupt anything.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# In a CI job pio-tf writes its log in the CI system's format. The tests expect a person at a terminal; tests of the CI
# formats set these variables themselves.
for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)

TESTS = Path(__file__).parent
LONG = (
    "integration/test_runs.py",
    "integration/test_main_job.py",
    "iam/test_calls.py",
    "cluster/test_deadline.py",
    "integration/test_bad_days.py",
    "infra/test_deployment_life.py",
    "infra/test_interrupted.py",
    "ci/test_github_workflow.py",
    "infra/test_saved_plan_applied.py",
    "integration/test_shared_runs.py",
    "faults/test_campaign.py",
    "cli/test_json.py",
    "ci/test_other_systems.py",
    "infra/test_stopped.py",
    "integration/test_capacity.py",
    "integration/test_cancelled_job.py",
    "cli/test_json_sandbox.py",
    "integration/test_deadline.py",
    "infra/test_checkov.py",
    "integration/test_access.py",
    "sandbox/test_pio_training.py",
    "cli/test_bad_input_terraform.py",
    "infra/test_deployment.py",
    "sandbox/test_spark_cluster.py",
)
"""Files that take half a minute to five, the longest first, what waits among what works: none is to be left for the
end, when the other processes have nothing more to do. `--no-loadscope-reorder` keeps that order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first; the others, and the tests of each, as they are."""
    gone = [name for name in LONG if not (TESTS / name).is_file()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py names files that are not there: {', '.join(gone)}")
    places = {TESTS / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def provider_mirror(pytestconfig: pytest.Config) -> Path:
    """Return the Terraform CLI configuration file of a mirror with the AWS provider.

    The mirror is unpacked once a clone (170 MB, a second of CPU) and shared by all processes.
    """
    directory = pytestconfig.cache.mkdir("provider-mirror")
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install_mirror(directory)


@pytest.fixture(scope="session")
def mirror(provider_mirror: Path) -> Path:
    """Return the Terraform CLI configuration file of a mirror with the AWS provider."""
    return provider_mirror


@pytest.fixture(scope="session")
def share_mirror(provider_mirror: Path) -> Callable[[Path], Path]:
    """Return what ``start_sandbox`` takes as ``install_mirror`` so that a sandbox uses the shared mirror."""
    return lambda _directory: provider_mirror
