"""All ends of a training: the machines stop after each."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from pio_tf.cluster.training_session import INTERRUPTED_SECONDS, LAST_SECONDS
from pio_tf.errors import (
    ConfigError,
    Interrupted,
    Locked,
    MachinesMayBeRunning,
    NotReady,
    PioTfError,
    RemoteError,
    TrainingFailed,
)
from pio_tf.events import Event, Warned
from pio_tf.training.runs.record import Client, RunRecord
from tests.cluster.support import Steps

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = RunRecord(
    id="20261123T180000Z-0000",
    cluster="ur",
    client=Client("ann", "laptop", 1, "2026-11-23T18:00:00Z"),
    command="pio train",
    engine_dir="/engine",
    state="succeeded",
)


class Session(Steps):
    """A session with these steps."""

    result = RESULT
    begins = False
    """Whether the run begins before it does what a test asks."""

    def train(self, *, keep_up: bool = False, reporter: Callable[[Event], None] | None = None) -> RunRecord:
        session = self.session(keep_up=keep_up, reporter=reporter)

        def run() -> RunRecord:
            if self.begins:
                session.begin()
            self.step("run")
            return self.result

        return session.play(lambda: self.step("up"), run, run=RESULT.id)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


def raising(*errors: BaseException) -> Callable[[], object]:
    """Return a step that raises these errors, one a call, and then does nothing."""
    left = list(errors)

    def act() -> None:
        if left:
            raise left.pop(0)

    return act


def test_after_a_success_the_machines_are_stopped() -> None:
    session = Session()
    assert session.train() is RESULT
    assert session.calls == ["up", "run", "down"]


@pytest.mark.parametrize("step", ["up", "run"])
@pytest.mark.parametrize(
    "error",
    [
        TrainingFailed("no model"),
        RemoteError("lost"),
        KeyboardInterrupt(),
        Interrupted("SIGTERM", signal_number=15),
        SystemExit(3),
        ZeroDivisionError("a bug"),
    ],
)
def test_after_every_error_the_machines_stop_with_a_warning(step: str, error: BaseException) -> None:
    session = Session()
    session.does[step] = raising(error)
    with pytest.raises(type(error)) as caught:
        session.train()
    assert caught.value is error
    assert session.calls[-2:] == [step, "down"]
    assert session.calls.count("down") == 1
    assert [warning for warning in session.warnings if "stopping the machines" in warning]


def test_machines_keep_running_with_keep_up_with_a_warning() -> None:
    for error in (None, TrainingFailed("no model"), KeyboardInterrupt()):
        session = Session()
        if error:
            session.does["run"] = raising(error)
            with pytest.raises(type(error)):
                session.train(keep_up=True)
        else:
            assert session.train(keep_up=True) is RESULT
        assert session.calls == ["up", "run"]
        assert session.warnings == ["the machines keep running (keep-up); `pio-tf down` stops them"]


def test_attach_finds_and_follows_a_run_over_one_connection_and_then_stops_the_machines() -> None:
    steps = Steps()
    steps.runs = [RESULT]
    assert steps.session().attach(RESULT.id[:8], upload="") is RESULT
    assert steps.calls == ["connect", f"follow {RESULT.id}, stop_after=True", "down"]
    assert steps.stops[0]["own_run"] == RESULT.id


def test_a_mistyped_run_id_stops_nothing() -> None:
    steps = Steps()
    steps.runs = [RESULT]
    with pytest.raises(ConfigError, match="2027"):
        steps.session().attach("2027", upload="")
    assert steps.calls == ["connect"]
    assert steps.events == []


def test_a_driver_that_cannot_be_asked_for_a_run_to_attach_to_stops_nothing() -> None:
    steps = Steps()
    steps.does["connect"] = raising(RemoteError("cannot reach driver"))
    with pytest.raises(RemoteError):
        steps.session().attach("", upload="")
    assert steps.calls == ["connect"]


def test_the_machines_of_another_client_are_left_alone() -> None:
    session = Session()
    session.does["up"] = raising(Locked("another client"))
    with pytest.raises(Locked):
        session.train()
    assert session.calls == ["up"]


def test_the_machines_of_a_detached_run_keep_running_with_a_warning() -> None:
    session = Session()
    session.result = RESULT.with_(state="running")
    assert session.train() is session.result
    assert session.calls == ["up", "run"]
    assert "they stop themselves, the driver 2 min after its end" in session.warnings[-1]
    assert "pio-tf train --attach 20261123T180000Z-0000" in session.warnings[-1]


def test_the_machines_of_a_detached_run_with_keep_up_do_not_stop_themselves() -> None:
    session = Session()
    session.result = RESULT.with_(state="running")
    session.train(keep_up=True)
    assert "stop themselves" not in session.warnings[-1]


def test_machines_with_another_clients_run_keep_running() -> None:
    session = Session()
    session.does["down"] = raising(Locked("run R2 is active, started by bob"))
    assert session.train() is RESULT
    assert session.warnings[-1].endswith("for another client: run R2 is active, started by bob")


def test_a_run_out_of_sight_leaves_machines_that_may_be_running() -> None:
    session = Session()
    session.does["run"] = raising(RemoteError("out of sight"))
    session.does["down"] = raising(Locked("run R1 is active, started by ann"))
    with pytest.raises(MachinesMayBeRunning, match="may still be running") as caught:
        session.train()
    assert "R1 is active" in caught.value.cause


def test_a_failure_to_stop_is_an_error_of_its_own_after_a_success() -> None:
    session = Session()
    session.does["down"] = raising(RemoteError("AWS says no", cause="throttled", details={"machine": "driver"}))
    with pytest.raises(MachinesMayBeRunning) as caught:
        session.train()
    assert "AWS says no (throttled)" in caught.value.cause
    assert "pio-tf down" in caught.value.next_step
    assert caught.value.details == {"machine": "driver"}
    assert caught.value.exit_code == 7


def test_a_failure_to_stop_names_the_error_before_it_too() -> None:
    session = Session()
    first = TrainingFailed("no model", cause="heap")
    session.does["run"] = raising(first)
    session.does["down"] = raising(MachinesMayBeRunning("driver is stuck", next_step="force it"))
    with pytest.raises(MachinesMayBeRunning) as caught:
        session.train()
    assert caught.value.__cause__ is first
    assert caught.value.cause.startswith("before that: no model (heap)\n       stopping: driver is stuck\n")
    assert caught.value.next_step.startswith("force it; or, ")
    assert caught.value.details["before"] == {"what": "no model", "cause": "heap", "exit_code": 6}


def test_machines_that_ec2_has_not_shown_yet_are_stopped_by_their_tag() -> None:
    session = Session()
    session.does["down"] = raising(KeyboardInterrupt(), KeyboardInterrupt())
    with pytest.raises(MachinesMayBeRunning) as caught:
        session.train()
    assert "could not determine which machines of ur are running" in caught.value.cause
    command = caught.value.next_step.partition("with the AWS CLI: ")[2]
    assert command.startswith("aws ec2 stop-instances --region eu-west-1 --instance-ids $(aws ec2 describe-instances")
    assert "Values=ur " in command


@pytest.mark.parametrize(
    ("begins", "error", "own_run", "may_have_run", "timeout"),
    [
        (False, NotReady("a check failed"), RESULT.id, None, None),
        (False, KeyboardInterrupt(), RESULT.id, None, INTERRUPTED_SECONDS),
        (True, TrainingFailed("no model"), RESULT.id, True, None),
        (True, RemoteError("lost", details={"kind": "connection-lost"}), RESULT.id, True, None),
        (True, RemoteError("lost", details={"kind": "out-of-sight"}), "", True, None),
        (True, KeyboardInterrupt(), RESULT.id, False, INTERRUPTED_SECONDS),
    ],
)
def test_the_phase_in_which_a_session_ends_decides_how_the_machines_stop(
    begins: bool, error: BaseException, own_run: str, may_have_run: bool | None, timeout: float | None
) -> None:
    session = Session()
    session.begins = begins
    session.does["run"] = raising(error)
    with pytest.raises(type(error)):
        session.train()
    (how,) = session.stops
    assert how == {
        "own_run": own_run,
        "driver_may_have_run": may_have_run,
        "timeout": timeout,
        "interrupted_before": False,
    }
    if isinstance(error, PioTfError):
        assert ("run" in error.details) == begins


def test_the_second_stop_does_not_wait_for_terraform_nor_long_for_the_driver() -> None:
    session = Session()
    session.does["down"] = raising(KeyboardInterrupt())
    assert session.train() is RESULT
    assert [(how["timeout"], how["interrupted_before"]) for how in session.stops] == [
        (None, False),
        (LAST_SECONDS, True),
    ]


def test_ctrl_c_while_stopping_warns_and_the_stop_continues() -> None:
    session = Session()
    session.does["run"] = raising(KeyboardInterrupt())
    session.does["down"] = raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        session.train()
    assert session.calls[-2:] == ["down", "down"]
    assert session.warnings[-1].startswith("still stopping the machines")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, lambda: Interrupted("SIGTERM", signal_number=15)])
def test_a_second_interruption_of_the_stop_gives_up_loudly(interruption: Callable[[], BaseException]) -> None:
    session = Session()
    session.does["run"] = raising(TrainingFailed("no model"))
    session.does["down"] = raising(interruption(), interruption())
    with pytest.raises(MachinesMayBeRunning) as caught:
        session.train()
    assert "interrupted twice" in caught.value.cause
    assert "no model" in caught.value.cause
    assert session.calls.count("down") == 2


def test_a_failure_of_the_second_stop_is_an_error() -> None:
    session = Session()
    session.does["down"] = raising(KeyboardInterrupt(), RemoteError("AWS says no"))
    with pytest.raises(MachinesMayBeRunning, match="AWS says no"):
        session.train()


def test_a_broken_display_does_not_keep_the_machines_running() -> None:
    session = Session()
    session.does["run"] = raising(BrokenPipeError("the reader has gone"))

    def broken(_event: Event) -> None:
        raise BrokenPipeError("the reader has gone")

    with pytest.raises(BrokenPipeError):
        session.train(reporter=broken)
    assert session.calls[-1] == "down"


def test_a_real_sigint_in_the_middle_of_the_run_stops_the_machines() -> None:
    session = Session()

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    session.does["run"] = interrupted
    with pytest.raises(KeyboardInterrupt):
        session.train()
    assert session.calls[-1] == "down"
