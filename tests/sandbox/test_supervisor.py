"""Machines follow instances, one by one: a machine that fails harms no other and is tried again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pio_tf.errors import SandboxError
from pio_tf.sandbox.ec2_models import LocalInstance
from pio_tf.sandbox.supervisor import Supervisor

if TYPE_CHECKING:
    from pio_tf.model import PowerState
    from pio_tf.sandbox.machine import MachineSpec

DRIVER = LocalInstance(
    instance_id="i-1",
    state="running",
    region="us-east-1",
    private_ip="127.77.0.10",
    instance_type="t3.medium",
    memory_mib=4096,
    vcpus=2,
    tags={"pio-tf:cluster": "one", "pio-tf:role": "driver", "pio-tf:machine": "driver"},
    reboots=0,
    public_key="ssh-ed25519 AAAA",
)


@dataclass
class Bench:
    """Makes machines that note what is done to them, and fail where told."""

    done: list[str] = field(default_factory=list)
    built: list[MachineSpec] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    now: float = 0.0

    def machine(self, spec: MachineSpec) -> BenchMachine:
        self.built.append(spec)
        return BenchMachine(self, spec.name)

    def supervisor(self) -> Supervisor:
        return Supervisor(
            directory=Path("/machines"), make_machine=self.machine, ssh_port=2222, user="ubuntu", clock=lambda: self.now
        )


@dataclass
class BenchMachine:
    bench: Bench
    name: str

    async def start(self) -> None:
        if self.name in self.bench.broken:
            raise SandboxError("127.77.0.10:2222 is taken")
        self.bench.done.append(f"start {self.name}")

    async def stop(self) -> None:
        self.bench.done.append(f"stop {self.name}")

    async def remove(self) -> None:
        self.bench.done.append(f"remove {self.name}")


async def follow(supervisor: Supervisor, *instances: LocalInstance) -> None:
    supervisor.follow(instances)
    for _ in range(5):
        await asyncio.sleep(0)


def in_state(state: PowerState, instance: LocalInstance = DRIVER) -> LocalInstance:
    return replace(instance, state=state)


def another(name: str, **changes: Any) -> LocalInstance:  # noqa: ANN401
    tags = {**DRIVER.tags, "pio-tf:role": name.partition("-")[0], "pio-tf:machine": name}
    return replace(DRIVER, instance_id=f"i-{name}", tags=tags, **changes)


async def test_power_follows_the_states_in_order() -> None:
    bench = Bench()
    supervisor = bench.supervisor()
    states: tuple[PowerState, ...] = ("pending", "running", "running", "stopping", "stopped", "pending", "running")
    for state in (*states, "shutting-down", "terminated", "terminated"):
        await follow(supervisor, replace(DRIVER, state=state))
    assert bench.done == ["start driver", "stop driver", "start driver", "stop driver", "remove driver"]
    assert supervisor.statuses() == ()


async def test_a_reboot_switches_a_running_machine_off_and_on_once() -> None:
    bench = Bench()
    supervisor = bench.supervisor()
    rebooted = replace(DRIVER, reboots=1)
    for instance in (DRIVER, rebooted, rebooted, in_state("stopping", rebooted), in_state("running", rebooted)):
        await follow(supervisor, instance)
    assert bench.done == ["start driver", "stop driver", "start driver", "stop driver", "start driver"]


async def test_a_machine_that_fails_is_shown_and_tried_again_and_harms_no_other() -> None:
    bench = Bench(broken={"driver"})
    supervisor = bench.supervisor()
    await follow(supervisor, DRIVER, another("master"))
    await follow(supervisor, DRIVER, another("master"))
    assert [(m.name, m.power, m.error) for m in supervisor.statuses()] == [
        ("driver", "failed", "127.77.0.10:2222 is taken"),
        ("master", "on", ""),
    ]
    bench.broken.clear()
    await follow(supervisor, DRIVER, another("master"))
    assert bench.done == ["start master"]  # not at once: it would be tried five times a second
    bench.now += 1.0
    await follow(supervisor, DRIVER, another("master"))
    assert bench.done == ["start master", "start driver"]
    assert [(m.power, m.error) for m in supervisor.statuses()] == [("on", ""), ("on", "")]


async def test_a_changed_type_counts_from_the_next_start() -> None:
    bench = Bench()
    supervisor = bench.supervisor()
    bigger = replace(DRIVER, instance_type="r3.xlarge", memory_mib=31232, vcpus=4)
    for instance in (DRIVER, in_state("stopped"), in_state("stopped", bigger), bigger):
        await follow(supervisor, instance)
    assert [spec.memory_mib for spec in bench.built] == [4096, 31232]
    assert bench.built[1].directory == bench.built[0].directory == Path("/machines/i-1")


async def test_workers_get_the_master_of_their_own_cluster() -> None:
    bench = Bench()
    master = another("master", private_ip="127.77.0.11")
    foreign = replace(
        another("master", private_ip="127.77.9.9"), instance_id="i-9", tags={**master.tags, "pio-tf:cluster": "two"}
    )
    await follow(bench.supervisor(), another("worker-1"), foreign, master, DRIVER)
    masters = {spec.name: spec.master_address for spec in bench.built}
    assert masters == {"worker-1": "127.77.0.11", "master": None, "driver": None}


async def test_an_instance_of_another_maker_is_a_machine_without_a_role_whatever_tags_it_gets_later() -> None:
    bench = Bench()
    supervisor = bench.supervisor()
    await follow(supervisor, replace(DRIVER, tags={"Name": "spark-1"}))
    await follow(supervisor, DRIVER)
    assert [(spec.role, spec.user) for spec in bench.built] == [(None, None)]
    assert bench.done == ["start i-1"]


async def test_an_instance_that_no_user_can_log_in_to_has_nothing_behind_it() -> None:
    bench = Bench()
    tags = {"Name": "spark-1"}
    keyless = replace(DRIVER, tags=tags, public_key=None)
    await follow(bench.supervisor(), keyless, replace(DRIVER, tags=tags, private_ip="172.31.0.4"))
    assert bench.built == []


async def test_closing_switches_everything_off() -> None:
    bench = Bench()
    supervisor = bench.supervisor()
    await follow(supervisor, DRIVER, another("master"))
    await supervisor.close()
    assert sorted(bench.done) == ["start driver", "start master", "stop driver", "stop master"]
