"""Fixtures and collection rules for all tests."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.sandbox.class_archive import make_archive
from pio_tf.sandbox.provider import install_mirror
from pio_tf.user_cache import default_cache
from tests.support.aws_descriptions import read_descriptions_once
from tests.support.debian import need_packages
from tests.support.provider_scripts import find_provider, install_scripts
from tests.support.running_provider import running_provider

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# A shell starts background jobs of a script with SIGINT ignored, and `nohup` ignores SIGHUP. Every child would inherit
# that, and no test could interrupt anything.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# A CI job that is cancelled gets SIGTERM. As after Ctrl-C, fixtures then stop what they have started.
signal.signal(signal.SIGTERM, signal.default_int_handler)

# In a CI job pio-tf writes its log in the CI system's format. The tests expect a person at a terminal; tests of the CI
# formats set these variables themselves.
for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)

# Terraform and its provider end within seconds: collecting their garbage costs a fifth of their CPU time.
os.environ.setdefault("GOGC", "off")
os.environ.setdefault("GOMEMLIMIT", "500MiB")  # beyond that, they collect it

# Python's own garbage, too: a test leaves little, and to look for it every 700 objects takes a tenth of the time.
gc.set_threshold(20_000)

read_descriptions_once()

TESTS = Path(__file__).parent
DURATIONS = TESTS / "durations.json"
"""Seconds that each file and each longer test took in the last ``make durations``. What has no record is quick."""
SLOW = 0.1
"""Seconds from which on a test is not one of the inner loop."""
SLOW_TO_SHARE = 1.0
"""Seconds of the first test with a fixture of its file from which on the others with it are slow, too: one of them
would make the fixture if the first did not."""
USES = {
    "terraform": {"released_mirror"},
    "sandbox": {"class_archive"},
    "java": {"java_cache"},
}
"""A mark, and the fixtures that give its tests what they use: the AWS provider, a sandbox with Spark, and real Java
services and Spark 2.4."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the programs of tests/terraforms."""
    parser.addoption(
        "--terraform", action="append", default=[], metavar="PATH", help="a Terraform or OpenTofu for tests/terraforms"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it uses, and run the files that take longest first.

    None is left for the end, when the other processes are idle. ``--no-loadscope-reorder`` keeps that order.
    """
    recorded = json.loads(DURATIONS.read_text(encoding="utf-8")) if DURATIONS.exists() else {"files": {}, "tests": {}}
    first_users: dict[tuple[Path, str], str] = {}
    for item in items:
        for shared in _shared_fixtures(item):
            first_users.setdefault((item.path, shared), _name(item.nodeid))
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        marks = {mark for mark, given in USES.items() if given.intersection(fixtures)}
        if item.path.parent.name == "real_machines":
            marks = {"machines"}
        seconds = recorded["tests"].get(_name(item.nodeid), 0.0)
        to_share = [recorded["tests"].get(first_users[item.path, one], 0.0) for one in _shared_fixtures(item)]
        if marks or seconds >= SLOW or max(to_share, default=0.0) >= SLOW_TO_SHARE:
            marks.add("slow")
        for mark in marks:
            item.add_marker(mark)
    items.sort(key=lambda item: -recorded["files"].get(item.path.relative_to(TESTS).as_posix(), 0.0))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among modules and tests, which live to the end: neither while they are made nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _shared_fixtures(item: pytest.Item) -> list[str]:
    """Return the fixtures of a test that its file makes once for several tests."""
    known = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return [name for name, (*_, last) in known.items() if last.scope == "module" and last.baseid in item.nodeid]


def _name(nodeid: str) -> str:
    """Return a test without its parameters: they share what is slow."""
    return nodeid.partition("[")[0]


@pytest.fixture(scope="session")
def released_mirror(pytestconfig: pytest.Config) -> Path:
    """Return the Terraform CLI configuration file of a mirror with the AWS provider as HashiCorp released it.

    The mirror is unpacked once a clone (170 MB, a second of CPU) and shared by all processes.
    """
    directory = pytestconfig.cache.mkdir("provider-mirror")
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install_mirror(directory)


@pytest.fixture(scope="session")
def provider_mirror(pytestconfig: pytest.Config, released_mirror: Path) -> Path:
    """Return the Terraform CLI configuration file of a mirror with a script that starts the AWS provider."""
    directory = pytestconfig.cache.mkdir("provider-scripts")
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install_scripts(directory, released=released_mirror)


@pytest.fixture(scope="session")
def mirror(provider_mirror: Path, released_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the Terraform CLI configuration file of a mirror whose Terraform uses an AWS provider that runs already.

    A test of the provider's start, of the lock file, or of a Terraform that is killed uses ``provider_mirror``.
    """
    with running_provider(find_provider(released_mirror)) as running:
        yield install_scripts(tmp_path_factory.mktemp("mirror"), released=released_mirror, running=running)


@pytest.fixture(scope="session")
def java_cache() -> Path:
    """Return the user's cache for Java programs and artefacts, with Maven, which fills it, installed."""
    need_packages("maven", program="mvn")
    return default_cache()


@pytest.fixture(scope="session")
def class_archive() -> None:
    """Make the archive from which Spark on the sandbox's machines starts faster, if this user has none yet."""
    make_archive()
