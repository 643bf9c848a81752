"""How `status` asks: what does not depend on each other at once."""

from __future__ import annotations

from datetime import datetime, timezone
from threading import Barrier
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pio_tf.cli.results.status import StatusResult
from pio_tf.cluster.deadline import Deadline
from pio_tf.cluster.fleet import FleetView
from pio_tf.cluster.status import ClusterStatus, Status
from pio_tf.errors import AwsError
from pio_tf.events import Event, Warned
from pio_tf.model import Machine
from pio_tf.training.runs.driver_runs import DriverState, Linger
from tests.support.builders import make_config

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 29, 2, 0, tzinfo=timezone.utc)
DRIVER = Machine("driver", "driver", "i-0d", "r5.large", "running", "10.20.0.10", None, NOW)


def status(deadline: object, *, ask_driver: Callable[[], object], reported: list[Event]) -> Status:
    def ask_spark(_view: FleetView) -> tuple[None, None]:
        ask_driver()
        return None, None

    parts = {
        "context": SimpleNamespace(config=make_config(), report=reported.append),
        "fleet": SimpleNamespace(
            look=lambda _outputs, strict: FleetView((DRIVER,), NOW),  # noqa: ARG005 - the arguments of Fleet's
            warn_of_untagged=lambda _outputs, _view: None,
            warn_of_types=lambda _view: None,
        ),
        "deadline": deadline,
        "driver": SimpleNamespace(ask_spark=ask_spark),
        "created": SimpleNamespace(outputs_if_any=lambda: None),
        "storage": None,
        "scheduling": None,
    }
    return Status(**cast("Any", parts))


def test_aws_is_asked_for_the_deadline_while_the_driver_is_asked() -> None:
    meet = Barrier(2, timeout=30)  # broken if one waits for the end of the other
    deadline = SimpleNamespace(ask=meet.wait, find_if_known=lambda _view, answer: answer() and None)
    deadline.report_missed = lambda _view: None
    assert status(deadline, ask_driver=meet.wait, reported=[]).now().machines == (DRIVER,)


def test_a_deadline_that_aws_does_not_tell_is_a_warning_and_the_driver_is_asked_all_the_same() -> None:
    def client(_service: str) -> object:
        raise AwsError("AWS does not answer", cause="timeout", next_step="try again")

    reported: list[Event] = []
    asked: list[bool] = []
    context = SimpleNamespace(
        config=make_config(), report=reported.append, now=lambda: NOW, aws=SimpleNamespace(client=client)
    )
    deadline = Deadline(cast("Any", context), cast("Any", None))
    shown = status(deadline, ask_driver=lambda: asked.append(True), reported=reported).now()
    assert (shown.deadline, asked) == (None, [True])
    assert reported == [Warned("could not find the deadline: AWS does not answer (timeout)")]


def test_a_machine_without_a_timer_stops_only_at_the_deadline_and_a_command_says_why() -> None:
    worker = Machine("worker-1", "worker", "i-01", "r5.large", "running", "10.20.0.12", None, NOW)
    driver = DriverState((), None, Linger(120, 60, ""))
    shown = StatusResult.of(ClusterStatus("trial", True, (DRIVER, worker), None, driver=driver)).closing()
    assert "unless a client uses it; only the deadline stops worker-1: `pio-tf up` says why" in shown
