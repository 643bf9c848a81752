"""A region with one cluster, foreign machines beside it, and weather."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncssh
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import InstanceState, StateReason
from moto.scheduler.models import scheduler_backends

from pio_tf.aws.session import Aws
from pio_tf.model import CLUSTER_TAG, MACHINE_TAG, ROLE_TAG, Outputs
from pio_tf.sandbox.ec2_models import PassingState
from tests.faults.aws import CalledAws, answer, leave_unsigned
from tests.faults.driver import Driver
from tests.faults.faults import FAIR, TYPES, BadMachine
from tests.support.config_samples import BLOCKS
from tests.support.instances import with_all_operations
from tests.support.plan_json import change, machine, plan
from tests.support.terraform_stand_in import TerraformStandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from mypy_boto3_ec2 import EC2Client

    from pio_tf.events import ResourceProgress
    from tests.faults.faults import Weather
    from tests.faults.time import Clock

ACCOUNT, REGION = "123456789012", "eu-west-1"
PATIENCE, GRACE = 300.0, 1800.0
"""Seconds after which a machine follows a driver that is off; and those in which a start may wait for the driver."""
FROM_INSIDE = "Client.InstanceInitiatedShutdown"
"""EC2's reason for the state of an instance that has powered itself off."""
LAUNCHED = datetime(2026, 1, 1)  # noqa: DTZ001 - as moto has it
"""EC2's time of each machine's last start. moto takes it from the computer's clock, which is not this world's."""


@dataclass(frozen=True)
class Belongings:
    """Machines, disks and addresses that must survive everything."""

    machines: frozenset[str]
    addresses: frozenset[tuple[str, str]]
    volumes: frozenset[str]
    elastic: frozenset[tuple[str, str]]


