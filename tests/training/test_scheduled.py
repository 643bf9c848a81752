"""Trainings on AWS's schedule: the program that a driver runs at each boot. The sandbox's curl tells it the tag."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from werkzeug.serving import make_server
from werkzeug.test import Client as WebClient
from werkzeug.wrappers import Response

from pio_tf.sandbox.home import MachineFiles, metadata_program
from pio_tf.sandbox.processes import MARK, end_processes
from pio_tf.sandbox.services import LocalElasticsearch
from pio_tf.training.after_run import files_after_run
from pio_tf.training.custody.order import files_to_keep_model
from pio_tf.training.proof import Traces
from pio_tf.training.redact import Redactor
from pio_tf.training.runs.driver_runs import KEPT_ON_DRIVER, DriverRun, DriverState, LockHolder, program, read_list
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.scheduled import OWNER, ScheduledTraining
from tests.support import builders
from tests.support.background import wait_until
from tests.support.fixed_answers import Server, spark
from tests.support.places import Webhook
from tests.support.session import context_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TOKEN = "token-1"
OUTPUTS = replace(
    builders.OUTPUTS,
    machines=tuple(
        one if one.role == "worker" else dataclasses.replace(one, private_ip="127.0.0.1")
        for one in builders.OUTPUTS.machines
    ),
)
ADDRESSES = {worker.name: worker.private_ip for worker in OUTPUTS.workers}
SECRET = "pa55word"
PIO = f"""#!/bin/bash
case $1 in
  status)
    [ ! -e ~/slow ] || sleep 600
    [ ! -e ~/broken ] || {{ echo '[ERROR] [Storage$] {SECRET} is refused'; exit 1; }}
    echo 'Your system is all ready to go.' ;;
  train) echo "training with {SECRET}"; sleep "$(cat ~/lasts 2>/dev/null || echo 0)"
    echo 'Training completed successfully.' ;;
esac
"""
SUDO = """#!/bin/bash
case "$*" in
  "-n systemctl poweroff") echo off >>~/off ;;
  "-n tee -a /var/log/pio-tf.log /dev/console") cat >>~/console ;;
