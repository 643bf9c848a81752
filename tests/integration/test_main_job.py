"""The main job, end to end: real Terraform and provider, SSH, Spark; only AWS and PredictionIO are stood in for.

The tests share one cluster, in the order of the file: creating it is what takes the time. Each brings the machines
into the state that it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from pio_tf import Cluster
from pio_tf.events import Event, MachineProgress
from pio_tf.sandbox.processes import find_processes
from pio_tf.sandbox.spark_daemon import MASTER_PORT, MASTER_UI_PORT
from scripts.recording import GAP, PICTURE, read_lines
from tests.integration.training import TRAINING, applications, behave, fetch, kept_there, records
from tests.sandbox.machines import SSH_PORT, is_free
from tests.support.background import wait_until
from tests.support.fork_server import PIO_TF, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ec2.type_defs import TagTypeDef

    from tests.support.sandbox_project import Project


CIDR = "127.77.231.0/24"
LONG = 300
"""Seconds: longer than any test waits."""


async def log_in(project: Project) -> asyncssh.SSHClientConnection:
    """Connect to the driver over SSH."""
    return await asyncssh.connect(
        project.address("driver"),
        project.sandbox.ssh_port,
        username=project.sandbox.ssh_user,
        client_keys=[str(next((project.directory / ".pio-tf").rglob("*.pub")).with_suffix(""))],
        known_hosts=None,
    )


async def on_driver(project: Project, command: str) -> str:
    """Return the output of a command on the driver, over SSH."""
    async with await log_in(project) as connection:
        done = await connection.run(command, check=True)
    return str(done.stdout)


def sparks_secret(project: Project) -> str:
    """Return the secret that the driver keeps for all clients."""
    return (project.home("driver") / ".pio-tf" / "spark-secret").read_text()


async def refused(project: Project, *options: str) -> str:
    """Train with these options of spark-submit until the master has refused it. Return the output so far."""
    train = f"pio/bin/pio train -- --master spark://{project.address('master')}:{MASTER_PORT} {' '.join(options)}"
    async with (
        await log_in(project) as connection,
        connection.create_process(f". ~/.profile; cd engine; exec ../{train} 2>&1") as process,
    ):
        said = await asyncio.wait_for(process.stdout.readuntil("Failed to connect to master"), 120)
        said += await asyncio.wait_for(process.stdout.readuntil("... 1 more"), 120)
        process.terminate()
    return str(said)


def lines_only_in_the_readme(printed: str) -> list[str]:
    """Return the lines of the README's picture that a training does not print, whatever its numbers, times and ids."""

    def form(text: str) -> str:
        return re.sub(r"[\w-]*\d[\w.:-]*( (h|min|s)\b)?|[\w-]{18,}", "0", text).replace("0 0", "0")

    real = [form(line) for line in printed.splitlines()]
    shown = [line for line in read_lines(PICTURE.read_text(encoding="utf-8"))[1:] if line != GAP]
    forms = {line: form(line.removeprefix("✓ ").removesuffix("…")) for line in shown}
    return [line for line in shown if not any(one.startswith(forms[line]) for one in real)]


