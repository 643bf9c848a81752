"""Clusters that pio-tf of commit 9a03d57 left behind, restored on a sandbox from the files beside this module.

Nothing here uses today's pio-tf: Terraform applies the stack as that commit wrote it, boto3 creates the schedule and
the objects in S3, and the files are copied to where that commit kept them. Names, paths, tags and formats are literals.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections import ChainMap
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from pio_tf.sandbox.control import sandbox_status
from tests.support.background import wait_until
from tests.support.provider_scripts import TERRAFORM
from tests.support.sandbox_project import Project, sandbox_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.sandbox.layout import SandboxInfo

ARTEFACTS = Path(__file__).parent / "9a03d57"
BUCKET = "old-team-state"
TEAM_UNFOLLOWED = "20261128T220819Z-7777"
"""The run of the team's cluster that has ended without a client."""
MACHINES = ("driver", "master", "worker-1")
DEADLINE = (datetime.now(timezone.utc) + timedelta(hours=7)).replace(second=0, microsecond=0)
_PLACEHOLDER = re.compile(r"@([A-Z_]+(?::[a-z0-9-]+)?)@")


@dataclass(frozen=True)
class OldCluster:
    """A cluster as commit 9a03d57 left it: ``local`` with a local state, ``team`` with its state and runs in S3.

    Its machines run, its deadline is armed, and its last run has ended without a client.
    """

    kind: str
    project: Project

    @property
    def name(self) -> str:
        """The cluster's name."""
        return f"old-{self.kind}"

    @property
    def artefacts(self) -> Path:
        """The directory of the checked-in files."""
        return ARTEFACTS / self.kind

    @property
    def own_files(self) -> Path:
        """The cluster's directory in ``.pio-tf``."""
        return self.project.directory / ".pio-tf" / self.name

    @cached_property
    def machines(self) -> dict[str, str]:
        """Instance ids by the machines' names, found by the tags that commit 9a03d57 set."""
        pages = self.client("ec2").describe_instances(Filters=[{"Name": "tag:pio-tf:cluster", "Values": [self.name]}])
        tagged = [one for reservation in pages["Reservations"] for one in reservation["Instances"]]
        names = {one["InstanceId"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in tagged}
        return {tags["pio-tf:machine"]: instance_id for instance_id, tags in names.items()}

    def disk(self, machine: str) -> Path:
        """Return the directory of a machine."""
        return self.project.sandbox.directory / "machines" / self.machines[machine]

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes them
        """Return a client of the sandbox's AWS."""
        return sandbox_client(self.project.sandbox, service)

    def text(self, path: str) -> str:
        """Return a checked-in file with its placeholders replaced."""
        return self._filled((self.artefacts / path).read_text(encoding="utf-8"))

    def json(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return the content of a checked-in JSON file."""
        return json.loads(self.text(path))

    def schedule(self) -> dict[str, Any]:
        """Return the cluster's schedule; its machines have others."""
        scheduler = self.client("scheduler")
        (summary,) = [one for one in scheduler.list_schedules()["Schedules"] if one["Name"] == f"pio-tf-{self.name}"]
        return dict(scheduler.get_schedule(Name=summary["Name"]))

    def objects(self) -> dict[str, str]:
        """Return the objects in the team's bucket."""
        s3 = self.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys}

    def put(self, key: str, text: str) -> None:
        """Write an object of the team's bucket as commit 9a03d57 did."""
        kind = "text/plain; charset=utf-8" if key.endswith("/log") else "application/json"
        self.client("s3").put_object(
            Bucket=BUCKET, Key=key, Body=text.encode(), ContentType=kind, ServerSideEncryption="AES256"
        )

    def run(self, *arguments: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run today's ``pio-tf``; append the command and the end of its output to the file of $PIO_TF_TRANSCRIPT."""
        done = self.project.run(*arguments, exit_code=exit_code)
        transcript = os.environ.get("PIO_TF_TRANSCRIPT")
        if transcript:
            out = [json.dumps(json.loads(done.stdout))] if "--json" in arguments else done.stdout.splitlines()
            shown = [line for line in (*done.stderr.splitlines(), *out) if line.strip()]
            lines = [f"{self.name}$ pio-tf {' '.join(arguments)}", *shown[-6:], f"exit code {done.returncode}", ""]
            with Path(transcript).open("a", encoding="utf-8") as file:
                file.write("\n".join(line[:160] for line in lines) + "\n")
        return done

    # How it is restored

    def restore(self) -> None:
        """Create everything that commit 9a03d57 left: in AWS, in S3, on the machines and in the project."""
        self._copy_project()
        self._apply_stack()
        assert set(self.machines) == set(MACHINES)
        assert wait_until(self._all_machines_are_on, within=60), sandbox_status(self.project.sandbox.directory)
        self._copy_project()  # once more: instance ids and host keys are known now
        self._copy_to_driver()
        self.client("scheduler").create_schedule(**self.json("schedule.json"))
        for path in self._files("bucket"):
            self.put(path, self.text(f"bucket/{path}"))

    def serve_model(self, record: Mapping[str, Any]) -> None:
        """Put into Elasticsearch what a run wrote there: its engine instance, and the index behind the alias."""
        detail = next(one["detail"] for one in record["proofs"] if one["name"] == "engine instance")
        found = re.match(r"engine instance (\S+), started at (\S+) (\S+) UTC, is COMPLETED", detail)
        assert found, detail
        instance = {
            "id": found[1],
            "status": "COMPLETED",
            "startTime": f"{found[2]}T{found[3]}.000Z",
            "engineVersion": self._known["ENGINE"],
            "engineVariant": "default",
            "engineFactory": "com.actionml.RecommendationEngine",
        }
        self._elasticsearch("PUT", f"/pio_meta_engine_instances/engine_instances/{found[1]}?refresh=true", instance)
        aliases = self._elasticsearch("GET", "/_alias")
        for index in [name for name, found in aliases.items() if "urindex" in found["aliases"]]:
            self._elasticsearch("DELETE", f"/{index}")
        self._elasticsearch("PUT", f"/{record['model']}", {})
        add = {"add": {"index": record["model"], "alias": "urindex"}}
        self._elasticsearch("POST", "/_aliases", {"actions": [add]})

    async def start_run(self, run: str, command: str) -> None:
        """Start a run on the driver with the program of commit 9a03d57, as its client did: over SSH, with the lock."""
        directory = self.disk("driver") / "home" / ".pio-tf" / "runs" / run
        directory.mkdir(mode=0o700)
        record = self.json(f"driver/pio-tf/runs/{TEAM_UNFOLLOWED}/record")
        _write(directory / "record", json.dumps({**record, "id": run}))
        _write(directory / "command", command)
        _write(directory / "redact", "$| = 1; while (<>) { print }\n")
        shutil.copyfile(ARTEFACTS / "program", directory / "program")
        holder = {"doing": "running", "who": "ann on laptop (process 7, since 2026-11-28T22:20:00Z)", "run": run}
        async with (
            asyncssh.connect(
                "127.77.215.10",
                self.project.sandbox.ssh_port,
                username=self.project.sandbox.ssh_user,
                client_keys=[str(self.project.directory / ".pio-tf" / "sandbox_key")],
                known_hosts=None,
            ) as connection,
            connection.create_process(f"bash {directory}/program hold 30") as process,
        ):
            process.stdin.write(f"{json.dumps(holder)}\nstart {run} {json.dumps(holder)}\n")
            assert (await process.stdout.readline()).strip() == "yours"
            assert (await process.stdout.readline()).strip() == "started"
            process.stdin.write_eof()

    def _elasticsearch(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        services = self.project.sandbox.services
        request = urllib.request.Request(
            f"http://{services.host}:{services.elasticsearch}{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            return json.load(answer)

    def _all_machines_are_on(self) -> bool:
        machines = sandbox_status(self.project.sandbox.directory).machines
        return {one.name for one in machines if one.cluster == self.name and one.power == "on"} == set(MACHINES)

    def _files(self, directory: str) -> list[str]:
        root = self.artefacts / directory
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def _copy_project(self) -> None:
        """Write the project's files; those with ids of instances only once the instances exist."""
        directory = self.project.directory
        key = directory / ".pio-tf" / "sandbox_key"
        if not key.exists():
            key.parent.mkdir(parents=True)
            pair = asyncssh.generate_private_key("ssh-ed25519", comment="pio-tf sandbox")
            key.write_bytes(pair.export_private_key())
            key.with_suffix(".pub").write_bytes(pair.export_public_key())
            shutil.copyfile(self.project.sandbox.credentials_file, directory / ".pio-tf" / "sandbox_credentials")
            for private in (key, directory / ".pio-tf" / "sandbox_credentials"):
                private.chmod(0o600)
            shutil.copytree(ARTEFACTS / "modules", self.own_files / "stack" / "modules")
        created = self._created()
        for name in self._files("project"):
            if not created and "@ID:" in (self.artefacts / "project" / name).read_text(encoding="utf-8"):
                continue
            # In the repository without their dots: .gitignore leaves out what is named like a cluster's own files.
            path = directory / re.sub(r"^pio-tf/", ".pio-tf/", name.replace("/stack/terraform/", "/stack/.terraform/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text(f"project/{name}"), encoding="utf-8")

    def _apply_stack(self) -> None:
        """Apply the stack that commit 9a03d57 generated, with plain Terraform."""
        environment = self.project.environment | {
            "TF_CLI_CONFIG_FILE": str(self.project.sandbox.cli_config_file),
            "TF_IN_AUTOMATION": "1",
            "AWS_SHARED_CREDENTIALS_FILE": str(self.project.directory / ".pio-tf" / "sandbox_credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for arguments in (("init",), ("apply", "-auto-approve")):
            done = subprocess.run(
                [
                    shutil.which("terraform", path=environment["PATH"]) or TERRAFORM,
                    *arguments,
                    "-input=false",
                    "-no-color",
                ],
                cwd=self.own_files / "stack",
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

    def _copy_to_driver(self) -> None:
        home = self.disk("driver") / "home"
        for name in self._files("driver/pio-tf"):
            _write(home / ".pio-tf" / name, self.text(f"driver/pio-tf/{name}"))
        for run in (home / ".pio-tf" / "runs").iterdir():
            shutil.copyfile(ARTEFACTS / "program", run / "program")
        for name in self._files("driver/written"):
            path, text = home / name, self.text(f"driver/written/{name}")
            _write(path, text)
            note = home / ".pio-tf" / "written" / hashlib.sha256(str(path).encode()).hexdigest()
            _write(note, f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n")
        for directory in (home / ".pio-tf").rglob("*/"):
            directory.chmod(0o700)

    def _created(self) -> bool:
        return (self.own_files / "stack" / ".terraform" / "providers").is_dir()

    def _filled(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: self._value(found[1]), text)

    def _value(self, name: str) -> str:
        kind, _, machine = name.partition(":")
        if kind == "ID":
            return self.machines[machine]
        if kind == "HOST_KEY":
            key = asyncssh.read_private_key(self.disk(machine) / "ssh_host_ed25519_key")
            return key.export_public_key().decode().strip()
        return self._known[name]

    @property
    def _known(self) -> Mapping[str, str]:
        sandbox = self.project.sandbox
        always = {
            "URL": sandbox.url,
            "SANDBOX": str(sandbox.directory),
            "CLI_CONFIG": str(sandbox.cli_config_file),
            "SERVICES": sandbox.services.host,
            "SSH_KEY": (self.project.directory / ".pio-tf" / "sandbox_key.pub").read_text().strip(),
            "DEADLINE": DEADLINE.strftime("%Y-%m-%dT%H:%M:%S"),
        }
        if not self._created():
            return always
        engine = self.disk("driver") / "home" / "engine"
        # PredictionIO's version of an engine: the SHA-1 of its directory.
        return ChainMap({"ENGINE": hashlib.sha1(os.fsencode(engine), usedforsecurity=False).hexdigest()}, always)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def restore_clusters(directory: Path, sandbox: SandboxInfo, environment: dict[str, str]) -> dict[str, OldCluster]:
    """Restore both clusters, one after the other: they share a provider, which has one configuration at a time."""
    clusters = {kind: OldCluster(kind, Project(directory / kind, sandbox, environment)) for kind in ("local", "team")}
    s3 = clusters["team"].client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for cluster in clusters.values():
        cluster.restore()
    return clusters