class World:
    """AWS as it really is, for the campaign; clients see it through their faults.

    Args:
        workers: of the cluster.
        directory: for its pio-tf.hcl and the Terraform that knows its outputs; its name is the cluster's.
    """

    def __init__(self, aws: CalledAws, clock: Clock, *, workers: int, directory: Path) -> None:
        self.aws = aws
        self.clock = clock
        self.name = directory.name
        self._harmless = re.compile(
            "StartInstances|StopInstances|ModifyInstanceAttribute|"
            rf"(POST|PUT|DELETE) /schedules/pio-tf-{self.name}(\..+)?"
        )
        self.machines = ("driver", "master", *(f"worker-{number}" for number in range(1, workers + 1)))
        self.weather: Weather | None = None
        self.calls: Counter[str] = Counter()
        self.wrong: list[str] = []
        """Calls that no client may make."""
        self.started: dict[str, set[str]] = {}
        """The machines that each client has started."""
        self.changes = "worker-1"
        """The machine that Terraform changes: the configuration has another type for it."""
        self.forcing: set[str] = set()
        """The clients that may cut off others' runs."""
        self.bad: BadMachine | None = None
        """The machine that AWS can't stop, from its time on."""
        self._steps = 0
        directory.mkdir()
        (directory / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = x\n")
        self.terraform = TerraformStandIn(directory, self._blocks())
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(directory / "id_ed25519")
        key.write_public_key(directory / "id_ed25519.pub")
        self.config = self.terraform.config
        self._aws = Aws(self.config)
        self._ec2: EC2Client = self._trusted("ec2")
        self._role = self._make_role(self._trusted("iam"))
        self._instances: dict[str, Any] = {}
        self.ids: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self.outputs: dict[str, dict[str, str]] = {}
        """Terraform's outputs of each machine."""
        self._create()
        self.began_with = self.belongings()
        self.driver = Driver(self)
        self.stopped_themselves = 0
        """How often the driver has powered itself off."""
        self._driver_seen = 0.0
        self._booted: dict[str, float] = {}
        """When each running machine has booted."""
        self._before: list[str] = []
        """The states that DescribeInstances shows until then."""
        self._written: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self._stale_until = 0.0

    # The campaign's side

    def begin(
        self,
        weather: Weather,
        powers: dict[str, str],
        *,
        changes: str = "worker-1",
        bad: BadMachine | None = None,
    ) -> None:
        """Begin a scenario with these states; ``changes``: the machine that an apply changes."""
        self.restore()
        self.bad, self._steps = bad, 0
        if changes != self.changes:
            self.changes = changes
            self.know()
        self.clock.now = 1000.0
        self.weather = weather
        self.calls.clear()
        self.wrong.clear()
        self.started.clear()
        self._booted.clear()
        self.forcing.clear()
        self.driver = Driver(self)
        self._driver_seen, self.stopped_themselves = self.clock(), 0
        self._stale_until = 0.0
        for group in scheduler_backends[ACCOUNT][REGION].schedule_groups.values():
            group.schedules.clear()
        for name, state in powers.items():
            self._set(self.ids[name], state)
            self._instance(self.ids[name]).instance_type = TYPES[0]
        for instance_id in self.others.values():
            self._set(instance_id, "running")

    def know(self, machines: Mapping[str, object] | None = None) -> None:
        """Let Terraform's outputs say this of the machines; default: the truth."""
        change, events = self._change_of(self.changes), []
        for event in ("apply_start", "apply_complete"):
            hook = {"resource": {"addr": change["address"]}, "action": "update"}
            events.append(json.dumps({"type": event, "hook": hook}))
        self.terraform.prints(
            apply="\n".join(events).encode(),
            show=json.dumps(plan(change, cluster=self.name, region=REGION)).encode(),
            output=json.dumps(self._outputs(machines or self.outputs)).encode(),
        )

    def terraform_acts(self, event: ResourceProgress, *, by: str, sleep: Callable[[float], None]) -> None:
        """Change in AWS what Terraform reports: the AWS provider stops a machine for another type, and starts it.

        Args:
            by: the client whose Terraform it is.
            sleep: lets other clients act.
        """
        name, before = self.changes, self.states()[self.changes]
        if event.action != "update":
            return
        if event.status == "started":
            self.driver.pass_time()
            self.wrong += [
                f"the Terraform of {by} changes {name} under the run of {run.client}"
                for run in self.driver.runs.values()
                if run.state == "running" and run.client != by
            ]
            if before == "stopped":
                self.started.setdefault(by, set()).add(name)
            if before in ("pending", "running"):
                self._set(self.ids[name], "stopped")
                if name == "driver":
                    self.driver.power_off()
            sleep(30.0)
        elif event.status == "done":
            if before == "stopped":
                self._set(self.ids[name], "running")
            sleep(30.0)

    def _change_of(self, name: str) -> dict[str, Any]:
        before = machine(name)
        address = f'module.machine["{name}"].aws_instance.this'
        return change("aws_instance", address, before=before, after={**before, "instance_type": "r5.2xlarge"})

    def terraform_outputs(self) -> Outputs:
        """Return what Terraform's outputs say of the machines."""
        outputs = Outputs.from_terraform(self._outputs(self.outputs))
        assert outputs is not None
        return outputs

    def _outputs(self, machines: Mapping[str, object]) -> dict[str, Any]:
        values = {"cluster": self.name, "region": REGION, "machines": machines, "deadline_role_arn": self._role}
        return {name: {"value": value} for name, value in values.items()}

    def pass_by(self, seconds: float) -> None:
        """Let time pass for all clients, and deadlines fire."""
        self.clock.pass_by(seconds)
        before = self.states()["driver"]
        if self.aws.fire() and before in ("pending", "running") and self.states()["driver"] not in (before, "running"):
            self.driver.power_off()
        self._stop_themselves()

    def _stop_themselves(self) -> None:
        """Let the driver power itself off, and the other machines follow a driver that was off for long enough."""
        self.driver.pass_time()
        if self.states()["driver"] == "running":
            self._driver_seen = self.clock()
            if self.driver.is_left():
                self.driver.power_off()
                self._power_off("driver")
                self.stopped_themselves += 1
        now, running = self.clock(), [name for name, state in self.states().items() if state == "running"]
        self._booted = {name: self._booted.get(name, now) for name in running}
        for name, booted in self._booted.items():
            grace = 0.0 if booted <= self._driver_seen else GRACE
            if name != "driver" and now > max(booted + grace, self._driver_seen + PATIENCE):
                self._power_off(name)

    def step(self) -> None:
        """Count a client's step. At its step, the bad machine becomes one that AWS can't stop."""
        self._steps += 1
        if self.bad is not None and self._steps == self.bad.at:
            self._spoil(self.bad)

    def spoil(self, machine: str, kind: str) -> None:
        """Make a machine one that AWS can't stop, until the next scenario."""
        self.bad = BadMachine(machine, kind, self._steps)
        self._spoil(self.bad)

    def _spoil(self, bad: BadMachine) -> None:
        instance_id = self.ids[bad.machine]
        instance = self._instance(instance_id)
        if bad.kind == "terminated":
            instance._state = InstanceState("terminated", 48)
            if bad.machine == "driver":
                self.driver.power_off()
        elif bad.kind == "untagged":
            self._ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": CLUSTER_TAG}])
        else:
            instance.disable_api_stop = True

    @property
    def spoiled(self) -> str:
        """The name of the machine that AWS can't stop; empty: it can stop all."""
        return self.bad.machine if self.bad is not None and self._steps >= self.bad.at else ""

    def restore(self) -> None:
        """Let AWS stop the bad machine again."""
        if name := self.spoiled:
            instance = self._instance(self.ids[name])
            instance.disable_api_stop = False
            if instance.state == "terminated":
                instance._state = PassingState("stopped", then="stopped", seconds=0.0, clock=self.clock)
            self._ec2.create_tags(Resources=[self.ids[name]], Tags=[{"Key": CLUSTER_TAG, "Value": self.name}])
        self.bad = None

    def clear_up(self) -> None:
        """Restore fair weather, which a later client finds."""
        self.restore()
        self.weather = FAIR
        for instance_id in self.ids.values():
            instance = self._instance(instance_id)
            if instance.state == "stopping":
                instance._state = PassingState("stopping", then="stopped", seconds=1.0, clock=self.clock)

    def states(self) -> dict[str, str]:
        """Return the states of the cluster's machines."""
        return {name: self._instance(instance_id).state for name, instance_id in self.ids.items()}

    def deadline(self) -> str:
        """Return the time at which AWS stops the machines; empty if it does not."""
        schedules = scheduler_backends[ACCOUNT][REGION].schedule_groups["default"].schedules
        found = schedules.get(f"pio-tf-{self.name}")
        return str(found.schedule_expression) if found else ""

    def other_states(self) -> set[str]:
        """Return the states of machines of other clusters."""
        return {self._instance(instance_id).state for instance_id in self.others.values()}

    def belongings(self) -> Belongings:
        """Return what exists now, as moto's EC2 has it: an answer of DescribeInstances takes it a tenth of a second."""
        backend, ours = ec2_backends[ACCOUNT][REGION], {*self.ids.values(), *self.others.values()}
        alive = [one for one in backend.all_instances() if one.id in ours]
        alive = [one for one in alive if one.state not in ("terminated", "shutting-down")]
        return Belongings(
            machines=frozenset(one.id for one in alive),
            addresses=frozenset((one.id, one.private_ip) for one in alive),
            volumes=frozenset(disk.volume_id for one in alive for disk in one.block_device_mapping.values()),
            elastic=frozenset(
                (address.public_ip, address.instance.id)
                for address in backend.addresses
                if address.instance is not None and address.instance.id in ours
            ),
        )

    # AWS's side, for clients

    def weather_refuses(self, action: str, arguments: dict[str, list[str]]) -> tuple[str, str] | None:
        """Return code and message if AWS has no room for a machine."""
        assert self.weather is not None
        if action != "StartInstances":
            return None
        names = self._names(_ids(arguments))
        lacking = [name for name in names if self._lacks_room(name, self.weather)]
        if any(self.states()[name] == "stopped" for name in lacking):
            return "InsufficientInstanceCapacity", "We currently do not have sufficient r3.xlarge capacity."
        return None

    def _lacks_room(self, name: str, weather: Weather) -> bool:
        kind = self._instance(self.ids[name]).instance_type
        return self.clock() < 1000.0 + max(weather.no_capacity.get(name, 0.0), weather.sold_out.get(kind, 0.0))

    def read(self, request: AWSPreparedRequest, action: str) -> tuple[int, dict[str, str], bytes]:
        """Return the answer to a read, which may be an old one."""
        if action.startswith("GET /schedules/"):
            return self._remembered(f"{action} {request.url} {_schedule_facts(action)}", request)
        if not action.startswith("Describe"):
            return self.aws.call(request)
        key = f"{action} {request.body!r}"
        old = self._written.get(f"{key} {self._before}")
        if self.clock() < self._stale_until and old is not None and action == "DescribeInstances":
            return old
        # moto takes long to write an answer, and but for times of day it is the same for the same states.
        now = key if action == "DescribeInstanceTypes" else f"{key} {self._facts()}"
        return self._remembered(now, request)

    def _remembered(self, key: str, request: AWSPreparedRequest) -> tuple[int, dict[str, str], bytes]:
        """Return moto's answer, which is the same for the same key."""
        if key not in self._written:
            self._written[key] = self.aws.call(request)
        return self._written[key]

    def change(
        self, request: AWSPreparedRequest, action: str, arguments: dict[str, list[str]], *, by: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Change something; record calls that no client may make."""
        assert self.weather is not None
        ids = _ids(arguments)
        strange = [instance_id for instance_id in ids if instance_id not in self.ids.values()]
        if strange or not self._harmless.fullmatch(action):
            self.wrong.append(f"{by}: {action} of {', '.join(strange) or 'the cluster'}")
        if action == "ModifyInstanceAttribute" and not _sets_a_type(arguments):
            self.wrong.append(f"{by}: {action} with {arguments}")
        before, facts = self.states(), self._facts()
        done = self.aws.call(request)
        if done[0] == 200:
            self.calls[action] += 1
            if action == "StartInstances":
                self.started.setdefault(by, set()).update(n for n in self._names(ids) if before[n] == "stopped")
            self._stale_until, self._before = self.clock() + self.weather.lag_seconds, facts
            if action == "StopInstances" and by not in self.forcing and before["driver"] in ("pending", "running"):
                self.driver.pass_time()
                runs = [] if "driver" not in self._names(ids) else self.driver.runs.values()
                self.wrong += [
                    f"{by} cuts off the run of {run.client}"
                    for run in runs
                    if run.state == "running" and run.client != by
                ]
            self._follow_up(action, self._names(ids), before, forced="true" in arguments.get("Force", ()))
        return done

    def _follow_up(self, action: str, names: list[str], before: dict[str, str], *, forced: bool) -> None:
        assert self.weather is not None
        for name in names if action in ("StartInstances", "StopInstances") else ():
            instance = self._instance(self.ids[name])
            if action == "StopInstances":
                if before[name] != "stopped" and name == "driver":
                    self.driver.power_off()
                seconds = 1.0 if forced else self.weather.stuck.get(name, 0.0)
                if seconds and (forced or before[name] in ("running", "pending")) and instance.state == "stopping":
                    instance._state = PassingState("stopping", then="stopped", seconds=seconds, clock=self.clock)
            elif name in self.weather.falls_back and before[name] == "stopped":
                seconds = self.weather.transition_seconds
                instance._state = PassingState("pending", then="stopped", seconds=seconds, clock=self.clock)
            else:
                seconds = self.weather.transition_seconds
                if before[name] == "stopped":
                    instance._state = PassingState("pending", then="running", seconds=seconds, clock=self.clock)
            instance.launch_time = LAUNCHED

    # How it was made

    def _blocks(self) -> dict[str, str]:
        return BLOCKS | {
            "cluster": f'cluster {{\n  name = "{self.name}"\n}}\n',
            "aws": f'aws {{\n  region = "{REGION}"\n  endpoint_url = "{self.aws.url}"\n'
            '  credentials_file = "credentials"\n}\n',
            "spark": f"spark {{\n  workers = {len(self.machines) - 2}\n}}\n",
        }

    def _create(self) -> None:
        client = self._ec2
        vpc = client.create_vpc(CidrBlock="10.20.0.0/24")["Vpc"]["VpcId"]
        subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/24")["Subnet"]["SubnetId"]
        image = client.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]

        def run(number: int, tags: dict[str, str]) -> str:
            made = client.run_instances(
                ImageId=image,
                InstanceType="r3.xlarge",
                MinCount=1,
                MaxCount=1,
                SubnetId=subnet,
                PrivateIpAddress=f"10.20.0.{number}",
                TagSpecifications=[
                    {"ResourceType": "instance", "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
                ],
            )
            return made["Instances"][0]["InstanceId"]

        for number, name in enumerate(self.machines, 10):
            tags = {MACHINE_TAG: name, ROLE_TAG: name.partition("-")[0], "Name": f"{self.name}-{name}"}
            self.ids[name] = run(number, {**tags, CLUSTER_TAG: self.name})
            self.outputs[name] = {"role": tags[ROLE_TAG], "id": self.ids[name], "private_ip": f"10.20.0.{number}"}
            if number < 13:
                self.others[f"untagged {name}"] = run(number + 100, tags)
                self.others[f"another's {name}"] = run(number + 120, {**tags, CLUSTER_TAG: f"{self.name}-b"})
        address = client.allocate_address(Domain="vpc")["AllocationId"]
        client.associate_address(AllocationId=address, InstanceId=self.ids["driver"])
        self.know()

    def _make_role(self, iam: Any) -> str:  # noqa: ANN401 - a client of botocore's
        """Make the role of the deadline, as terraform/modules/failsafe does."""
        name = f"pio-tf-{self.name}-{REGION}"
        of_this_account = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
        ours = {"StringEquals": {"ec2:ResourceTag/pio-tf:cluster": self.name}}
        trust = {"Action": "sts:AssumeRole", "Principal": {"Service": "scheduler.amazonaws.com"}}
        stop = {"Action": "ec2:StopInstances", "Resource": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"}
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_allow({**trust, "Condition": of_this_account}))
        document = _allow({**stop, "Condition": ours})
        iam.put_role_policy(RoleName=name, PolicyName="stop-machines", PolicyDocument=document)
        return str(made["Role"]["Arn"])

    def _trusted(self, service: str) -> Any:  # noqa: ANN401 - a client of botocore's
        made = with_all_operations(self._aws.client("ec2")) if service == "ec2" else self._aws.client(service)
        leave_unsigned(made)
        events: Any = made.meta.events  # its stubs know no handler that answers
        events.register_first("before-send", self._without_faults)
        return made

    def _without_faults(self, request: AWSPreparedRequest, **_event: Any) -> AWSResponse:  # noqa: ANN401
        return answer(request.url, *self.aws.call(request))

    def _instance(self, instance_id: str) -> Any:  # noqa: ANN401 - moto's
        if instance_id not in self._instances:
            self._instances[instance_id] = ec2_backends[ACCOUNT][REGION].get_instance(instance_id)
        return self._instances[instance_id]

    def _set(self, instance_id: str, state: str) -> None:
        instance = self._instance(instance_id)
        then = {"pending": "running", "stopping": "stopped"}.get(state, state)
        instance._state = PassingState(state, then=then, seconds=20.0, clock=self.clock)
        instance._never_ran_until = 0.0
        instance.state_reason = None

    def _power_off(self, name: str) -> None:
        """Let a machine power itself off."""
        self._set(self.ids[name], "stopping")
        self._instance(self.ids[name]).state_reason = StateReason("Instance initiated shutdown", FROM_INSIDE)

    def has_powered_itself_off(self, name: str) -> bool:
        """Return whether a machine is off, or about to be, because it has powered itself off."""
        reason = self._instance(self.ids[name]).state_reason
        return self.states()[name] in ("stopping", "stopped") and getattr(reason, "code", "") == FROM_INSIDE

    def _facts(self) -> list[str]:
        instances = [self._instance(instance_id) for instance_id in (*self.ids.values(), *self.others.values())]
        tagged = "" if self.bad is None or self.bad.kind != "untagged" else self.spoiled
        return [
            tagged,
            *(
                f"{one.instance_type} {one.state} {one.state_reason.code if one.state_reason else ''}"
                for one in instances
            ),
        ]

    def _names(self, ids: list[str]) -> list[str]:
        return [name for name, instance_id in self.ids.items() if instance_id in ids]


def _schedule_facts(action: str) -> str:
    """Return all that there is of the schedule that a read names, its times included."""
    found = scheduler_backends[ACCOUNT][REGION].schedule_groups["default"].schedules.get(action.rpartition("/")[2])
    return repr(vars(found)) if found is not None else ""


def _ids(arguments: dict[str, list[str]]) -> list[str]:
    """Return the instances of a call: EC2's, or those that a schedule stops."""
    if arguments.get("body", [""])[0]:
        target = json.loads(arguments["body"][0]).get("Target", {})
        return list(json.loads(target.get("Input", "{}")).get("InstanceIds", []))
    return [value for key, values in arguments.items() if key.startswith("InstanceId") for value in values]


def _sets_a_type(arguments: dict[str, list[str]]) -> bool:
    """Return whether a call of ModifyInstanceAttribute sets the type to one of pio-tf.hcl, and nothing else."""
    known = {"Action", "Version", "InstanceId", "InstanceType.Value"}
    return set(arguments) == known and arguments["InstanceType.Value"][0] in TYPES


def _allow(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})