esac
"""
JAVA = "#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n"


def workers(*names: str) -> bytes:
    """Return the page of a master that counts these workers ALIVE, and lists the others as DEAD."""
    described: list[dict[str, object]] = [
        {"id": f"worker-{name}", "host": address, "resources": {}, "state": "ALIVE" if name in names else "DEAD"}
        for name, address in ADDRESSES.items()
    ]
    return spark({"url": "spark://m", "workers": described, "activeapps": [], "status": "ALIVE"})


@dataclass
class Driver:
    """A driver's disk, and the services around it."""

    root: Path
    master: Server
    elasticsearch: Server
    zookeeper: Server
    namenode: Server

    def __post_init__(self) -> None:
        self.files = MachineFiles(self.root)
        self.home = self.files.home
        home = self.home
        for directory in ("pio/bin", "spark/bin", "ur/target/scala-2.11", ".pio-tf"):
            (home / directory).mkdir(parents=True)
        self.files.temporary.mkdir()
        self.program("pio", PIO, home / "pio" / "bin")
        self.program("spark-submit", "", home / "spark" / "bin")
        self.program("sudo", SUDO)
        self.program("java", JAVA)
        self.program("curl", metadata_program(self.files))
        (home / "ur" / "engine.json").write_text("{}")
        (home / "ur" / "target" / "scala-2.11" / "engine.jar").write_text("jar")
        self.profile('export PATH="$HOME/../bin:$PATH"\n')
        self.push()

    def program(self, name: str, text: str, directory: Path | None = None) -> None:
        path = (directory or self.files.programs) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def profile(self, text: str) -> None:
        (self.home / ".profile").write_text(text)

    def push(
        self,
        *,
        start_timeout: int = 60,
        after: Mapping[str, str] | None = None,
        models: int = 0,
        **spark: Any,  # noqa: ANN401 - of the block
    ) -> None:
        """Leave there what a client leaves.

        Args:
            models: port of an Elasticsearch with a model that is to be kept.
        """
        config = builders.make_config(
            self.root,
            pio={"home": "~/pio", "engine_dir": "~/ur"},
            spark={"home": "~/spark", "workers": 2, "master_ui_port": self.master.port, **spark},
            cluster={"start_timeout": start_timeout},
            train={"linger": 2, "max_runtime": 3600},
            elasticsearch={"hosts": [f"127.0.0.1:{models or self.elasticsearch.port}"]},
            model={"max_shrink": "30%", "keep_models": 2} if models else {},
            hbase={"hosts": ["127.0.0.1"], "zookeeper_port": self.zookeeper.port},
            hdfs={"namenode": "127.0.0.1", "port": self.namenode.port},
        )
        record = RunRecord(
            id="", cluster="ur", client=Client(OWNER, "driver", 0, ""), command="pio train", engine_dir="~/ur"
        )
        training = ScheduledTraining(
            TOKEN,
            record,
            "~/pio/bin/pio train",
            Redactor([SECRET]),
            {"spark.driver.memory": "64m"},
            after or {},
            files_to_keep_model(context_of(config), Traces("factory", "default", aliases=("ur",))),
        )
        directory = self.home / ".pio-tf" / "scheduled"
        directory.mkdir(exist_ok=True)
        for name, text in training.files(config, OUTPUTS).items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(text)

    def mark(self, ago: timedelta = timedelta(minutes=2), *, token: str = TOKEN) -> str:
        """Mark the instance as AWS does before it starts the machines. Return the time in the mark."""
        due = f"{datetime.now(timezone.utc) - ago:%Y-%m-%dT%H:%M:%SZ}"
        self.files.schedule_mark.write_text(f"{token} {due}")
        return due

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.files.environment("ubuntu"),
            "PATH": f"{self.files.programs}:/usr/bin:/bin",
            MARK: str(self.root),
        }

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/bash", self.home / ".pio-tf" / "scheduled" / "program", "boot"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def boot(self) -> None:
        assert self.start().wait(timeout=120) == 0

    def loses_power(self, booting: subprocess.Popen[bytes]) -> None:
        """End all processes. The boot's own ends first: it must not see the others end and write down why."""
        booting.kill()
        end_processes(self.root)
        booting.wait(timeout=10)

    def state(self) -> DriverState:
        done = subprocess.run(
            ["/bin/bash", "-c", f"{program()}\nlist"], env=self.environment, capture_output=True, text=True, check=True
        )
        return read_list(done.stdout)

    def is_released(self) -> bool:
        """Return whether no run and no client has the lock. The driver itself may, to power itself off."""
        holder = self.state().holder
        return holder is None or holder == LockHolder("stopping", "the driver itself, which nothing has used", "")

    def run(self) -> DriverRun:
        """Return the only run."""
        (run,) = self.state().runs
        return run

    def trained(self) -> RunRecord:
        """Wait for the end of the only run. Return its record."""
        assert wait_until(lambda: self.run().state != "running", within=60)
        return self.run().to_record()

    def goes_off(self) -> bool:
        return wait_until((self.home / "off").exists, within=60)

    def stays_on(self) -> bool:
        time.sleep(5)  # it lingers for two
        return not (self.home / "off").exists()

    def console(self) -> str:
        path = self.home / "console"
        return path.read_text() if path.exists() else ""

    def log(self) -> str:
        return (self.home / ".pio-tf" / "runs" / self.run().id / "log").read_text()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    servers = [
        Server("127.0.0.1", answer) for answer in (workers(*ADDRESSES), b"HTTP/1.0 401", b"Zookeeper", b"HTTP/1.1")
    ]
    yield Driver(tmp_path / "i-0d", *servers)
    for server in servers:
        server.off()
    end_processes(tmp_path / "i-0d")


def test_a_boot_by_the_schedule_trains_and_the_driver_powers_itself_off(driver: Driver) -> None:
    due = driver.mark()
    driver.boot()
    record = driver.trained()
    assert record.state == "succeeded"
    assert (record.scheduled, record.client.owner) == (due, "schedule")
    assert record.deadline > due
    assert driver.log() == "training with ***\nTraining completed successfully.\n"
    assert driver.goes_off()
    assert driver.state().schedule_token == TOKEN


def test_a_boot_by_a_person_changes_nothing(driver: Driver) -> None:
    driver.boot()
    assert driver.state().runs == ()
    assert driver.stays_on()