@contextlib.contextmanager
def spark_ui(project: Project, *arguments: str, **environment: str) -> Iterator[dict[str, Any]]:
    """Run `pio-tf ui`; yield its pages by name. Ctrl-C ends it."""
    with Program(
        [PIO_TF, "ui", "--json", *arguments],
        cwd=project.directory,
        env=project.environment | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                break
        try:
            yield {page["name"]: page for page in json.loads(text)["pages"]}
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130


def get(url: str, path: str) -> bytes:
    """Return the page that a browser gets."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read()


def executors(project: Project) -> int:
    """Return the number of executors that the Spark driver has."""
    at = f"http://{project.address('driver')}:4040/api/v1/applications"
    try:
        application = fetch(at)[0]["id"]
        return len([one for one in fetch(f"{at}/{application}/executors") if one["id"] != "driver"])
    except OSError:  # it is starting
        return 0


def test_up_creates_the_cluster_and_waits_until_spark_has_every_worker(project: Project) -> None:
    done = project.run("up")
    machines = project.machines()
    assert list(machines) == ["driver", "master", "worker-1", "worker-2"]
    assert project.states() == {"running"}
    assert [machines[name]["spark_alive"] for name in ("worker-1", "worker-2")] == [True, True]
    assert "2 of 2 workers" in done.stderr
    assert is_free("127.0.0.1", MASTER_PORT), "the master listens elsewhere than on its own address"


def test_a_second_up_creates_starts_and_writes_nothing(project: Project) -> None:
    before = project.machines()
    done = project.run("up")
    assert project.machines() == before
    assert "Planning" not in done.stderr
    assert "Starting" not in done.stderr
    assert "the driver is configured" in done.stderr


def test_a_plan_right_after_up_finds_no_changes(project: Project) -> None:
    done = project.run("plan", "--detailed-exitcode")
    assert "no changes" in done.stdout


def test_apply_on_a_finished_cluster_changes_nothing_and_says_what_runs(project: Project) -> None:
    before = project.machines()
    done = project.run("apply")
    assert {name: machine["since"] for name, machine in project.machines().items()} == {
        name: machine["since"] for name, machine in before.items()
    }
    assert "4 machines run and are billed" in done.stderr


async def test_the_driver_has_the_files_that_config_show_shows(project: Project) -> None:
    shown = project.run("config", "show", "pio-env.sh").stdout
    assert "PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch" in shown
    assert await on_driver(project, "cat pio/conf/pio-env.sh") == shown
    everything = project.run("config", "show").stdout
    for name in ("pio-env.sh", "core-site.xml", "hbase-site.xml", "spark-defaults.conf"):
        assert name in everything
    assert "there is no file 'pio.sh'" in project.run("config", "show", "pio.sh", exit_code=2).stderr


async def test_what_is_changed_on_the_driver_is_put_right_by_a_push(project: Project) -> None:
    await on_driver(project, "echo 'PIO_BROKEN=1' >> pio/conf/pio-env.sh")
    assert "pio-env.sh" in project.run("config", "push").stderr
    assert "PIO_BROKEN" not in await on_driver(project, "cat pio/conf/pio-env.sh")


def test_ui_brings_sparks_pages_here(project: Project) -> None:
    with spark_ui(project, "--worker", "2") as pages:
        assert list(pages) == ["master", "application", "worker-2"]
        assert pages["application"]["answers"] is False
        workers = json.loads(get(pages["master"]["url"], "/json/"))["workers"]
        assert sorted((one["host"], one["cores"], one["memory"]) for one in workers) == [
            (project.address(name), 2, 3072) for name in ("worker-1", "worker-2")
        ]
        assert b"Spark Worker" in get(pages["worker-2"]["url"], "/")


async def test_no_program_without_the_secret_runs_code_on_the_workers(project: Project) -> None:
    """The same training with the secret has executors there: see the next test."""
    master, *workers = (project.home(name).parent for name in ("master", "worker-1", "worker-2"))
    secret = sparks_secret(project)
    assert len(secret) > 16
    assert is_free(project.address("master"), 6066), "Spark's REST server takes submissions without the secret"
    for path in (master / "spark-secret", *(one / "spark" / "spark.conf" for one in (master, *workers))):
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        assert secret in path.read_text()
    (project.home("driver") / "no.conf").touch()
    without, _ = await asyncio.gather(
        refused(project, "--properties-file", "../no.conf"),
        refused(project, "--conf", "spark.authenticate.secret=another"),
    )
    assert "Expected SaslMessage" in without
    page = fetch(f"http://{project.address('master')}:{MASTER_UI_PORT}/json/")
    assert (page["activeapps"], page["completedapps"]) == ([], [])


def test_a_cancelled_run_leaves_no_process_and_no_executor(project: Project) -> None:
    behave(project, pauseSeconds=LONG)
    project.run("train", "--detach")
    with project.start("train", "--attach", "--keep-up") as follower:
        follower.says(TRAINING)
        assert wait_until(lambda: executors(project) == 2)
        assert is_free("127.0.0.1", 4040), "Spark's page is elsewhere than on the driver's own address"
        (application,) = fetch(f"http://{project.address('driver')}:4040/api/v1/applications")
        assert application["name"] == "PredictionIO Training: com.actionml.RecommendationEngine"
        *_, active = records(project)
        usage = kept_there(project, active["id"]) / "usage"
        assert wait_until(lambda: usage.exists() and json.loads(usage.read_text()).get("executors") == 2, within=60)
        cancelled = json.loads(project.run("cancel", "--json").stdout)
        said = follower.ends(6)
    behave(project)
    me = f"{getpass.getuser()} on {socket.gethostname()}"
    assert cancelled["state"] == "cancelled"
    assert cancelled["cancelled_by"].startswith(me)
    figures = cancelled["usage"]
    assert (figures["executors"], figures["cores"], figures["cluster_cores"]) == (2, 4, 4)
    assert figures["spark"].startswith("3.5.")
    assert figures["seen_seconds"] > 0
    heaps = {
        name: int(mib) * 2**20 for name, mib in re.findall(r"--(driver|executor)-memory (\d+)m", cancelled["command"])
    }
    assert heaps == {name: figures[f"{name}_heap_bytes"] for name in ("driver", "executor")}
    assert wait_until(lambda: not project.processes("driver", "run_usage"))
    assert f"run {cancelled['id']} was cancelled by {me}" in said
    assert project.processes("driver", "pio") == []
    assert applications(project) == []
    assert wait_until(lambda: not project.processes("worker-1", "CoarseGrainedExecutorBackend"))
    assert f"run {cancelled['id']} has ended already: cancelled" in project.run("cancel", cancelled["id"]).stderr
    assert TRAINING in project.run("logs").stdout
    for name in ("master", "worker-1", "worker-2"):
        assert sparks_secret(project) not in (project.home(name).parent / "spark.log").read_text()
    assert project.powers() == {"running"}
    written = Path(json.loads(project.run("report", "--json").stdout)["path"])
    page = written.read_text(encoding="utf-8")
    assert all(record["id"] in page for record in records(project))
    assert f"was cancelled by {me}" in page


def test_the_python_api_does_what_the_commands_do(project: Project) -> None:
    events: list[Event] = []
    cluster = Cluster.load(project.config, reporter=events.append, environ=project.environment)
    assert {machine.state for machine in cluster.down()} == {"stopped"}
    assert wait_until(lambda: not find_processes(project.sandbox.directory / "machines"))
    assert all(is_free(project.address(name), SSH_PORT) for name in ("driver", "master", "worker-1", "worker-2"))
    assert is_free(project.address("master"), MASTER_PORT)
    assert [event for event in events if isinstance(event, MachineProgress)]
    assert {machine.state for machine in cluster.status().machines} == {"stopped"}
    assert cluster.outputs().driver.private_ip == cluster.status().machines[0].private_ip


def test_train_leaves_a_model_and_stopped_machines_though_a_worker_dies(project: Project) -> None:
    project.run("down")
    behave(project, pauseSeconds=10)
    with project.start("train") as client:
        client.says(TRAINING)
        assert wait_until(lambda: executors(project) == 2)
        worker = project.address("worker-1")
        for process in project.processes("worker-1", "org.apache.spark"):
            process.signal(signal.SIGKILL)
        said = client.ends(0)
    behave(project)
    assert "Spark lost 1 executor and repeated its" in said
    assert worker in said
    assert "Training completed successfully." in said
    for proof in ("exit status", "success line", "engine instance", "alias"):
        assert re.search(rf"(?m)^{proof} +yes +\S", said), proof
    assert re.search(r"(?m)^run \S+: succeeded after \d", said)
    assert records(project)[-1]["state"] == "succeeded"
    assert project.states() == {"stopped"}
    assert [path for path in project.home("driver").glob(".pio_store/models/*/*") if path.stat().st_size]
    assert lines_only_in_the_readme(said) == []


def test_a_plan_after_down_finds_no_changes(project: Project) -> None:
    project.run("down")
    assert "no changes" in project.run("plan", "--detailed-exitcode").stdout


@pytest.mark.usefixtures("light_machines")
async def test_up_again_finds_every_address_instance_and_file_as_it_was(project: Project) -> None:
    stopped = project.machines()
    models = sorted(project.home("driver").glob(".pio_store/models/*/model.jsonl"))
    text = "".join(model.read_text() for model in models)
    assert text
    project.run("up")
    started = project.machines()
    for name, machine in stopped.items():
        assert started[name]["instance_id"] == machine["instance_id"]
        assert started[name]["private_ip"] == machine["private_ip"]
    assert await on_driver(project, "cat .pio_store/models/*/model.jsonl") == text


@pytest.mark.usefixtures("light_machines")
def test_up_and_down_from_a_mixture_of_states(project: Project) -> None:
    machines = project.machines()
    # One is stopping, when `up` finds it; the others run.
    project.ec2.stop_instances(InstanceIds=[machines["worker-1"]["instance_id"]])
    project.run("up")
    assert project.machines()["worker-1"]["spark_alive"] is True
    project.ec2.stop_instances(InstanceIds=[machines["worker-2"]["instance_id"]])
    project.run("down")
    assert project.states() == {"stopped"}
    assert "are stopped" in project.run("down").stderr


@pytest.mark.usefixtures("light_machines")
def test_an_interrupted_up_says_what_goes_on_running(project: Project) -> None:
    project.run("down")
    with project.start("up") as client:
        client.says("Waiting for SSH")
        client.send(signal.SIGINT)
        said = client.ends(130)
    assert "`pio-tf down` stops them" in said
    assert project.states() == {"running"}


@pytest.mark.usefixtures("without_spark")
def test_a_training_with_fewer_workers_starts_only_these(project: Project) -> None:
    project.run("down")
    done = project.run("train", "--workers", "1", "--keep-up", "--json")
    assert "Starting 3 of 4 machines" in done.stderr
    assert "1 worker: 2 cores" in done.stderr
    record = json.loads(done.stdout)
    assert [machine.split()[0] for machine in record["machines"]] == ["driver", "master", "worker-1"]
    assert (record["workers"], record["absent"]) == (1, [])
    assert "--total-executor-cores 2" in record["command"]
    assert project.machines()["worker-2"]["state"] == "stopped"
    refused = project.run("train", "--workers", "3", exit_code=2)
    assert "cannot train with 3 workers: trial has 2 workers" in refused.stderr


@pytest.mark.usefixtures("without_spark")
def test_keep_up_leaves_the_machines_running(project: Project) -> None:
    project.run("train", "--keep-up")
    assert project.states() == {"running"}


@pytest.mark.usefixtures("light_machines")
def test_another_predictionio_takes_the_stand_ins_place_by_its_home_alone(project: Project) -> None:
    home = project.home("driver") / "other" / "PredictionIO"
    (home / "conf").mkdir(parents=True)
    (home / "bin").mkdir()
    shutil.copyfile(Path(__file__).with_name("second_pio.py"), home / "bin" / "pio")
    (home / "bin" / "pio").chmod(0o755)
    with project.edited(r'home       = "~/pio"', 'home = "~/other/PredictionIO"'):
        project.run("config", "push")
        done = project.run("train", "--keep-up")
    assert "[INFO] [Second] the second program runs train -- --master spark://" in done.stdout
    assert re.search(r"(?m)^engine instance +yes +engine instance second, ", done.stdout)
    assert re.search(r"(?m)^alias +yes +alias urindex points to .*urindex_second", done.stdout)
    assert re.search(r"(?m)^run \S+: succeeded after \d", done.stdout)


@pytest.mark.usefixtures("light_machines")
def test_a_wrong_ssh_key_is_named(project: Project) -> None:
    key = project.directory / "other"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(key))
    key.chmod(0o600)
    key.with_suffix(".pub").write_bytes(next((project.directory / ".pio-tf").rglob("*.pub")).read_bytes())
    other = project.changed(r"(?m)^(\s*key\s*=\s*).*$", rf'\1"{key}"')
    project.run("up")
    done = project.run("config", "push", "--config", str(other), exit_code=1)
    assert str(key) in done.stderr
    assert "next:" in done.stderr


@pytest.mark.usefixtures("light_machines")
def test_a_machine_that_does_not_answer_is_named_with_its_address(project: Project) -> None:
    other = project.changed(r"(?m)^(\s*port\s*=\s*)2222$", r"\g<1>2299")
    project.run("up")
    address = project.machines()["driver"]["private_ip"]
    done = project.run("status", "--config", str(other))
    assert f"{address}" in done.stderr
    assert "2299" in done.stderr


@pytest.mark.usefixtures("light_machines")
def test_a_machine_that_has_lost_its_tag_is_not_touched_but_named_loudly(project: Project) -> None:
    project.run("up")
    worker = project.machines()["worker-2"]["instance_id"]
    tag: list[TagTypeDef] = [{"Key": "pio-tf:cluster", "Value": "trial"}]
    project.ec2.delete_tags(Resources=[worker], Tags=tag)
    try:
        done = project.run("down", exit_code=7)
        assert worker in done.stderr
        assert (
            project.ec2.describe_instances(InstanceIds=[worker])["Reservations"][0]["Instances"][0]["State"]["Name"]
            == "running"
        )
    finally:
        project.ec2.create_tags(Resources=[worker], Tags=tag)
    project.run("down")
    assert project.states() == {"stopped"}


def test_arguments_that_cannot_work_are_refused_before_a_machine_is_started(project: Project) -> None:
    project.run("down")
    done = project.run("train", "--", "--deploy-mode", "cluster", exit_code=2)
    assert "deploy-mode" in done.stderr
    assert project.states() == {"stopped"}


def test_a_lost_state_is_told_rather_than_making_every_machine_again(project: Project) -> None:
    state = project.directory / ".pio-tf" / "trial" / "stack" / "terraform.tfstate"
    state.rename(state.with_suffix(".away"))
    try:
        done = project.run("up", exit_code=3)
    finally:
        state.with_suffix(".away").rename(state)
    assert "driver" in done.stderr
    assert project.machines()["driver"]["instance_id"] in done.stderr
    assert "terraform -chdir=" in done.stderr
    assert len(project.machines()) == 4


def test_destroy_wants_the_name_and_then_leaves_nothing(project: Project) -> None:
    assert "trial" in project.run("destroy", exit_code=2).stderr
    assert "trial" in project.run("destroy", "--confirm", "other", exit_code=2).stderr
    assert len(project.machines()) == 4
    project.run("destroy", "--confirm", "trial")
    assert project.machines() == {}
    assert wait_until(lambda: list((project.sandbox.directory / "machines").iterdir()) == [])
    assert "has not been created" in project.run("output", exit_code=5).stderr


def test_without_the_sandbox_every_command_names_the_address_that_does_not_answer(project: Project) -> None:
    project.run("sandbox", "stop")
    done = project.run("status", exit_code=1)
    assert project.sandbox.url.removeprefix("http://") in done.stderr
    assert "next:" in done.stderr
    assert not project.sandbox.directory.exists()
