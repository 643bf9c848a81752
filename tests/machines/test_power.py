"""Starting and stopping, with the faults that AWS has and moto does not."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from pio_tf.errors import AwsError, MachinesMayBeRunning, NotReady
from pio_tf.events import Event, MachineProgress, Warned
from pio_tf.machines.power import start_machines, stop_machines
from pio_tf.model import Machine, PowerState
from tests.machines.fake_ec2 import LAUNCHED, FakeEc2, FakeInstance, client_error, cluster_of

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = ("r3.xlarge", "r5.xlarge", "r6i.xlarge")
STATES: tuple[PowerState, ...] = ("pending", "running", "stopping", "stopped")
_THEN: dict[str, PowerState] = {"pending": "running", "stopping": "stopped"}


def start(
    ec2: FakeEc2,
    *,
    timeout: float = 300,
    capacity_wait: float = 0,
    may_lack: int = 0,
    types: Sequence[str] = (),
    events: list[Event] | None = None,
) -> list[Machine]:
    return start_machines(
        ec2.client,
        ec2.machines(),
        types=dict.fromkeys(ec2.instances, types),
        timeout=timeout,
        capacity_wait=capacity_wait,
        may_lack=may_lack,
        reporter=events.append if events is not None else lambda _: None,
        clock=ec2.clock,
        sleep=ec2.sleep,
    )


def stop(
    ec2: FakeEc2, *, timeout: float = 300, force_after: float = 0, events: list[Event] | None = None
) -> list[Machine]:
    return stop_machines(
        ec2.client,
        ec2.machines(),
        timeout=timeout,
        force_after=force_after,
        reporter=events.append if events is not None else lambda _: None,
        clock=ec2.clock,
        sleep=ec2.sleep,
    )


def put(ec2: FakeEc2, states: tuple[PowerState, ...]) -> None:
    for instance, state in zip(ec2.instances.values(), states, strict=True):
        instance.state = state
        if state in _THEN:
            instance.then = (ec2.now + 3, _THEN[state])


@pytest.mark.parametrize("states", list(itertools.product(STATES, repeat=3)), ids="-".join)
def test_up_ends_with_all_running_from_every_mixture_of_states(states: tuple[PowerState, ...]) -> None:
    ec2 = FakeEc2(cluster_of(1))
    put(ec2, states)
    result = start(ec2)
    assert {machine.state for machine in result} == {"running"}
    assert set(ec2.states().values()) == {"running"}
    assert [machine.name for machine in result] == ["driver", "master", "worker-1"]


@pytest.mark.parametrize("never_ran", [False, True])
@pytest.mark.parametrize("states", list(itertools.product(STATES, repeat=3)), ids="-".join)
def test_down_ends_with_all_stopped_from_every_mixture_of_states(
    states: tuple[PowerState, ...], never_ran: bool
) -> None:
    ec2 = FakeEc2(cluster_of(1))
    put(ec2, states)
    for instance in ec2.instances.values():
        instance.never_ran = never_ran
    result = stop(ec2)
    assert {machine.state for machine in result} == {"stopped"}
    assert set(ec2.states().values()) == {"stopped"}


def test_nothing_is_called_when_all_is_as_wanted() -> None:
    ec2 = FakeEc2(cluster_of(3, "running"))
    assert start(ec2) == ec2.machines()
    ec2 = FakeEc2(cluster_of(3, "stopped"))
    assert stop(ec2) == ec2.machines()
    assert ec2.calls == []


def test_fifty_machines_take_one_start_and_one_describe_a_poll() -> None:
    ec2 = FakeEc2(cluster_of(48))
    start(ec2)
    assert ec2.counts["start"] == 1
    assert len(ec2.calls[0][1]) == 50
    # Looked at once, then after 0.5, 0.8, 1.28 and 2.05 s, which is past the 4 s that these machines take.
    assert ec2.counts["describe"] == 5
    ec2.calls.clear()
    stop(ec2)
    assert ec2.counts == {"stop": 1, "describe": 5}


def test_only_machines_that_still_change_are_polled() -> None:
    ec2 = FakeEc2(cluster_of(3, "running"))
    ec2.instances["i-0002"].state = "stopped"
    start(ec2)
    assert {ids for _, ids in ec2.calls} == {("i-0002",)}


def test_each_change_of_a_machine_is_reported() -> None:
    ec2, events = FakeEc2(cluster_of(1)), list[Event]()
    start(ec2, events=events)
    stop(ec2, events=events)
    driver = [(e.detail, e.ready) for e in events if isinstance(e, MachineProgress) and e.machine == "driver"]
    assert driver == [("pending", False), ("running", False), ("stopping", False), ("stopped", True)]


def test_the_result_has_the_new_time_of_start_and_of_stop() -> None:
    ec2 = FakeEc2(cluster_of(1))
    assert start(ec2)[0].since == LAUNCHED
    since = stop(ec2)[0].since
    assert since is not None
    assert since.isoformat() == "2026-03-02T08:30:00+00:00"


def test_one_machine_without_capacity_does_not_keep_the_others_down() -> None:
    ec2, events = FakeEc2(cluster_of(48)), list[Event]()
    ec2.instances["i-0007"].no_capacity = True
    with pytest.raises(NotReady) as caught:
        start(ec2, events=events)
    states = ec2.states()
    assert states.pop("worker-6") == "stopped"
    assert set(states.values()) == {"running"}
    assert caught.value.what == "1 of 50 machines is not running: worker-6 (i-0007) is stopped"
    assert "InsufficientInstanceCapacity" in caught.value.cause
    assert "another instance type" in caught.value.next_step
    assert "`pio-tf down` stops the 49 that run" in caught.value.next_step
    assert any(isinstance(event, Warned) and "worker-6" in event.message for event in events)
    assert ec2.counts["start"] <= 13  # a bisection: 1 + 2 for each halving of 50


def test_no_capacity_at_all_is_not_asked_for_machine_by_machine() -> None:
    ec2 = FakeEc2(cluster_of(498))
    for instance in ec2.instances.values():
        instance.no_capacity = True
    with pytest.raises(NotReady, match="500 of 500 machines"):
        start(ec2)
    assert ec2.counts["start"] < 30


def test_a_machine_that_aws_stops_again_while_it_starts_is_named_with_the_reason() -> None:
    ec2 = FakeEc2(cluster_of(1))
    ec2.instances["i-0002"].fails_after_start = "Server.InsufficientInstanceCapacity"
    with pytest.raises(NotReady) as caught:
        start(ec2)
    assert "worker-1: AWS stopped it again while it was starting: Insufficient capacity." in caught.value.cause
    assert "another instance type" in caught.value.next_step
    assert ec2.now < 30


def test_a_describe_that_lags_behind_the_start_is_not_taken_for_a_failure() -> None:
    ec2 = FakeEc2(cluster_of(1))
    for instance in ec2.instances.values():
        instance.stale_until = 3.0
    assert {machine.state for machine in start(ec2)} == {"running"}
    assert ec2.counts["start"] == 1


def test_a_describe_that_lags_behind_the_stop_does_not_ask_again_at_once() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))
    for instance in ec2.instances.values():
        instance.stale_until = 3.0
    assert {machine.state for machine in stop(ec2)} == {"stopped"}
    assert ec2.counts["stop"] == 1


def test_an_id_that_ec2_does_not_know_for_a_moment_is_waited_for() -> None:
    ec2 = FakeEc2(cluster_of(3), seconds=8)
    machines = ec2.machines()
    put(ec2, ("pending",) * 5)
    ec2.instances["i-0003"].hidden_until = 2.0
    pending = [
        Machine(m.name, m.role, m.instance_id, m.instance_type, "pending", m.private_ip, None, None) for m in machines
    ]
    result = start_machines(ec2.client, pending, timeout=60, clock=ec2.clock, sleep=ec2.sleep)
    assert {machine.state for machine in result} == {"running"}


def test_an_id_that_ec2_never_knows_again_is_named() -> None:
    ec2 = FakeEc2(cluster_of(1))
    put(ec2, ("pending",) * 3)
    machines = ec2.machines()
    del ec2.instances["i-0001"]
    with pytest.raises(NotReady, match=r"master \(i-0001\) is terminated") as caught:
        start_machines(ec2.client, machines, timeout=300, clock=ec2.clock, sleep=ec2.sleep)
    assert "no longer knows it" in caught.value.cause
    assert ec2.now < 90


def test_a_stop_that_never_ends_names_the_machine_and_the_command_that_forces_it() -> None:
    ec2 = FakeEc2(cluster_of(2, "running"))
    ec2.instances["i-0001"].never_stops = True
    with pytest.raises(MachinesMayBeRunning) as caught:
        stop(ec2, timeout=120)
    assert caught.value.what == "1 of 4 machines is not stopped, and may cost money: master (i-0001) is stopping"
    assert "aws ec2 stop-instances --force --region eu-west-1 --instance-ids i-0001" in caught.value.next_step
    assert "not within 120 s" in caught.value.cause
    assert 120 <= ec2.now < 126


def test_a_start_that_takes_too_long_names_each_machine_with_its_state() -> None:
    ec2 = FakeEc2(cluster_of(1), seconds=1000)
    with pytest.raises(NotReady) as caught:
        start(ec2, timeout=60)
    assert "driver (i-0000) is pending, master (i-0001) is pending" in caught.value.what
    assert ec2.now == pytest.approx(60)


def test_a_protected_machine_does_not_keep_the_others_running() -> None:
    ec2 = FakeEc2(cluster_of(3, "running"))
    ec2.instances["i-0000"].protected = True
    with pytest.raises(MachinesMayBeRunning) as caught:
        stop(ec2)
    states = ec2.states()
    assert states.pop("driver") == "running"
    assert set(states.values()) == {"stopped"}
    assert "disableApiStop" in caught.value.cause
    assert "aws ec2 modify-instance-attribute --region eu-west-1 --instance-id i-0000 --no-disable-api-stop" in (
        caught.value.next_step
    )
    assert ec2.counts["stop"] == 2  # the error names the machine, so nothing is bisected


def test_a_spot_machine_that_cannot_be_stopped_is_told_and_keeps_no_other_running() -> None:
    ec2 = FakeEc2(cluster_of(2, "running"))
    ec2.instances["i-0003"].spot = True
    with pytest.raises(MachinesMayBeRunning) as caught:
        stop(ec2)
    states = ec2.states()
    assert states.pop("worker-2") == "running"
    assert set(states.values()) == {"stopped"}
    assert "You can't stop the Spot Instance 'i-0003'" in caught.value.cause
    assert "worker-2 (i-0003) is a Spot instance: one of a one-time request can only be terminated" in (
        caught.value.next_step
    )


def test_a_machine_of_a_fresh_cluster_is_stopped_as_soon_as_it_has_run() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))
    driver = ec2.instances["i-0000"]
    driver.state, driver.never_ran, driver.then = "pending", True, (6.0, "running")
    stop(ec2)
    assert ec2.counts["stop"] == 3  # refused for all; the other two; the driver
    assert ec2.now < 20


def test_throttling_is_waited_out() -> None:
    ec2, events = FakeEc2(cluster_of(1)), list[Event]()
    for name in ("start", "describe"):
        ec2.faults[name].extend(client_error("RequestLimitExceeded", operation="X", status=503) for _ in range(3))
    assert {machine.state for machine in start(ec2, events=events)} == {"running"}
    assert ec2.counts["start"] == 4
    assert any(isinstance(event, Warned) and "trying again" in event.message for event in events)


def test_endless_throttling_ends_with_the_timeout() -> None:
    ec2 = FakeEc2(cluster_of(1))
    ec2.faults["start"].extend(client_error("RequestLimitExceeded", status=503) for _ in range(1000))
    with pytest.raises(NotReady, match=r"driver .* is stopped"):
        start(ec2, timeout=100)
    assert ec2.now <= 106
    assert ec2.counts["start"] < 40


def test_a_lost_network_during_a_stop_says_that_machines_may_be_running() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))
    gone = EndpointConnectionError(endpoint_url="https://ec2.eu-west-1.amazonaws.com", error="unreachable")
    ec2.faults["describe"].extend(gone for _ in range(1000))
    with pytest.raises(MachinesMayBeRunning) as caught:
        stop(ec2, timeout=900)
    assert "driver (i-0000) is stopping" in caught.value.what
    assert "https://ec2.eu-west-1.amazonaws.com can't be reached" in caught.value.cause
    assert 120 <= ec2.now < 130


def test_a_short_loss_of_the_network_does_not_end_a_stop() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))
    gone = EndpointConnectionError(endpoint_url="https://ec2.eu-west-1.amazonaws.com", error="unreachable")
    ec2.faults["describe"].extend(gone for _ in range(8))
    assert {machine.state for machine in stop(ec2)} == {"stopped"}


def test_a_missing_permission_to_stop_says_that_machines_may_be_running_and_which_permission() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))
    ec2.faults["stop"].append(
        client_error("UnauthorizedOperation", "You are not authorized", operation="StopInstances")
    )
    with pytest.raises(MachinesMayBeRunning) as caught:
        stop(ec2)
    assert "ec2:StopInstances" in caught.value.cause
    assert "driver (i-0000) is running" in caught.value.what
    assert "aws ec2 stop-instances --region eu-west-1 --instance-ids i-0000 i-0001 i-0002" in caught.value.next_step
    assert ec2.counts["stop"] == 1


def test_a_terminated_machine_is_refused_before_anything_is_started() -> None:
    ec2 = FakeEc2(cluster_of(1))
    ec2.instances["i-0001"].state = "shutting-down"
    with pytest.raises(AwsError, match=r"terminated, so it can't be started: master \(i-0001\)"):
        start(ec2)
    assert ec2.calls == []


def test_a_machine_terminated_during_the_stop_is_told_after_the_others_are_stopped() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))
    lost = ec2.instances["i-0001"]
    lost.state, lost.then = "stopping", (2.0, "terminated")
    with pytest.raises(AwsError, match=r"terminated, so it can't be stopped: master \(i-0001\)"):
        stop(ec2)
    assert ec2.states() == {"driver": "stopped", "master": "terminated", "worker-1": "stopped"}


def test_a_machine_that_comes_back_with_another_private_address_is_an_error() -> None:
    ec2 = FakeEc2(cluster_of(1))
    machines = ec2.machines()
    ec2.instances["i-0002"].private_ip = "10.0.0.99"
    with pytest.raises(NotReady) as caught:
        start_machines(ec2.client, machines, timeout=60, clock=ec2.clock, sleep=ec2.sleep)
    assert "worker-1: its private address is 10.0.0.99, not 10.0.0.12" in caught.value.cause


def test_ctrl_c_while_waiting_goes_straight_through() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_machines(ec2.client, ec2.machines(), timeout=60, clock=ec2.clock, sleep=interrupted)
    assert ec2.counts == {"stop": 1, "describe": 1}


def test_a_foreign_machine_is_in_no_call() -> None:
    foreign = [
        FakeInstance("i-00f1", "driver", "driver", "running", cluster="other"),
        FakeInstance("i-00f2", "driver", "driver", "stopped", cluster=None),
    ]
    ec2 = FakeEc2([*cluster_of(2), *foreign])
    start(ec2)
    stop(ec2)
    assert not {"i-00f1", "i-00f2"} & {i for _, ids in ec2.calls for i in ids}


def test_a_machine_without_room_is_asked_for_again_while_the_others_run() -> None:
    ec2, events = FakeEc2(cluster_of(2)), list[Event]()
    ec2.instances["i-0003"].room_from = 70.0
    result = start(ec2, timeout=60, capacity_wait=300, events=events)
    assert {machine.state for machine in result} == {"running"}
    assert 70 <= ec2.now < 150
    asked = [ids for name, ids in ec2.calls if name == "start" and ids == ("i-0003",)]
    assert len(asked) <= 6  # one to find out, then after 10, 20 and 40 s; one is a start
    told = [event.message for event in events if isinstance(event, Warned)]
    assert "AWS has no capacity for r3.xlarge in eu-west-1b (worker-2): pio-tf retries later" in told


def test_room_that_does_not_come_back_within_the_budget_is_told_with_type_and_zone() -> None:
    ec2 = FakeEc2(cluster_of(2))
    for name in ("i-0002", "i-0003"):
        ec2.instances[name].no_capacity = True
    with pytest.raises(NotReady) as caught:
        start(ec2, timeout=900, capacity_wait=120)
    assert ec2.now == pytest.approx(120, abs=6)
    assert caught.value.cause.startswith("AWS has no capacity for r3.xlarge in eu-west-1b (worker-1, worker-2)")
    assert caught.value.details["lacking"] == "r3.xlarge in eu-west-1b (worker-1, worker-2)"
    assert ec2.states() == {"driver": "running", "master": "running", "worker-1": "stopped", "worker-2": "stopped"}


def test_a_machine_that_aws_stops_again_for_want_of_room_is_asked_for_again() -> None:
    ec2 = FakeEc2(cluster_of(1))
    worker = ec2.instances["i-0002"]
    worker.fails_after_start = "Server.InsufficientInstanceCapacity"

    def sleep(seconds: float) -> None:
        ec2.sleep(seconds)
        if ec2.now > 12:
            worker.fails_after_start = ""

    result = start_machines(ec2.client, ec2.machines(), timeout=60, capacity_wait=300, clock=ec2.clock, sleep=sleep)
    assert {machine.state for machine in result} == {"running"}


def test_a_driver_that_powers_itself_off_while_it_is_started_is_started_again() -> None:
    ec2 = FakeEc2(cluster_of(1))
    driver = ec2.instances["i-0000"]
    driver.fails_after_start = "Client.InstanceInitiatedShutdown"

    def sleep(seconds: float) -> None:
        ec2.sleep(seconds)
        if driver.reason:
            driver.fails_after_start = ""

    result = start_machines(ec2.client, ec2.machines(), timeout=60, clock=ec2.clock, sleep=sleep)
    assert {machine.state for machine in result} == {"running"}


def test_workers_that_may_be_lacking_do_not_fail_the_start_but_the_driver_and_master_do() -> None:
    ec2 = FakeEc2(cluster_of(3))
    ec2.instances["i-0004"].no_capacity = True
    result = start(ec2, may_lack=1)
    assert [machine.name for machine in result if machine.state == "stopped"] == ["worker-3"]
    for name in ("i-0000", "i-0001"):
        ec2 = FakeEc2(cluster_of(3))
        ec2.instances[name].no_capacity = True
        with pytest.raises(NotReady):
            start(ec2, may_lack=3)


def types_of(ec2: FakeEc2) -> set[str]:
    return {instance.instance_type for instance in ec2.instances.values()}


def test_machines_whose_type_is_sold_out_start_at_once_as_the_next_one_of_the_list() -> None:
    ec2, events = FakeEc2(cluster_of(2)), list[Event]()
    ec2.sold_out = {"r3.xlarge"}
    result = start(ec2, types=TYPES, capacity_wait=300, events=events)
    assert {(machine.state, machine.instance_type) for machine in result} == {("running", "r5.xlarge")}
    assert types_of(ec2) == {"r5.xlarge"}
    assert ec2.now < 10
    told = [event.message for event in events if isinstance(event, Warned)]
    assert told == [
        "AWS has no capacity for r3.xlarge in eu-west-1b (driver, master, worker-1, worker-2): trying r5.xlarge"
    ]


def test_each_machine_takes_the_first_type_that_aws_has_for_it() -> None:
    ec2 = FakeEc2(cluster_of(2))
    ec2.sold_out = {"r3.xlarge", "r6i.xlarge"}
    ec2.instances["i-0003"].instance_type = "r6i.xlarge"  # since an earlier start
    ec2.instances["i-0001"].state = "running"
    start(ec2, types=TYPES)
    assert [one.instance_type for one in ec2.instances.values()] == ["r5.xlarge", "r3.xlarge", "r5.xlarge", "r5.xlarge"]


def test_a_machine_stays_what_it_is_while_aws_has_room_for_that() -> None:
    ec2 = FakeEc2(cluster_of(1))
    ec2.instances["i-0000"].instance_type = "r6i.xlarge"
    start(ec2, types=TYPES)
    assert ec2.counts["modify"] == 0


def test_a_list_that_is_sold_out_is_tried_again_until_the_budget_ends_and_each_type_is_named() -> None:
    ec2, events = FakeEc2(cluster_of(1)), list[Event]()
    ec2.sold_out = set(TYPES)
    with pytest.raises(NotReady) as caught:
        start(ec2, types=TYPES, capacity_wait=120, events=events)
    assert ec2.now == pytest.approx(120, abs=6)
    lacking = caught.value.details["lacking"]
    assert isinstance(lacking, str)
    assert {*lacking.partition(" in ")[0].split(" or ")} == set(TYPES)
    assert lacking.endswith("eu-west-1b (driver, master, worker-1)")
    rounds = sum("pio-tf retries later" in event.message for event in events if isinstance(event, Warned))
    assert rounds == 4  # at once, and after 10, 30 and 70 s; the last attempt, at 120 s, fails
    assert ec2.counts["modify"] == 2 * 3 * (rounds + 1)
    assert types_of(ec2) <= set(TYPES)


def test_room_that_comes_back_for_another_type_of_the_list_is_taken_and_the_start_gets_its_whole_time() -> None:
    ec2 = FakeEc2(cluster_of(1))
    ec2.sold_out = set(TYPES)

    def sleep(seconds: float) -> None:
        ec2.sleep(seconds)
        if ec2.now > 65:
            ec2.sold_out = {"r3.xlarge", "r6i.xlarge"}

    result = start_machines(
        ec2.client,
        ec2.machines(),
        timeout=60,
        capacity_wait=300,
        types=dict.fromkeys(ec2.instances, TYPES),
        clock=ec2.clock,
        sleep=sleep,
    )
    assert {(machine.state, machine.instance_type) for machine in result} == {("running", "r5.xlarge")}


def test_a_type_that_aws_stops_again_for_want_of_room_is_followed_by_the_next() -> None:
    ec2 = FakeEc2(cluster_of(1))
    worker = ec2.instances["i-0002"]

    def before_call() -> None:
        has_room = worker.instance_type == "r5.xlarge"
        worker.fails_after_start = "" if has_room else "Server.InsufficientInstanceCapacity"

    start_machines(
        ec2.client,
        ec2.machines(),
        timeout=60,
        types=dict.fromkeys(ec2.instances, TYPES),
        before_call=before_call,
        clock=ec2.clock,
        sleep=ec2.sleep,
    )
    assert (worker.state, worker.instance_type) == ("running", "r5.xlarge")


def test_a_last_type_that_the_zone_does_not_offer_leaves_the_others_to_be_retried() -> None:
    ec2 = FakeEc2(cluster_of(0))
    ec2.instances["i-0001"].state = "running"
    ec2.sold_out = {"r6i.xlarge"}
    ec2.faults["start"] += [
        client_error("InsufficientInstanceCapacity", status=500),
        client_error("InsufficientInstanceCapacity", status=500),
        client_error("Unsupported", "Your requested instance type (r6i.xlarge) is not supported in this zone."),
    ]
    start(ec2, types=TYPES, capacity_wait=60)
    assert (ec2.states()["driver"], ec2.instances["i-0000"].instance_type) == ("running", "r3.xlarge")
    assert 10 <= ec2.now < 20


@pytest.mark.parametrize(
    ("code", "calls"), [("UnauthorizedOperation", 1), ("InvalidParameterCombination", 4), ("RequestLimitExceeded", 4)]
)
def test_a_type_that_may_not_be_set_is_told_and_the_start_waits_as_without_a_list(code: str, calls: int) -> None:
    ec2, events = FakeEc2(cluster_of(0)), list[Event]()
    ec2.sold_out = {"r3.xlarge"}
    ec2.faults["modify"] += [client_error(code, operation="ModifyInstanceAttribute") for _ in range(4)]
    with pytest.raises(NotReady, match="2 of 2 machines are not running"):
        start(ec2, types=TYPES, capacity_wait=0, events=events)
    assert types_of(ec2) == {"r3.xlarge"}
    told = [event.message for event in events if isinstance(event, Warned)]
    assert told[0].startswith("changing driver (i-0000) to r5.xlarge: ")
    assert code in told[0]
    assert ec2.counts["modify"] == (2 if code == "RequestLimitExceeded" else calls)


def test_a_stop_that_takes_too_long_is_forced_and_said() -> None:
    ec2, events = FakeEc2(cluster_of(2, "running")), list[Event]()
    ec2.instances["i-0001"].never_stops = True
    assert {machine.state for machine in stop(ec2, timeout=900, force_after=300, events=events)} == {"stopped"}
    assert [ids for name, ids in ec2.calls if name == "force"] == [("i-0001",)]
    assert 300 <= ec2.now < 315
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any(message.startswith("master (i-0001) has been stopping for 300 s") for message in told)


def test_a_machine_that_force_does_not_stop_either_is_an_error_with_its_name() -> None:
    ec2 = FakeEc2(cluster_of(1, "running"))
    ec2.instances["i-0001"].never_stops = ec2.instances["i-0001"].hopeless = True
    with pytest.raises(MachinesMayBeRunning, match=r"master \(i-0001\) is stopping"):
        stop(ec2, timeout=900, force_after=300)
    assert ec2.counts["force"] == 2  # at 300 and at 600 s


def test_a_force_that_is_not_allowed_is_told_and_the_stop_is_waited_for() -> None:
    ec2, events = FakeEc2(cluster_of(1, "running"), seconds=400), list[Event]()
    ec2.faults["force"].extend(
        client_error("UnsupportedOperation", "not this one", operation="StopInstances") for _ in range(8)
    )
    assert {machine.state for machine in stop(ec2, timeout=900, force_after=300, events=events)} == {"stopped"}
    assert any(isinstance(event, Warned) and "UnsupportedOperation" in event.message for event in events)


def test_credentials_that_expire_while_machines_stop_may_be_renewed_meanwhile() -> None:
    ec2, events = FakeEc2(cluster_of(1, "running")), list[Event]()
    ec2.faults["describe"].extend(client_error("ExpiredToken", operation="DescribeInstances") for _ in range(8))
    assert {machine.state for machine in stop(ec2, events=events)} == {"stopped"}
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any("expired" in message and "aws sso login" in message for message in told)


def test_credentials_that_stay_expired_during_a_start_say_that_machines_may_be_running() -> None:
    ec2 = FakeEc2(cluster_of(1))
    ec2.faults["describe"].extend(client_error("RequestExpired", operation="DescribeInstances") for _ in range(1000))
    with pytest.raises(MachinesMayBeRunning) as caught:
        start(ec2, timeout=900)
    assert "driver (i-0000) is pending" in caught.value.what
    assert "expired" in caught.value.cause
    assert "aws ec2 stop-instances --region eu-west-1 --instance-ids i-0000 i-0001 i-0002" in caught.value.next_step


def test_a_start_whose_answer_never_came_may_have_started_machines() -> None:
    ec2 = FakeEc2(cluster_of(1))
    timed_out = ReadTimeoutError(endpoint_url="https://ec2.eu-west-1.amazonaws.com")
    ec2.faults["start"].extend([timed_out] * 100)
    ec2.faults["describe"].extend([timed_out] * 100)
    with pytest.raises(MachinesMayBeRunning) as caught:
        start(ec2)
    for instance_id in ec2.instances:
        assert instance_id in caught.value.what
        assert instance_id in caught.value.next_step


def test_a_start_that_was_throttled_to_the_end_has_started_nothing() -> None:
    ec2 = FakeEc2(cluster_of(1))
    for calls in (ec2.faults["start"], ec2.faults["describe"]):
        calls.extend([client_error("RequestLimitExceeded")] * 100)
    with pytest.raises(AwsError, match="limits the rate"):
        start(ec2)


def test_a_start_names_the_machines_that_another_client_had_started_before() -> None:
    ec2 = FakeEc2(cluster_of(1))
    put(ec2, ("stopped", "stopped", "stopped"))
    seen, others = ec2.machines(), set[str]()
    ec2.client.start_instances(InstanceIds=[seen[0].instance_id])
    start_machines(ec2.client, seen, timeout=60, on_others=others.update, clock=ec2.clock, sleep=ec2.sleep)
    assert others == {seen[0].instance_id}