def test_a_driver_without_any_client_for_months_keeps_its_newest_runs_only(driver: Driver) -> None:
    runs = driver.home / ".pio-tf" / "runs"
    for number in range(KEPT_ON_DRIVER + 2):
        run = runs / f"20200101T0000{number:02}Z-0000"
        run.mkdir(parents=True)
        (run / "ended").touch()
    driver.mark()
    driver.boot()
    assert wait_until(driver.is_released, within=60)
    assert len(list(runs.iterdir())) == KEPT_ON_DRIVER + 1


def test_a_second_boot_with_the_same_mark_changes_nothing(driver: Driver) -> None:
    driver.mark()
    driver.boot()
    driver.trained()
    assert driver.goes_off()
    (driver.home / "off").unlink()
    end_processes(driver.root)
    driver.boot()
    assert driver.trained().state == "succeeded"
    assert driver.stays_on()


def test_a_worker_of_the_drivers_image_does_not_train(driver: Driver) -> None:
    driver.mark()
    driver.program("curl", metadata_program(driver.files).replace('"${root##*/}"', "i-other"))
    driver.boot()
    assert driver.state().runs == ()


@pytest.mark.parametrize("hours", [-9, 30])
def test_a_clock_that_is_wrong_by_hours_is_named_and_the_driver_powers_itself_off(driver: Driver, hours: int) -> None:
    """AWS's metadata service tells the time: the training is due. AWS would refuse the driver's requests."""
    due = driver.mark()
    driver.program("date", f"#!/bin/bash\n{_shifted(hours)}")
    driver.program("sleep", '#!/bin/bash\n[ "$1" = 5 ] || exec /bin/sleep "$@"\n')
    driver.boot()
    record = driver.run().to_record()
    assert (record.state, record.scheduled) == ("failed", due)
    assert record.cause.startswith("failed before it began: clock: the driver is ")
    assert driver.goes_off()


def _shifted(hours: int) -> str:
    return f'[[ "$*" == *-d* ]] && exec /bin/date "$@"\nexec /bin/date -d "{hours} hours" "$@"\n'


def test_a_clock_that_the_time_service_corrects_soon_delays_a_training_only(driver: Driver) -> None:
    driver.mark()
    driver.program("date", f'#!/bin/bash\n[ -e ~/corrected ] && exec /bin/date "$@"\n{_shifted(-9)}')
    driver.program("sleep", '#!/bin/bash\n[ "$1" != 5 ] || { touch ~/corrected; exit; }\nexec /bin/sleep "$@"\n')
    driver.boot()
    assert driver.trained().state == "succeeded"
    assert "waiting until it is corrected" in driver.console()


def test_a_wrong_clock_without_aws_time_is_a_missed_training_and_the_driver_powers_itself_off(driver: Driver) -> None:
    driver.mark(timedelta(hours=9))
    driver.program("curl", metadata_program(driver.files).replace("Date:", "Nodate:"))
    driver.boot()
    cause = driver.run().to_record().cause
    assert cause == (
        "missed: the driver started 540 minutes after it was due, by the driver's own clock, which may be wrong"
    )
    assert driver.goes_off()


def test_a_mark_of_last_week_is_a_missed_training_and_leaves_the_driver_to_who_has_started_it(driver: Driver) -> None:
    due = driver.mark(timedelta(hours=9))
    driver.boot()
    record = driver.run().to_record()
    assert (record.scheduled, record.state, record.started) == (due, "failed", None)
    assert record.cause == "missed: the driver started 540 minutes after it was due"
    assert driver.stays_on()


def test_a_schedule_that_the_driver_does_not_know_is_missed_and_the_driver_powers_itself_off(driver: Driver) -> None:
    driver.mark(token="token-2")
    driver.boot()
    assert driver.run().to_record().cause == "missed: no client has given the driver this schedule yet"
    assert driver.goes_off()


