"""One representative result of every command, handed to it by a stand-in for the library."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import asyncssh
from msgspec.structs import replace

from pio_tf import (
    Cluster,
    ClusterStatus,
    ClusterSummary,
    Extended,
    MachineSize,
    Month,
    Resize,
    ScheduleStatus,
    Spending,
)
from pio_tf.ci.pipeline import Pipeline
from pio_tf.ci.prerequisites import Prerequisite
from pio_tf.ci.reviewed import ReviewedPlan
from pio_tf.cluster.adoption import Look, Proposal
from pio_tf.cluster.size_advice import SizeAdvice
from pio_tf.config.components import Component
from pio_tf.config.load import load_config
from pio_tf.engine.archive import ArchivedEngine
from pio_tf.engine.archive_place import SavedEngine
from pio_tf.engine.push import PushedEngine, PushPlan
from pio_tf.engine.sources import EngineSources, SourceFile
from pio_tf.iam import JobRole
from pio_tf.iam.grant import Grant
from pio_tf.infra.cost import Cost, Prices
from pio_tf.infra.drift import Difference, Drift
from pio_tf.infra.plan import Plan, ResourceChange
from pio_tf.infra.policy import Finding, Judgement, Rule
from pio_tf.machines.deadline_role import DeadlineRole
from pio_tf.machines.existing import ExistingMachine
from pio_tf.mirror import Fetched, Listed, Pushed
from pio_tf.model import Machine, MachineOutput, Outputs
from pio_tf.remote.files import ProvisionedFile, RemoteFile
from pio_tf.remote.host_keys import HostKey
from pio_tf.remote.known_hosts import KnownHosts, Pin
from pio_tf.remote.target import SshTarget, known_hosts_file
from pio_tf.remote.tunnel import ForwardedPage, WebPage
from pio_tf.sandbox.control import SandboxStatus
from pio_tf.sandbox.layout import MachineStatus, SandboxInfo, Services, ServiceStatus
from pio_tf.training.custody.models import KeptModel, Rollback
from pio_tf.training.preflight import CheckResult
from pio_tf.training.provisioning import ProvisionedMachine
from pio_tf.training.runs.driver_runs import DriverState, Linger
from pio_tf.training.runs.record import Client, RunRecord
from pio_tf.training.survey import InstalledSoftware
from tests.support.config_samples import text_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pytest

LONG_AGO = datetime(2026, 11, 23, 3, 0, tzinfo=timezone.utc)
OLD_KEY = asyncssh.import_public_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f")
NEW_KEY = asyncssh.import_public_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj9A")
CONFIG = text_with(
    cluster='cluster {\n  name = "trial"\n}\n', guard='guard {\n  waive "PTF006" {\n    reason = "a honeypot"\n  }\n}\n'
)

DRIVER = Machine("driver", "driver", "i-0d", "r5.large", "running", "10.20.0.10", "198.51.100.7", LONG_AGO)
MASTER = Machine("master", "master", "i-0m", "m5.large", "stopped", "10.20.0.11", None, None)
WORKER = Machine("worker-1", "worker", "i-01", "r5.large", "running", "10.20.0.12", None, LONG_AGO)
STRAY = Machine(
    "worker-2", "worker", "i-02", "r5.large", "pending", "10.20.0.13", None, LONG_AGO, spot=True, in_outputs=False
)
OUTPUTS = Outputs(
    "trial",
    "eu-west-1",
    (
        MachineOutput("driver", "driver", "i-0d", "10.20.0.10", "198.51.100.7"),
        MachineOutput("master", "master", "i-0m", "10.20.0.11"),
    ),
)
CHANGES = (
    ResourceChange("module.driver.aws_instance.this", "aws_instance", ("create",), (), "driver"),
    ResourceChange("aws_security_group.this", "aws_security_group", ("update",), ("description", "ingress")),
    ResourceChange("aws_eip.this", "aws_eip", ("delete", "create"), ("domain",)),
)
DRIFTS = (
    Drift(
        "module.driver.aws_instance.this",
        "aws_instance",
        "driver",
        "changed",
        (Difference("instance_type", "r5.large", "m5.large"), Difference("tags", {"a": "b" * 90}, None)),
    ),
    Drift("aws_security_group.this", "aws_security_group", "", "gone"),
)
RUN = RunRecord(
    id="20261123T030000Z-3f9c",
    cluster="trial",
    client=Client("ci", "runner", 7, "2026-11-23T03:00:00Z"),
    command="pio train -- --master spark://10.20.0.11:7077",
    engine_dir="/opt/engine",
    machines=("driver r5.large i-0d", "worker-1 r5.large i-01"),
    absent=("worker-2",),
    pio_tf="0.1.0",
    state="succeeded",
    started=1795402800.0,
    ended=1795410325.5,
    exit_status=0,
    model="ur_1795402800",
    proofs=(
        {"name": "exit", "held": True, "detail": "exited with 0"},
        {"name": "index", "held": None, "detail": "Elasticsearch did not answer"},
    ),
    ui_port=4040,
    engine={
        "commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "uncommitted": True,
        "digest": "c" * 64,
        "engine_json": "e" * 64,
        "pushed": "2026-11-23T02:59:00Z",
        "edited": False,
        "stale_build": False,
    },
    custody={"documents": {"ur": 60_000}, "kept": {"ur": "pio-tf-model-ur-20261123t030000z-3f9c"}, "put_back": {}},
    usage={
        "driver_heap_bytes": 13 * 2**30,
        "executor_heap_bytes": 13 * 2**30,
        "driver_peak_bytes": 2 * 2**30,
        "executor_peak_bytes": 5 * 2**30,
        "gc_share": 0.13,
        "memory_spilled_bytes": 3 * 2**30,
        "disk_spilled_bytes": 2**29,
        "skew": 3.4,
        "longest_stage": "map at URAlgorithm.scala:120",
        "longest_stage_seconds": 812.5,
        "executors": 1,
        "cores": 2,
        "cluster_cores": 2,
        "idle_share": 0.25,
        "seen_seconds": 7511.0,
        "spark": "3.5.9",
    },
    log_bytes=123456,
    deadline="2026-11-23T09:00:00+00:00",
)
FAILED_RUN = RunRecord(
    id="20261122T030000Z-00ff",
    cluster="trial",
    client=Client("ann", "laptop", 17, "2026-11-22T03:00:00Z"),
    command="pio train",
    engine_dir="/opt/engine",
    state="cancelled",
    started=1795316400.25,
    cancelled_by="ann on laptop",
    cause="a lost executor",
)
MODELS = (
    KeptModel("ur_1795402800000", "served", "ur", 61_000, 48_000_000, "2026-11-23T03:00:00+00:00", "E2"),
    KeptModel(
        "pio-tf-model-ur-20261123t030000z-3f9c",
        "kept",
        "ur",
        60_000,
        47_000_000,
        "2026-11-16T03:00:00+00:00",
        "E1",
        copy_of="ur_1794798000000",
        kept_before="20261123T030000Z-3f9c",
    ),
)
SAVED = SavedEngine(
    ".pio-tf/trial/engines/engine-trial-20261123T030000Z.tar.gz",
    "d" * 128,
    123_456_789,
    ArchivedEngine(
        "/opt/engine",
        "/home/ubuntu",
        "2026-11-23T03:00:00Z",
        {"engine": 45_000_000, "home/.ivy2/cache": 178_000_000},
        {"commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"},
    ),
)
SCHEDULE = ScheduleStatus(
    "cron(0 3 ? * SUN *)",
    "Europe/Berlin",
    paused=False,
    from_file=True,
    role_arn="arn:aws:iam::123456789012:role/pio-tf/pio-tf-trial-eu-west-1-s",
    next=(LONG_AGO + timedelta(days=6), LONG_AGO + timedelta(days=13)),
    last=LONG_AGO,
    stops=LONG_AGO + timedelta(hours=8),
    run="20261123T030000Z-3f9c",
    problem="the scheduled training 20261123T030000Z-3f9c led to no model: a lost executor",
    driver_knows=False,
)
RULES = (
    Rule("PTF001", "machine-removed", "No machine is deleted", "critical", "its disk goes with it", "keep it"),
    Rule("PTF006", "open-ssh", "SSH is not open to the world", "high", "anyone can knock", "name your networks"),
)
JUDGEMENT = Judgement(
    (
        Finding(RULES[0], "module.driver.aws_instance.this", "driver would be deleted", "pio-tf.hcl", None, ""),
        Finding(RULES[1], "aws_security_group_rule.ssh", "0.0.0.0/0 may connect", "pio-tf.hcl", 3, "a honeypot"),
    ),
    Cost(0.0, 0.0, ()),
    Cost(0.28812345, None, ("gp9 disk of 8 GiB",)),
)
CHECKS = (
    CheckResult("disk", "ok", "30.1 GiB free on /"),
    CheckResult("engine", "failed", "~/ur is not there", "put the engine there"),
)
COMPONENTS = (
    Component("spark", "3.5.1", "/opt/spark", "spark/spark-3.5.1.tgz", "https://example.org/spark.sha512", ()),
    Component("hadoop", "3.3.6", "/opt/hadoop", "hadoop/hadoop-3.3.6.tar.gz", "b" * 128, ()),
)
SERVICE = ServiceStatus("hbase", "hung", 4711, Path("/home/ann/sandbox/services/hbase/hbase.log"), 1)
SANDBOX = SandboxStatus(
    "running",
    SandboxInfo(
        "http://127.0.0.1:5000",
        4242,
        Path("/home/ann/sandbox"),
        "us-east-1",
        "sandbox",
        Path("/home/ann/sandbox/credentials"),
        Path("/home/ann/sandbox/terraform/terraform.rc"),
        2222,
        "ubuntu",
        Services("127.3.0.2", 9200, 2181, 8020),
        Path("/home/ann/sandbox/sandbox.log"),
    ),
    (MachineStatus("trial", "driver", "driver", "i-0d", "running", "127.3.0.10", "failed", "sshd did not start"),),
    (SERVICE,),
)
PAGES = (
    ForwardedPage(WebPage("master", "10.20.0.11", 8080), 8080),
    ForwardedPage(WebPage("application", "10.20.0.10", 4040), 4041, "connection refused"),
)


class SamplePolicy:
    """A policy whose notes are not those of the library, which are prose."""

    def __init__(self, role: JobRole, account: str, grants: tuple[Grant, ...]) -> None:
        self.role, self.grants, self.notes = role, grants, ("AWS is not asked",)
        self.scope = SimpleNamespace(account=account)
        self.document = {"Version": "2012-10-17", "Statement": [grant.statement for grant in grants]}


class FakeCluster:
    """A cluster that answers every command at once."""

    def __init__(self, directory: Path) -> None:
        (directory / "pio-tf.hcl").write_text(CONFIG, encoding="utf-8")
        self.config = load_config(directory / "pio-tf.hcl", environ={})
        self.armed: datetime | None = None
        known = KnownHosts(known_hosts_file(self.config))
        known.path.parent.mkdir(parents=True)
        known.pin("i-0d", OLD_KEY, "console")
        known.pin("[bastion.example.org]:22", NEW_KEY, "first use")

    def up(self, **_options: object) -> tuple[Machine, ...]:
        self.armed = datetime(2126, 11, 23, 9, 0, tzinfo=timezone.utc)
        return (DRIVER, MASTER, WORKER)

    def down(self, *, force: bool = False) -> tuple[Machine, ...]:
        return (MASTER,) if force else (DRIVER, MASTER)

    def down_if_idle(self, **_options: object) -> tuple[Machine, ...]:
        return ()

    def extend(self, _seconds: float) -> Extended:
        return Extended(LONG_AGO, LONG_AGO + timedelta(hours=2))

    def validate(self) -> tuple[str, ...]:
        return ("pio-tf.hcl:9: network.vpc_id: vpc-00000000000000000 is an example: write your own",)

    def clusters(self) -> tuple[ClusterSummary, ...]:
        return (
            ClusterSummary("night", (MASTER,), None, 0.0055, 0.0055),
            ClusterSummary("trial", (DRIVER, MASTER, WORKER), LONG_AGO, None, 0.0164),
        )

    def plan_resize(self, _machine: str, kind: str) -> tuple[Resize, ...]:
        unpriced = MachineSize("x9.huge", 4096, 2, None)
        sizes = {"r5.large": MachineSize("r5.large", 16384, 2, 0.126), "x9.huge": unpriced}
        return () if kind == "r5.large" else (Resize(DRIVER, sizes["r5.large"], sizes[kind]),)

    def resize(self, machine: str, kind: str) -> tuple[Resize, ...]:
        return self.plan_resize(machine, kind)

    def status(self) -> ClusterStatus:
        machines = (DRIVER, MASTER, WORKER, STRAY)
        alive, run = frozenset({"10.20.0.12"}), "20261123T030000Z-3f9c"
        driver = DriverState((), None, Linger(120, 120), frozenset({"worker-1"}))
        return ClusterStatus("trial", True, machines, alive, run, LONG_AGO, driver, SCHEDULE)

    def schedule(self) -> ScheduleStatus:
        return SCHEDULE

    def set_schedule(self, _cron: str, **_options: object) -> None:
        pass

    def pause_schedule(self) -> None:
        pass

    resume_schedule = remove_schedule = pause_schedule

    def outputs(self) -> Outputs:
        return OUTPUTS

    def apply(self, _directory: Path | None = None) -> Outputs:
        return OUTPUTS

    def plan(self, out: Path | None = None) -> Plan:
        if out is not None:
            out.mkdir(exist_ok=True)
            (out / "plan.md").write_text("# The plan\n", encoding="utf-8")
        return Plan(Path("plan.tfplan"), CHANGES, has_changes=True)

    def generate(self, out: Path | None) -> Path:
        return out or Path(".pio-tf/trial/stack")

    def drift(self) -> tuple[Drift, ...]:
        return DRIFTS

    def destroy(self) -> None:
        pass

    def guard(self, _plan: Path | None) -> Judgement:
        return JUDGEMENT

    def iam(self, role: str, *, account: str, **_given: str) -> tuple[SamplePolicy, ...]:
        grants = (
            Grant(
                "ReadMachines", "to see machines", ("*",), ("ec2:DescribeInstances",), (), ("ec2:DescribeInstances",)
            ),
            Grant("Tag", "to tag", ("arn:aws:ec2:*:*:instance/*",), ("ec2:CreateTags",)),
        )
        roles = (JobRole("plan", ("plan", "guard"), ()), JobRole("mirror", ("mirror push",), ()))
        return tuple(SamplePolicy(one, account or "*", grants) for one in roles if role in ("", one.name))

    def check(self, *, skip: Sequence[str]) -> tuple[CheckResult, ...]:
        return tuple(one for one in CHECKS if one.name not in skip)

    def train(self, _words: Sequence[str], **_options: object) -> RunRecord:
        return RUN

    def attach(self, _run: str, **_options: object) -> RunRecord:
        return FAILED_RUN

    def runs(self) -> tuple[RunRecord, ...]:
        return (FAILED_RUN, RUN)

    def run(self, _run: str) -> RunRecord:
        return RUN

    def push_engine(
        self, directory: Path | None, *, build: bool, **_options: object
    ) -> tuple[PushedEngine, Path | None]:
        files = tuple(SourceFile(path, "644", "a" * 64, 10) for path in ("build.sbt", "engine.json"))
        here, commit = directory or Path("engine"), "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        sources = EngineSources(here, files, commit, uncommitted=True, untracked=("notes.txt",))
        plan = PushPlan(files, ("src/Old.scala",), ("engine.json",))
        log = Path(".pio-tf/trial/builds/20261123T025900Z-0b0b/log") if build else None
        return PushedEngine("/opt/engine", sources, plan), log

    def save_engine(self, _target: str) -> SavedEngine:
        return SAVED

    def restore_engine(self, archive: str, **_options: object) -> SavedEngine:
        return replace(SAVED, address=archive)

    def models(self) -> tuple[KeptModel, ...]:
        return MODELS

    def roll_back_model(self, _model: str, **_options: object) -> Rollback:
        return Rollback({"ur": MODELS[1].id}, (MODELS[0].id,), {"E2": "REJECTED"})

    def size_advice(self, _run: RunRecord) -> tuple[SizeAdvice, ...]:
        return (
            SizeAdvice(
                "worker",
                1,
                "garbage collection took 13% of the tasks' time",
                now="r5.large",
                then="r5.xlarge",
                heap_now_mib=13_000,
                heap_then_mib=27_000,
                hourly_now_usd=0.126,
                hourly_then_usd=0.252,
                prices="on-demand prices of eu-west-1, from AWS's price list of 2026-11-11",
            ),
        )

    prices = Prices({"r5.large": 0.126}, {}, "")

    def report(self, output: Path | None = None) -> tuple[Path, tuple[RunRecord, ...]]:
        return output or Path(".pio-tf/trial/report.html"), self.runs()

    def cost(self, start: datetime | None) -> Spending:
        month = Month(start or LONG_AGO, LONG_AGO + timedelta(days=8))
        return Spending(month, 3, 5.25, 7.875, 0.0225, None, "an estimate")

    def logs(
        self, _run: str, on_line: Callable[[str], None], *, on_text: Callable[[str], None] | None, follow: bool
    ) -> None:
        for line in ("[INFO] one", '[INFO] "two" ü', "##[group]three", *(["followed"] if follow else [])):
            if on_text:
                on_text(f"{line}\n")
            else:
                on_line(line)

    def cancel(self, _run: str) -> RunRecord:
        return FAILED_RUN

    def test_notifications(self) -> tuple[str, ...]:
        return ("webhook",)

    def files(self, _name: str = "") -> tuple[RemoteFile, ...]:
        return (
            RemoteFile("pio-env.sh", "/opt/pio/conf/pio-env.sh", "A=1\n"),
            RemoteFile("core-site.xml", "/opt/hadoop/core-site.xml", "<a/>"),
        )

    def push_config(self) -> tuple[ProvisionedFile, ...]:
        return (
            ProvisionedFile(
                "pio-env.sh", "/opt/pio/conf/pio-env.sh", changed=True, kept="/opt/pio/conf/pio-env.sh.before"
            ),
            ProvisionedFile("core-site.xml", "/opt/hadoop/core-site.xml", changed=False),
        )

    def provision(self, _machine: str, **_options: object) -> tuple[ProvisionedMachine, ...]:
        return (ProvisionedMachine("driver", {"spark": "3.5.1", "java": "11"}), ProvisionedMachine("worker-1"))

    def mirror_list(self, *, base: str) -> tuple[Listed, ...]:
        spark, hadoop = COMPONENTS
        return (
            Listed(spark, f"{base}/{spark.path}", 228_721_937, "a" * 128),
            Listed(hadoop, f"s3://bucket/{hadoop.path}", None, "b" * 128),
        )

    def mirror_fetch(self, directory: Path, **_options: object) -> tuple[Fetched, ...]:
        spark, hadoop = COMPONENTS
        return (
            Fetched(spark, directory / spark.path, "a" * 128, "fetched"),
            Fetched(hadoop, directory / hadoop.path, "b" * 128, "there"),
        )

    def mirror_push(self, _directory: Path | None, url: str, **_options: object) -> tuple[Pushed, ...]:
        spark, hadoop = COMPONENTS
        return (
            Pushed(spark, f"{url}/{spark.path}", "a" * 128, "pushed"),
            Pushed(hadoop, f"{url}/{hadoop.path}", "b" * 128, "there"),
        )

    def targets(self) -> tuple[SshTarget, ...]:
        return (
            SshTarget("driver", "driver", "i-0d", "10.20.0.10", "198.51.100.7"),
            SshTarget("master", "master", "i-0m", "10.20.0.11", "10.20.0.11"),
        )


def stand_in(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Put samples in place of everything that commands ask of the library."""
    cluster = FakeCluster(directory)
    monkeypatch.setattr(Cluster, "load", lambda *_arguments, **_options: cluster)
    monkeypatch.setattr("pio_tf.infra.policy.RULES", RULES)
    monkeypatch.setattr("pio_tf.cli.results.guard.price_note", lambda _config: "an estimate")
    pipeline = Pipeline("cron", {"pio-tf-job": "#!/bin/sh\n", "pio-tf.crontab": "17 3 * * 0 job\n"})
    monkeypatch.setattr("pio_tf.ci.pipeline.render_pipeline", lambda *_arguments, **_options: pipeline)
    needs = (Prerequisite("PIO_TF_SSH_KEY", "repository secret", "the private key"),)
    monkeypatch.setattr("pio_tf.ci.prerequisites.list_prerequisites", lambda *_arguments: needs)
    monkeypatch.setattr("pio_tf.ci.keys.write_keys", lambda *_arguments: [Path("keys/id"), Path("known_hosts")])
    monkeypatch.setattr("pio_tf.ci.comment.find_pull_request", lambda _environ: None)
    monkeypatch.setattr("pio_tf.ci.comment.show_plan", lambda _change, _directory: "changed")
    monkeypatch.setattr(
        "pio_tf.ci.reviewed.take_reviewed_plan",
        lambda _cluster, directory, *_rest: ReviewedPlan(cluster.plan(directory), 12),
    )
    monkeypatch.setattr("pio_tf.cluster.adoption.Adoption.look", lambda _self, _choice, **_options: LOOK)
    monkeypatch.setattr("pio_tf.cluster.adoption.Adoption.propose", lambda _self, _look, **_options: PROPOSAL)
    monkeypatch.setattr("pio_tf.cluster.adoption.Adoption.carry_out", lambda _self, _proposal: None)
    monkeypatch.setattr("pio_tf.sandbox.control.start_sandbox", lambda _directory, **_options: SANDBOX.info)
    monkeypatch.setattr("pio_tf.sandbox.control.sandbox_status", lambda _directory: SANDBOX)
    monkeypatch.setattr("pio_tf.sandbox.control.change_service", lambda _directory, _name, _state: SERVICE)
    monkeypatch.setattr("pio_tf.sandbox.control.fire_training", lambda _directory, _cluster: None)
    monkeypatch.setattr("pio_tf.sandbox.control.stop_sandbox", lambda _directory: True)
    monkeypatch.setattr("pio_tf.remote.ssh.ClusterConnection", _Connection)
    monkeypatch.setattr("pio_tf.remote.tunnel.serve_pages", _served)
    monkeypatch.setattr("pio_tf.remote.host_keys.accept_host_key", lambda _config, _key: None)


