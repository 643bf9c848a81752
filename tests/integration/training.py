"""A cluster of one small worker, whose trainings last, talk or fail as a test asks; and what is kept of its runs."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import urllib.request
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pio_tf.sandbox.control import sandbox_status
from pio_tf.sandbox.sample import make_events
from tests.integration import light_spark, no_spark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox_project import Project

USER, PASSWORD = "trainer", "correct horse battery"
TRAINING = "[Engine$] EngineWorkflow.train"
"""A run's line: Spark has begun, and waits for its executors."""
PIO_WITHOUT_SPARK = "pio-without-spark"
"""The home of :mod:`no_spark`, in the home directory of the driver."""
_EVENTS = 300


def bring_up(project: Project, *, workers: int = 1, spark: bool = True) -> Project:
    """Create it: few workers, small heaps, few events, and an Elasticsearch with a password.

    Args:
        spark: False: no test of the file needs Spark (:mod:`light_spark`, :mod:`no_spark`).
    """
    if not spark:
        (project.sandbox.directory / light_spark.MARK).touch()
    text = project.config.read_text()
    for old, new in (
        ("workers       = 2", f'workers = {workers}\n  executor_memory = "512m"'),
        ("allow_small_memory = true", 'allow_small_memory = true\n  memory = "512m"'),
        ('home  = "~/elasticsearch"', f'home = "~/elasticsearch"\n  user = "{USER}"\n  password = env("ES_PASSWORD")'),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    # The tests of a file share the cluster, and look at a run long after its end.
    project.config.write_text(text + '\ntrain {\n  linger = "1h"\n}\n')
    project.environment["ES_PASSWORD"] = PASSWORD
    project.run("up")
    lines = (json.dumps(event) for event in islice(make_events(), _EVENTS))
    engine(project).joinpath("events.jsonl").write_text("\n".join(lines) + "\n")
    if not spark:
        lay_out_no_spark(project.home("driver"))
        project.config.write_text(project.config.read_text().replace('"~/pio"', f'"~/{PIO_WITHOUT_SPARK}"'))
    return project


@contextlib.contextmanager
def no_spark_in(project: Project) -> Iterator[None]:
    """Let trainings use :mod:`no_spark` during the block, and machines that start meanwhile :mod:`light_spark`."""
    lay_out_no_spark(project.home("driver"))
    with light_machines_in(project), project.edited('"~/pio"', f'"~/{PIO_WITHOUT_SPARK}"'):
        yield


@contextlib.contextmanager
def light_machines_in(project: Project) -> Iterator[None]:
    """Let machines that start during the block use :mod:`light_spark`."""
    mark = project.sandbox.directory / light_spark.MARK
    mark.touch()
    try:
        yield
    finally:
        mark.unlink()


@contextlib.contextmanager
def spark_in(project: Project) -> Iterator[None]:
    """Let machines that start during the block use Spark, though no other test of the file needs it."""
    mark = project.sandbox.directory / light_spark.MARK
    mark.unlink()
    try:
        yield
    finally:
        mark.touch()


def lay_out_no_spark(home: Path) -> None:
    """Lay out :mod:`no_spark` in the home directory of the driver."""
    first, second = (home / name for name in ("pio", PIO_WITHOUT_SPARK))
    if not second.exists():
        shutil.copytree(first, second, ignore=shutil.ignore_patterns("conf"))
        shutil.copyfile(Path(no_spark.__file__), second / "lib" / "java_spark.py")
        (second / "spark" / "bin").mkdir(parents=True)
        shutil.copyfile(first.with_name("spark") / "RELEASE", second / "spark" / "RELEASE")
        python = second / "lib" / "python"
        python.write_text(python.read_text().replace("exec ", 'SPARK_HOME="$PIO_HOME/spark" exec '))
        submit = second / "spark" / "bin" / "spark-submit"
        submit.write_text(no_spark.SUBMIT)
        submit.chmod(0o755)


def end_light_spark(project: Project) -> None:
    """End the small masters and workers, in whose place the machines then start Spark's own, unless no test has it."""
    if (project.sandbox.directory / light_spark.MARK).exists():
        return
    for machine in sandbox_status(project.sandbox.directory).machines:
        for process in project.processes(machine.name, Path(light_spark.__file__).name):
            process.signal(signal.SIGKILL)


def engine(project: Project) -> Path:
    """Return the engine's directory on the driver."""
    return project.home("driver") / "engine"


def behave(project: Project, **how: float | bool | str) -> None:
    """Let trainings behave so from now on: ``"standIn"`` in engine.json."""
    path = engine(project) / "engine.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "standIn": how}))


@contextlib.contextmanager
def frozen(project: Project, name: str, word: str = "") -> Iterator[None]:
    """Freeze the processes of a machine during the block, or those with this word in their command lines."""
    processes = project.processes(name, word)
    assert processes
    for process in processes:
        process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.signal(signal.SIGCONT)


def records(project: Project) -> list[dict[str, Any]]:
    """Return this computer's records, oldest first."""
    paths = sorted((project.directory / ".pio-tf" / "trial" / "runs").glob("*/record.json"))
    return [json.loads(path.read_text()) for path in paths]


def kept_here(project: Project, run: str) -> Path:
    """Return this computer's directory of a run."""
    return project.directory / ".pio-tf" / "trial" / "runs" / run


def kept_there(project: Project, run: str) -> Path:
    """Return the driver's directory of a run."""
    return project.home("driver") / ".pio-tf" / "runs" / run


def listed(project: Project) -> dict[str, dict[str, Any]]:
    """Return the answer of ``pio-tf runs --json``, by id."""
    return {run["id"]: run for run in json.loads(project.run("runs", "--json").stdout)["runs"]}


def run_in(said: str) -> str:
    """Return the id of the first run in a client's output."""
    found = re.search(r"\b[Rr]un (\d{8}T\d{6}Z-[0-9a-f]{4})", said)
    assert found, said
    return found[1]


def applications(project: Project) -> list[str]:
    """Return the applications that Spark's master has running."""
    return [app["id"] for app in fetch(f"http://{project.address('master')}:8080/json/")["activeapps"]]


def fetch(url: str) -> Any:  # noqa: ANN401 - JSON
    """Return the answer of one of Spark's pages."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - http, on loopback
        return json.load(response)


def files(*directories: Path) -> list[Path]:
    """Return all files under directories."""
    found = (path for directory in directories for path in directory.rglob("*"))
    return [path for path in found if path.is_file() and not path.is_symlink()]


def contents(path: Path) -> bytes:
    """Return what a file holds, unless it is a large one: no file of a client's."""
    return path.read_bytes() if path.stat().st_size < 10_000_000 else b""