@contextmanager
def locked(driver: Driver, who: str) -> Iterator[None]:
    (driver.home / ".pio-tf" / "holder").write_text(
        json.dumps({"doing": "preparing", "who": who, "run": "r"}) + "\n1 1\n"
    )
    with (driver.home / ".pio-tf" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_client_that_has_the_lock_keeps_the_machines(driver: Driver) -> None:
    driver.mark()
    with locked(driver, "ann on laptop"):
        driver.boot()
        assert driver.stays_on()
    assert driver.run().to_record().cause == "missed: a client uses the machines: ann on laptop"


def test_up_beats_the_schedule_while_spark_is_waited_for(driver: Driver) -> None:
    """`up` removes the tag once it has armed its own deadline."""
    driver.master.answer = workers("worker-1")
    driver.mark()
    booting = driver.start()
    assert wait_until(lambda: driver.state().holder is not None, within=60)
    driver.files.schedule_mark.write_text("")
    assert booting.wait(timeout=60) == 0
    assert driver.run().to_record().cause == "missed: a client has taken the machines over"
    assert driver.state().holder is None
    assert driver.stays_on()


def test_up_beats_the_schedule_on_a_type_whose_metadata_does_not_change_while_it_runs(driver: Driver) -> None:
    driver.master.answer = workers("worker-1")
    driver.mark()
    booting = driver.start()
    assert wait_until(lambda: driver.state().holder is not None, within=60)
    taking = f"{program()}\ntake_over 900\nholder"
    done = subprocess.run(["/bin/bash", "-c", taking], env=driver.environment, capture_output=True, check=True)
    assert done.stdout == b"", "the client can't take the lock next"
    assert booting.wait(timeout=60) == 0
    assert driver.run().to_record().cause == "missed: a client has taken the machines over"
    assert driver.stays_on()


def test_up_beats_the_schedule_during_the_checks(driver: Driver) -> None:
    (driver.home / "slow").touch()
    driver.mark()
    booting = driver.start()
    assert wait_until(lambda: "has its workers" in driver.console(), within=60)
    driver.files.schedule_mark.write_text("")
    assert booting.wait(timeout=60) == 0
    assert driver.run().to_record().cause == "missed: a client has taken the machines over"


def test_down_with_force_ends_the_preparation_at_once(driver: Driver) -> None:
    (driver.home / "slow").touch()
    driver.mark()
    booting = driver.start()
    assert wait_until(lambda: "has its workers" in driver.console(), within=60)
    release = f"{program()}\nrelease\nsleep 0.3\nholder"
    done = subprocess.run(
        ["/bin/bash", "-c", release], env=driver.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    booting.wait(timeout=10)
    assert driver.run().state == "lost"


def test_a_worker_that_never_comes_fails_the_training_and_the_driver_powers_itself_off(driver: Driver) -> None:
    driver.master.answer = workers("worker-1")
    driver.push(start_timeout=60)
    _shorten(driver)
    driver.mark()
    driver.boot()
    assert driver.run().to_record().cause == (
        "failed before it began: after 1 s, Spark's master lacks 1 of its 2 workers: worker-2"
    )
    assert driver.goes_off()


def _shorten(driver: Driver) -> None:
    path = driver.home / ".pio-tf" / "scheduled" / "program"
    path.write_text(path.read_text().replace("\nSTART_TIMEOUT=60\n", "\nSTART_TIMEOUT=1\n"))


def test_a_training_goes_without_a_worker_if_enough_are_there(driver: Driver) -> None:
    driver.master.answer = workers("worker-2")
    driver.push(min_workers=1)
    _shorten(driver)
    driver.mark()
    driver.boot()
    record = driver.trained()
    assert (record.state, record.absent) == ("succeeded", ("worker-1",))


def test_a_master_that_does_not_answer_fails_the_training(driver: Driver) -> None:
    driver.master.off()
    _shorten(driver)
    driver.mark()
    driver.boot()
    assert "Spark's master does not answer at 127.0.0.1:" in driver.run().to_record().cause


def _no_engine(driver: Driver) -> None:
    (driver.home / "ur" / "target" / "scala-2.11" / "engine.jar").unlink()


def _no_zookeeper(driver: Driver) -> None:
    driver.zookeeper.answer = b""


def _no_elasticsearch(driver: Driver) -> None:
    driver.elasticsearch.off()


def _full_disk(driver: Driver) -> None:
    driver.program("df", "#!/bin/sh\necho Avail; echo 102400 99999 99999 /\n")


def _pio_status(driver: Driver) -> None:
    (driver.home / "broken").touch()


@pytest.mark.parametrize(
    ("break_it", "found"),
    [
        (_no_engine, "built: the engine has not been built"),
        (_no_zookeeper, "zookeeper: 127.0.0.1:"),
        (_no_elasticsearch, "elasticsearch: 127.0.0.1:"),
        (_full_disk, "disk: 100 MiB free for /, less than 1024 MiB"),
        (_pio_status, "pio-status: pio status ended with 1: [ERROR] [Storage$] *** is refused"),
    ],
)
def test_a_check_that_fails_is_the_reason_of_a_failed_run(driver: Driver, break_it: Any, found: str) -> None:  # noqa: ANN401
    break_it(driver)
    driver.mark()
    driver.boot()
    record = driver.run().to_record()
    assert record.state == "failed"
    assert record.cause.startswith("failed before it began: a check failed: ")
    assert found in record.cause
    assert found in driver.log()
    assert driver.is_released()
    assert driver.goes_off()


def test_a_driver_that_dies_before_its_run_begins_leaves_a_trace_and_powers_itself_off_after_its_next_boot(
    driver: Driver,
) -> None:
    driver.master.answer = workers()
    due = driver.mark()
    booting = driver.start()
    assert wait_until(lambda: driver.state().holder is not None, within=60)
    driver.loses_power(booting)
    driver.master.answer = workers(*ADDRESSES)
    driver.boot()
    run = driver.run()
    assert (run.state, run.record.scheduled) == ("lost", due)
    assert "the driver restarted during the run" in driver.console()
    assert driver.goes_off()


def test_a_client_can_attach_to_a_scheduled_run(driver: Driver) -> None:
    (driver.home / "lasts").write_text("600")
    driver.mark()
    driver.boot()
    state = driver.state()
    assert state.holder is not None
    assert (state.holder.doing, state.holder.run) == ("running", state.runs[0].id)
    assert "the schedule of AWS" in state.holder.who


def test_no_secret_stays_in_a_run_that_did_not_begin(driver: Driver) -> None:
    (driver.home / "broken").touch()
    driver.mark()
    driver.boot()
    directory = driver.home / ".pio-tf" / "runs" / driver.run().id
    assert all(SECRET not in path.read_text() for path in directory.iterdir() if path.is_file())


@pytest.mark.parametrize("begins", [True, False])
def test_the_driver_tells_who_asked_what_came_of_it(driver: Driver, begins: bool) -> None:
    webhook = Webhook()
    with webhook.serve() as url:
        config = builders.make_config(driver.root, notify={"webhook": url, "on": ["failed", "succeeded"]})
        driver.push(after=files_after_run(context_of(config), instance_types=["r3.xlarge"]))
        if not begins:
            (driver.home / "broken").touch()
        driver.mark()
        driver.boot()
        assert wait_until(lambda: bool(webhook.documents), within=60)
        assert driver.goes_off()
    (document,) = webhook.documents
    if begins:
        assert document["event"] == "succeeded"
    else:
        assert (document["event"], document["cause"]) == ("failed", driver.run().to_record().cause)
    directory = driver.home / ".pio-tf" / "runs" / driver.run().id
    assert not [path for path in directory.iterdir() if path.is_file() and url in path.read_text()]


@pytest.mark.parametrize("begins", [True, False])
def test_a_scheduled_run_that_a_restart_of_the_driver_ends_is_told_as_lost(driver: Driver, begins: bool) -> None:
    webhook = Webhook()
    with webhook.serve() as url:
        config = builders.make_config(driver.root, notify={"webhook": url, "on": ["lost"]})
        driver.push(after=files_after_run(context_of(config), instance_types=["r3.xlarge"]))
        (driver.home / "lasts").write_text("600")
        if not begins:
            driver.master.answer = workers()
        driver.mark()
        booting = driver.start()
        assert wait_until(lambda: driver.state().holder is not None, within=60)
        if begins:
            booting.wait(timeout=60)
        driver.loses_power(booting)
        run = driver.home / ".pio-tf" / "runs" / driver.run().id
        if begins:
            process = run / "process"
            process.write_text(process.read_text().replace(boot_id(), "the-boot-before"))
            (run / "follower").write_text("999999999\n")
        driver.boot()
        assert wait_until(lambda: bool(webhook.documents), within=60)
        assert driver.goes_off()
    (document,) = webhook.documents
    assert (document["event"], document["run"]) == ("lost", run.name)
    assert document["cause"] == "the driver restarted, or lost its power"
    assert not [path for path in run.iterdir() if path.is_file() and url in path.read_text()]


def test_a_clients_run_that_a_restart_ends_is_told_too_and_the_driver_powers_itself_off_later(driver: Driver) -> None:
    webhook = Webhook()
    linger = driver.home / ".pio-tf" / "linger"

    def restart(before: str) -> None:
        end_processes(driver.root)
        linger.write_text(linger.read_text().replace(boot_id(), before))
        driver.boot()

    with webhook.serve() as url:
        config = builders.make_config(driver.root, notify={"webhook": url, "on": ["lost"]})
        driver.push(after=files_after_run(context_of(config), instance_types=["r3.xlarge"]))
        (driver.home / "lasts").write_text("600")
        driver.mark()
        driver.boot()
        run = driver.run()
        driver.files.schedule_mark.write_text("")  # as a run that a client began
        process = driver.home / ".pio-tf" / "runs" / run.id / "process"
        process.write_text(process.read_text().replace(boot_id(), "the-first-boot"))
        restart("the-first-boot")
        assert linger.read_text() == f"60 {boot_id()}\n", "a client that has started it may wait for so long"
        assert wait_until(lambda: bool(webhook.documents), within=60)
        restart("the-second-boot")
        assert "the-second-boot" in linger.read_text(), "only the first boot after it"
    (document,) = webhook.documents
    assert (document["event"], document["run"]) == ("lost", run.id)


@dataclass
class Models:
    """An Elasticsearch with a model of three documents behind the alias ``ur``."""

    port: int = 0
    task: dict[str, Any] | None = None
    """Its answer about every copy, if not the true one."""
    application: LocalElasticsearch = field(default_factory=LocalElasticsearch)

    def __post_init__(self) -> None:
        self.ask("PUT", "/ur_1795461001000", {"aliases": {"ur": {}}, "mappings": {"items": {}}})
        for number in range(3):
            self.ask("PUT", f"/ur_1795461001000/items/i{number}", {"id": f"i{number}"})

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        return WebClient(self.application).open(path, method=method, json=body).json

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI
        if environ["PATH_INFO"].startswith("/_tasks/") and environ["REQUEST_METHOD"] == "GET" and self.task:
            return Response(json.dumps(self.task))(environ, start_response)
        return self.application(environ, start_response)

    def copies(self) -> list[str]:
        return [name for name in self.ask("GET", "/_alias") if name.startswith("pio-tf-model-")]


@pytest.fixture
def models(driver: Driver) -> Iterator[Models]:
    models = Models()
    server = make_server("127.0.0.1", 0, models, threaded=True)
    models.port = server.port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    driver.program("python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    driver.push(models=models.port)
    yield models
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_model_that_is_served_is_kept_before_a_scheduled_training(driver: Driver, models: Models) -> None:
    driver.mark()
    driver.boot()
    record = driver.trained()
    (copy,) = models.copies()
    assert copy == f"pio-tf-model-ur-{record.id.lower()}"
    assert record.state == "succeeded"
    assert record.custody == {"documents": {"ur": 3}, "kept": {"ur": copy}, "put_back": {}}


def test_a_model_that_cannot_be_kept_fails_the_training_before_it_begins(driver: Driver, models: Models) -> None:
    models.task = {"completed": True, "response": {"failures": [{"cause": {"reason": f"no disk for {SECRET}"}}]}}
    driver.mark()
    driver.boot()
    record = driver.run().to_record()
    cause = "failed before it began: model: Elasticsearch could not copy all documents: no disk for ***"
    assert (record.state, record.started, record.cause) == ("failed", None, cause)
    assert models.copies() == []
    assert driver.goes_off()


@pytest.mark.parametrize("command", ["up", "down --force"])
def test_a_client_that_takes_the_machines_over_ends_a_copy(driver: Driver, models: Models, command: str) -> None:
    models.task = {"completed": False}
    driver.mark()
    booting = driver.start()
    assert wait_until(lambda: bool(models.copies()), within=60)
    if command == "up":
        driver.files.schedule_mark.write_text("")
    else:
        release = ["/bin/bash", "-c", f"{program()}\nrelease"]
        subprocess.run(release, env=driver.environment, check=True)
    booting.wait(timeout=60)
    assert wait_until(lambda: not models.copies(), within=60)
    if command == "up":
        assert driver.run().to_record().cause == "missed: a client has taken the machines over"
    else:
        assert driver.run().state == "lost"


def test_a_driver_without_python_trains_without_a_copy_and_says_so(driver: Driver, models: Models) -> None:
    driver.program("python3", "#!/bin/sh\nexit 127\n")
    driver.mark()
    driver.boot()
    record = driver.trained()
    assert (record.state, record.custody) == ("succeeded", {})
    assert "model: the driver has no Python 3.6 or later, so that it does not keep the model" in driver.console()


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