LOOK = Look(
    machines=(
        ExistingMachine(
            name="driver",
            role="driver",
            instance_id="i-0d",
            label="spark-driver",
            instance_type="r5.large",
            state="stopped",
            private_ip="10.20.0.10",
            public_ip="198.51.100.7",
            eip="198.51.100.7",
            vpc="vpc-1",
            subnet="subnet-1",
            zone="eu-west-1a",
            image="ami-1",
            key_pair="team",
            security_groups=("sg-1", "sg-2"),
            network_interfaces=2,
            disks=("100 GiB gp2, not encrypted",),
        ),
        ExistingMachine(
            name="master",
            role="master",
            instance_id="i-0m",
            label="",
            instance_type="m5.large",
            state="running",
            private_ip="10.20.0.11",
            public_ip="198.51.100.8",
            eip=None,
            vpc="vpc-1",
            subnet="subnet-2",
            zone="eu-west-1b",
            image="ami-1",
            key_pair="team",
            security_groups=("sg-1",),
            network_interfaces=1,
            disks=("8 GiB gp3, encrypted",),
        ),
    ),
    software={"driver": InstalledSoftware(spark_home="/usr/local/spark", engines=("/home/aml/ur",))},
    remarks=("the machines are in eu-west-1a, eu-west-1b: AWS bills what they send each other across zones",),
    account="123456789012",
)
PROPOSAL = Proposal(
    text='cluster {\n  name = "trial"\n}\n',
    look=LOOK,
    role=DeadlineRole("trial", "eu-west-1", "123456789012", ("i-0d", "i-0m")),
)


class _Connection:
    def __init__(self, *_arguments: object, **_options: object) -> None:
        """Connect to nothing."""

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)

    async def __aexit__(self, *_error: object) -> None:
        await asyncio.sleep(0)

    async def read_host_key(self, _machine: str) -> HostKey:
        await asyncio.sleep(0)
        return HostKey(Pin("i-0d", NEW_KEY, "accepted"), (Pin("i-0d", OLD_KEY, "console"),), on_console=None)

    async def close(self) -> None:
        await asyncio.sleep(0)


async def _served(
    _remote: object, _pages: object, on_open: Callable[[tuple[ForwardedPage, ...]], None], **_options: object
) -> None:
    on_open(PAGES)


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield the command lines of a transcript, and the output of each: ``$ pio-tf …`` begins one."""
    for part in text.split("$ ")[1:]:
        line, _, shown = part.partition("\n")
        yield line, shown
