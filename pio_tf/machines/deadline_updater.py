"""Arms a deadline for machines while they are being made, each as soon as it is known."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from pio_tf.errors import PioTfError
from pio_tf.events import Done, Warned

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self

    from pio_tf.events import Reporter
    from pio_tf.machines.deadline import DeadlineSchedule


class DeadlineUpdater:
    """A thread that arms, so that who reads Terraform's events does not wait for it. What comes while it is busy is
    armed together: machines that are made at once take a few calls.

    Args:
        at: the deadline.
        ids: instances that there are already.
        report: told when it is armed for the first time.
    """

    def __init__(
        self, schedule: DeadlineSchedule, at: datetime, *, ids: Iterable[str], role_arn: str, report: Reporter
    ) -> None:
        self._schedule = schedule
        self._at = at
        self._role_arn = role_arn
        self._report = report
        self._ids = set(ids)
        self._made: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="arming", daemon=True)
        self._armed = False
        self._error: PioTfError | None = None

    def add(self, instance_id: str) -> None:
        """A machine was made."""
        self._made.put(instance_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Waits until all are armed.

        Raises:
            AwsError: it could not be armed; not where something else has failed already: then that is told as a
                warning.
        """
        self._made.put(None)
        self._thread.join()
        if self._error is None:
            return
        if error is None:
            raise self._error
        self._report(Warned(f"and the machines that were made have no deadline: {self._error}"))

    def _work(self) -> None:
        going_on = True
        while going_on:
            new, going_on = self._take()
            if new and self._error is None:
                self._ids |= new
                self._arm()

    def _take(self) -> tuple[set[str], bool]:
        """What has come, once something has; and whether more may come."""
        taken = [self._made.get()]
        while not self._made.empty():  # nobody else takes from it
            taken.append(self._made.get())
        return {one for one in taken if one is not None}, None not in taken

    def _arm(self) -> None:
        try:
            armed = self._schedule.arm(self._ids, self._at, role_arn=self._role_arn)
        except PioTfError as error:
            self._error = error
            return
        if not self._armed:
            self._armed = True
            self._report(Done(f"AWS stops the machines that are being made at {armed.at:%Y-%m-%d %H:%M} UTC"))
