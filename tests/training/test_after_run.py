"""What follows a run on the driver, over real SSH: the message if no client sends it, and commands after a success."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.aws.session import Aws
from pio_tf.context import ClusterContext
from pio_tf.errors import TrainingFailed
from pio_tf.events import Event, Warned
from pio_tf.remote.ssh import ClusterConnection
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.after_run import files_after_run
from pio_tf.training.redact import Redactor
from pio_tf.training.runs.driver_lock import hold_driver_lock
from pio_tf.training.runs.driver_runs import DriverRuns, renewing, runner
from pio_tf.training.runs.record import RunRecord, new_run_id
from pio_tf.training.runs.run_copies import Archive
from pio_tf.training.runs.run_storage import read_saved_log
from tests.support.background import until
from tests.support.driver_runs import ANN, SUCCESS, make_finish
from tests.support.places import TOKEN, Webhook, local_client, make_topic, serving
from tests.support.ssh_cluster import QUICK, TestCluster, put_first_on_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime
    from pathlib import Path

SUDO = """#!/bin/bash
case "$*" in
  "-n systemctl poweroff") date +%s >>~/off ;;
  "-n tee -a /var/log/pio-tf.log /dev/console") cat >>~/console ;;
esac
"""
GRACE = 2
TYPES = ["r3.xlarge", "r3.xlarge"]


@pytest.fixture(autouse=True)
def sudo(tmp_path: Path, no_ssh_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_on_path("sudo", SUDO, tmp_path, monkeypatch)


@pytest.fixture
async def remote(cluster: TestCluster) -> AsyncIterator[ClusterConnection]:
    async with ClusterConnection(cluster.config(), cluster.targets(), retry=QUICK) as remote:
        yield remote


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


@pytest.fixture
def url(webhook: Webhook) -> Iterator[str]:
    with webhook.serve() as url:
        yield url


def files(cluster: TestCluster, *, metadata: str = "", **blocks: dict[str, Any]) -> dict[str, str]:
    """Return the files for what follows a run, with less patience for a client that may come.

    Args:
        metadata: address of the metadata service.
    """
    config = cluster.config(**blocks)
    events: list[Event] = []

    def now() -> datetime:
        raise AssertionError

    context = ClusterContext(config, events.append, Aws(config), {}, time.monotonic, time.sleep, now)
    made = files_after_run(context, instance_types=TYPES)
    assert not events
    program = runner().replace("grace=10", f"grace={GRACE}")
    return made | {
        "program": f"export AWS_EC2_METADATA_SERVICE_ENDPOINT={metadata}\n{program}" if metadata else program
    }


async def begin(
    remote: ClusterConnection, command: str, after: dict[str, str], *, linger: int | None = None
) -> RunRecord:
    """Start a run and leave it, as `--detach` does."""
    record = RunRecord(id=new_run_id(), cluster="ur", client=ANN, command=command, engine_dir="/engine")
    async with hold_driver_lock(remote, ANN, doing="preparing", run=record.id, linger=linger) as lock:
        redactor = Redactor(["hunter2"]).in_perl()
        await DriverRuns(remote).prepare(record, command=command, redactor=redactor, after=after)
        await lock.start(record.id)
    return record


def directory(cluster: TestCluster, run: RunRecord) -> Path:
    return cluster.driver.home / ".pio-tf" / "runs" / run.id


async def ended(cluster: TestCluster, run: RunRecord) -> None:
    await until((directory(cluster, run) / "ended").exists)


async def message_of(webhook: Webhook) -> dict[str, Any]:
    await until(lambda: bool(webhook.documents), within=60)
    (document,) = webhook.documents
    return document


async def test_the_driver_sends_the_message_about_a_run_that_no_client_follows(
    cluster: TestCluster, remote: ClusterConnection, webhook: Webhook, url: str
) -> None:
    run = await begin(remote, f"sleep 1; {SUCCESS}", files(cluster, notify={"webhook": url}))
    document = await message_of(webhook)
    assert document.pop("text").splitlines()[:2] == [
        "pio-tf: ur (eu-west-1): the training succeeded",
        "PredictionIO says so. No client has looked at the model.",
    ]
    seconds = document.pop("seconds")
    assert 1 <= seconds < 60
    assert document == {
        "cluster": "ur",
        "region": "eu-west-1",
        "event": "succeeded",
        "what": "PredictionIO says so. No client has looked at the model.",
        "cause": "",
        "next_step": f"`pio-tf logs {run.id}` shows the log",
        "run": run.id,
        "cost_usd": pytest.approx(2 * 0.333 * seconds / 3600),
        "model": "",
    }
    facts = await DriverRuns(remote).one(run.id)
    assert (facts.state, facts.told_by, facts.untold) == ("succeeded", "driver", "")


async def test_the_webhooks_address_leaves_the_disk_as_the_run_starts(
    cluster: TestCluster, remote: ClusterConnection, url: str
) -> None:
    run = await begin(remote, "sleep 600", files(cluster, notify={"webhook": url}))
    found = [path for path in cluster.driver.home.rglob("*") if path.is_file()]
    assert directory(cluster, run) / "run_message.py" in found
    assert not [path for path in found if TOKEN.encode() in path.read_bytes()]
    await DriverRuns(remote).cancel(run.id, who="ann", patience=1)


async def test_a_client_that_dies_before_its_run_leaves_no_address_on_the_disk(
    cluster: TestCluster, remote: ClusterConnection, url: str
) -> None:
    record = RunRecord(id=new_run_id(), cluster="ur", client=ANN, command="true", engine_dir="/engine")
    after = files(cluster, notify={"webhook": url})
    async with hold_driver_lock(remote, ANN, doing="preparing", run=record.id):
        await DriverRuns(remote).prepare(record, command="true", redactor="", after=after)
        assert (directory(cluster, record) / "notify").stat().st_mode & 0o777 == 0o600
    await until(lambda: not (directory(cluster, record) / "notify").exists())


async def test_the_client_that_follows_a_run_sends_its_message_and_the_driver_does_not(
    cluster: TestCluster, remote: ClusterConnection, webhook: Webhook, url: str, tmp_path: Path
) -> None:
    run = await begin(remote, f"sleep 1; {SUCCESS}", files(cluster, notify={"webhook": url}))
    async with renewing(remote, run=run.id):
        record = await make_finish(remote, tmp_path, tells=True).follow(run.id)
    assert record.told_by == "client"
    await until(lambda: not notifying(cluster))
    assert webhook.documents == []


async def test_the_driver_waits_for_a_client_that_follows_a_run_but_not_for_one_that_is_gone(
    cluster: TestCluster, remote: ClusterConnection, webhook: Webhook, url: str
) -> None:
    run = await begin(remote, SUCCESS, files(cluster, notify={"webhook": url}))
    await DriverRuns(remote).renew(90, run=run.id)
    await ended(cluster, run)
    time.sleep(GRACE + 2)
    assert webhook.documents == []
    assert notifying(cluster)
    follower = directory(cluster, run) / "follower"
    follower.write_text(f"{int(follower.read_text()) - 90}\n")  # it was killed 90 s ago
    assert (await message_of(webhook))["event"] == "succeeded"


async def test_a_client_that_comes_later_does_not_send_the_drivers_message_again(
    cluster: TestCluster, remote: ClusterConnection, webhook: Webhook, url: str, tmp_path: Path
) -> None:
    run = await begin(remote, SUCCESS, files(cluster, notify={"webhook": url}))
    await message_of(webhook)
    record = await make_finish(remote, tmp_path, tells=True).follow(run.id)
    assert record.told_by == "driver"
    record = await make_finish(remote, tmp_path, tells=True).follow(run.id)  # its verdict is on the driver now
    assert record.told_by == "driver"


@pytest.mark.parametrize(
    ("command", "event", "cause"),
    [
        (
            "echo '[ERROR] [X] password=hunter2 is refused'; echo bye; exit 3",
            "failed",
            "exit status 3: [ERROR] [X] pas",
        ),
        ("echo one; exit 0", "failed", "exit status 0: one"),
        ("exit 1", "failed", "exit status 1: the log is empty"),
        ("touch ready; sleep 600 # cancel", "failed", "it was cancelled by bob on ci"),
        ("touch ready; sleep 600 # kill", "lost", "its process disappeared: it was killed"),
    ],
)
async def test_every_other_end_is_told_with_its_cause_and_without_secrets(
    cluster: TestCluster, remote: ClusterConnection, webhook: Webhook, url: str, command: str, event: str, cause: str
) -> None:
    run = await begin(remote, command, files(cluster, notify={"webhook": url}))
    if "# cancel" in command:
        await DriverRuns(remote).cancel(run.id, who="bob on ci", patience=1)
    if "# kill" in command:
        os.kill(int((directory(cluster, run) / "process").read_text().split()[0]), signal.SIGKILL)
    document = await message_of(webhook)
    assert document["event"] == event
    assert document["cause"].startswith(cause)
    assert "hunter2" not in json.dumps(document)


async def test_only_the_results_that_are_asked_for_are_told(
    cluster: TestCluster, remote: ClusterConnection, webhook: Webhook, url: str
) -> None:
    run = await begin(remote, SUCCESS, files(cluster, notify={"webhook": url, "on": ["failed"]}))
    await until(lambda: (directory(cluster, run) / "told").is_symlink(), within=60)
    await until(lambda: not notifying(cluster), within=60)
    assert (await DriverRuns(remote).one(run.id)).told_by == "driver"
    assert webhook.documents == []


async def test_a_webhook_that_hangs_holds_up_the_power_off_for_seconds_and_the_next_client_is_told(
    cluster: TestCluster, remote: ClusterConnection, tmp_path: Path
) -> None:
    with drips() as url:
        run = await begin(remote, "exit 1", files(cluster, notify={"webhook": url}), linger=1)
        written = cluster.driver.home / "off"
        await until(lambda: written.exists() and written.read_text() != "", within=60)
    off = int(written.read_text().split()[0])
    facts = await DriverRuns(remote).one(run.id)
    assert facts.untold == "webhook: no answer within 10 s"
    assert facts.ending is not None
    assert 10 <= off - facts.ending.time < 10 + GRACE + 8
    events: list[Event] = []
    with pytest.raises(TrainingFailed):
        await make_finish(remote, tmp_path, events.append).follow(run.id)
    assert [event.message for event in events if isinstance(event, Warned)] == [
        f"the driver could not send the message about run {run.id}: webhook: no answer within 10 s"
    ]


@pytest.mark.parametrize(("status", "problem"), [(410, "webhook: HTTP 410 Gone"), (302, "webhook: HTTP 302 Found")])
async def test_a_webhook_that_refuses_is_a_problem_without_its_address(
    cluster: TestCluster, remote: ClusterConnection, status: int, problem: str
) -> None:
    with Webhook(status=status).serve() as url:
        run = await begin(remote, SUCCESS, files(cluster, notify={"webhook": url}))
        await until(lambda: (directory(cluster, run) / "notify.problem").exists(), within=60)
        await until(lambda: not notifying(cluster))
    assert (await DriverRuns(remote).one(run.id)).untold == problem


async def test_the_driver_signs_with_its_instance_profile_for_a_topic(
    cluster: TestCluster, remote: ClusterConnection
) -> None:
    with LocalAws() as aws, metadata() as (address, requests):
        topic = make_topic(local_client("sns", aws.url), local_client("sqs", aws.url))
        blocks: dict[str, Any] = {"aws": {"endpoint_url": aws.url}, "notify": {"sns_topic": topic.arn}}
        run = await begin(remote, "echo '[ERROR] no'; exit 1", files(cluster, metadata=address, **blocks))
        await until(lambda: (directory(cluster, run) / "told").is_symlink(), within=60)
        await until(lambda: not notifying(cluster), within=60)
        assert (await DriverRuns(remote).one(run.id)).untold == ""
        message = topic.message
    assert message["Subject"] == "pio-tf: ur (eu-west-1): the training failed"
    assert "cause: exit status 1: [ERROR] no" in message["Message"].splitlines()
    assert requests == ["PUT /latest/api/token", *(f"GET {ROLES}{name}" for name in ("", "driver"))]


async def test_a_driver_without_an_instance_profile_says_so(cluster: TestCluster, remote: ClusterConnection) -> None:
    with metadata(role="") as (address, _):
        topic = "arn:aws:sns:eu-west-1:123456789012:trainings"
        run = await begin(remote, "exit 1", files(cluster, metadata=address, notify={"sns_topic": topic}))
        await until(lambda: (directory(cluster, run) / "notify.problem").exists(), within=60)
        await until(lambda: not notifying(cluster))
    assert (await DriverRuns(remote).one(run.id)).untold == "sns_topic: the driver has no instance profile"


def test_the_drivers_program_is_for_its_python_too() -> None:
    for name in ("durations.py", "training/runs/run_message.py"):
        source = resources.files("pio_tf").joinpath(name).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 6))
        assert "from __future__" not in source  # 3.7 has its annotations


async def test_commands_run_after_a_success_with_a_log_of_their_own(
    cluster: TestCluster, remote: ClusterConnection, tmp_path: Path
) -> None:
    after = files(cluster, train={"on_success": ["echo reloaded with password=hunter2", "echo 'all' \"good\""]})
    run = await begin(remote, SUCCESS, after)
    record = await make_finish(remote, tmp_path).follow(run.id)
    assert (record.state, record.on_success) == ("succeeded", 0)
    archive, lines = Archive(tmp_path / "runs"), list[str]()
    assert archive.on_success_log(run.id).read_text() == "reloaded with password=***\nall good\n"
    read_saved_log(run.id, archive, None, lines.append)
    assert lines[1:] == ["reloaded with password=***\nall good\n"]
    assert json.loads((archive.directory / run.id / "record.json").read_text())["on_success"] == 0


@pytest.mark.parametrize(
    ("commands", "status", "last"),
    [(["echo no server; exit 7", "echo never"], 7, "no server"), (["echo slow; sleep 600"], 124, "slow")],
)
async def test_a_command_that_fails_or_takes_too_long_is_a_warning_and_the_training_stays_succeeded(
    cluster: TestCluster, remote: ClusterConnection, tmp_path: Path, commands: list[str], status: int, last: str
) -> None:
    after = files(cluster, train={"on_success": commands, "on_success_timeout": 3})
    run = await begin(remote, SUCCESS, after)
    events: list[Event] = []
    record = await make_finish(remote, tmp_path, events.append).follow(run.id)
    assert (record.state, record.on_success) == ("succeeded", status)
    (warning,) = [event.message for event in events if isinstance(event, Warned)]
    assert warning.splitlines()[0] == f"a command of train.on_success failed with exit status {status}: {last}"
    assert "never" not in Archive(tmp_path / "runs").on_success_log(run.id).read_text()


@pytest.mark.parametrize("command", ["exit 1", "echo no success line", f"{SUCCESS}; exit 1"])
async def test_no_command_runs_after_a_failure(
    cluster: TestCluster, remote: ClusterConnection, tmp_path: Path, command: str
) -> None:
    run = await begin(remote, command, files(cluster, train={"on_success": ["touch ~/ran"]}))
    with pytest.raises(TrainingFailed):
        await make_finish(remote, tmp_path).follow(run.id)
    assert not (cluster.driver.home / "ran").exists()
    assert (await DriverRuns(remote).one(run.id)).on_success is None


async def test_the_run_is_active_while_its_commands_run_and_to_cancel_them_leaves_it_succeeded(
    cluster: TestCluster, remote: ClusterConnection, tmp_path: Path
) -> None:
    run = await begin(remote, SUCCESS, files(cluster, train={"on_success": ["touch ~/ran; sleep 600"]}))
    await until((cluster.driver.home / "ran").exists)
    state = await DriverRuns(remote).state()
    assert state.runs[0].state == "running"
    assert state.holder is not None
    record = await make_finish(remote, tmp_path).cancel(run.id, who="bob", patience=1)
    assert (record.state, record.cancelled_by) == ("succeeded", "")
    assert record.on_success is not None
    assert record.on_success > 0


async def test_the_drivers_message_names_a_command_that_failed(
    cluster: TestCluster, remote: ClusterConnection, webhook: Webhook, url: str
) -> None:
    blocks: dict[str, Any] = {"notify": {"webhook": url}, "train": {"on_success": ["exit 7"]}}
    await begin(remote, SUCCESS, files(cluster, **blocks))
    document = await message_of(webhook)
    assert document["event"] == "succeeded"
    assert document["cause"] == "a command of train.on_success failed: exit status 7"


def notifying(cluster: TestCluster) -> bool:
    """Return whether a process on the driver sends a message, or may."""
    import fcntl

    with (cluster.driver.home / ".pio-tf" / "notifying").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def drips() -> Iterator[str]:
    """Yield the address of a webhook that answers with a byte a second."""
    end = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):  # the client goes first
            while not end.wait(1):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/services/{TOKEN}"
        finally:
            end.set()


ROLES = "/latest/meta-data/iam/security-credentials/"


@contextmanager
def metadata(role: str = "driver") -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a metadata service (IMDSv2), and its requests."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self._answer("a-token")

        def do_GET(self) -> None:
            assert self.headers["X-aws-ec2-metadata-token"] == "a-token"
            keys = {"AccessKeyId": "ASIA", "SecretAccessKey": "secret", "Token": "session"}
            self._answer(role if self.path == ROLES else json.dumps(keys))

        def _answer(self, body: str) -> None:
            requests.append(f"{self.command} {self.path}")
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url, requests
