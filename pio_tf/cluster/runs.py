"""A cluster's runs: trainings, between a start and a stop; and with them all that can be done to a cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.cluster.base import names, short
from pio_tf.cluster.power import PowerWork
from pio_tf.errors import MachinesMayBeRunning, PioTfError, RemoteError
from pio_tf.events import Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pio_tf.model import Machine, Outputs
    from pio_tf.training.preflight import CheckResult
    from pio_tf.training.runs.record import RunRecord


_INTERRUPTED_PATIENCE = 2.0
"""Seconds that an interrupted training waits for the driver before the machines are stopped: a cancelled job is killed
10 s after its first signal, and asked a second time after 7.5 s (GitHub's runner; others give it more)."""
_LAST_PATIENCE = 0.75
"""The same after a second signal."""


class Cluster(PowerWork):
    """One driver, one Spark master and N workers.

    Every method raises errors of :mod:`pio_tf.errors` only.
    """

    def train(
        self,
        extra: Sequence[str] = (),
        *,
        keep_up: bool | None = None,
        detach: bool = False,
        build: bool = False,
        skip_checks: Sequence[str] = (),
        upload: str | None = None,
        apply: bool = True,
        lasting: float | None = None,
        deadline: bool = True,
    ) -> RunRecord:
        """Start the machines, check, train, prove that there is a model, and stop the machines again whatever happens.

        Args:
            extra: more spark-submit arguments; they win over ours.
            keep_up: leave the machines running; default: ``train.keep_up``.
            detach: return once the run has begun; it and the machines go on.
            build: run `pio build` first.
            skip_checks: checks to leave out, of :data:`pio_tf.training.preflight.CHECKS`.
            upload: ``s3://bucket/prefix`` for log and record; default: ``train.upload``.
            apply: first create and change what pio-tf.hcl asks for; False: train on what was applied, whatever it asks.
            lasting: seconds until AWS stops the machines; default: ``train.max_runtime``.
            deadline: False starts the machines without a deadline.

        Raises:
            AwsError, ConfigError: the deadline cannot be set; nothing was started.
            Locked: another run is active, or being prepared; its machines are left alone.
            NotReady: the cluster did not become ready, or a check failed; no run was started.
            TrainingFailed: the run ended without a model.
            MachinesMayBeRunning: they could not be stopped, or a run that nobody can see may go on.
        """
        from pio_tf.pio.command import check_arguments
        from pio_tf.training.driver_session import TrainingRequest
        from pio_tf.training.preflight import check_names

        self._check_key()
        check_names(skip_checks)
        check_arguments(self.config, extra=extra)  # all of it before a machine is started for nothing
        sizing, _ = self.sizing(), self._secrets
        to = self._checked_upload(upload)
        self._want_deadline(lasting, deadline=deadline)
        order = TrainingRequest(extra, build, skip_checks, detach, stop_after=not self._keeps_up(keep_up))
        ready: list[tuple[tuple[Machine, ...], Outputs]] = []

        def run(on_id: Callable[[str], None]) -> RunRecord:
            machines, whole = ready[0]
            awake, outputs = self._at_work(machines, whole)
            absent = tuple(one.name for one in whole.workers if one not in outputs.workers)
            now = replace(order, absent=absent)
            return self._ask(
                awake, lambda driver: driver.train(outputs, sizing, now, lambda: on_id(now.run)), wait=True, upload=to
            )

        def session() -> RunRecord:
            there = not apply or self._is_applied()
            return self._session(
                lambda: ready.append(self._up(apply=apply)), run, keep_up=keep_up, there=there, own=order.run
            )

        return self._claims.around(order.run, session) if self._claims else session()

    def attach(self, run: str = "", *, keep_up: bool | None = None, upload: str | None = None) -> RunRecord:
        """Follow a run, the latest if none is named, to its end; then stop the machines, as :meth:`train` does.

        Raises what :meth:`train` does.
        """
        to = self._checked_upload(upload)
        machines, _ = self._running(strict=False)
        found = self._ask(machines, lambda driver: driver.find(run))  # before anything is stopped for a mistyped id

        def follow(on_id: Callable[[str], None]) -> RunRecord:
            on_id(found)
            return self._ask(
                machines, lambda driver: driver.follow(found, stop_after=not self._keeps_up(keep_up)), upload=to
            )

        return self._session(lambda: None, follow, keep_up=keep_up, there=True)

    def runs(self) -> tuple[RunRecord, ...]:
        """Every run that the driver, while it runs, or this computer knows of; oldest first. Changes nothing."""
        from pio_tf.remote.connect import RetryPolicy
        from pio_tf.training.runs.archive import Archive, merge_records
        from pio_tf.training.runs.run_bucket import shared_records

        outputs = self._outputs_if_any()
        machines = self._machines(outputs, strict=False) if outputs else []
        awake = [machine for machine in machines if machine.state == "running"]
        if any(machine.role == "driver" for machine in awake):
            try:
                return self._ask(
                    awake, lambda driver: driver.runs(), patience=RetryPolicy(5.0, denied=0.0, attempt=5.0)
                )
            except PioTfError as error:
                self._report(Warned(f"only what this computer knows: {short(error)}"))
        return merge_records(Archive.of(self.config), None, shared_records(self._shared, self._report))

    def logs(self, run: str = "", on_line: Callable[[str], None] = lambda _line: None, *, follow: bool = False) -> None:
        """Hand out the lines of a run's log, the latest run's if none is named.

        Args:
            follow: go on until it has ended.

        Raises:
            ConfigError: there is no such run.
        """
        from pio_tf.training.runs.archive import Archive, find_run, merge_records
        from pio_tf.training.runs.run_bucket import shared_records
        from pio_tf.training.runs.run_log import read_saved_log

        machines = self._machines(self._outputs_if_any(), strict=False)
        awake = [machine for machine in machines if machine.state == "running"]
        if any(machine.role == "driver" for machine in awake):
            self._ask(awake, lambda driver: driver.log(run, on_line, follow=follow))
        else:
            archive = Archive.of(self.config)
            known = merge_records(archive, None, shared_records(self._shared, self._report))
            read_saved_log(find_run(run, [record.id for record in known]), archive, self._shared, on_line)

    def cancel(self, run: str = "") -> RunRecord:
        """End a run, the active one if none is named. The machines go on.

        Raises:
            ConfigError: there is no such run.
        """
        machines, _ = self._running(strict=False)
        return self._ask(machines, lambda driver: driver.cancel(run))

    def check(self, *, skip: Sequence[str] = ()) -> tuple[CheckResult, ...]:
        """Everything that :meth:`train` checks before it starts a run, on machines that run. Changes nothing.

        Args:
            skip: names of checks to leave out.
        """
        from pio_tf.training.preflight import check_names

        check_names(skip)
        machines, outputs = self._running()
        sizing = self.sizing()
        return self._ask(machines, lambda driver: driver.check(outputs, sizing, skip=skip))

    def _session(
        self,
        up: Callable[[], object],
        run: Callable[[Callable[[str], None]], RunRecord],
        *,
        keep_up: bool | None,
        there: bool,
        own: str = "",
    ) -> RunRecord:
        """A run between ``up`` and ``down``.

        Args:
            run: is given a function to tell the run's id to.
            there: whether the machines are there already, as far as is known: then somebody else may use them.
            own: the id of a run that is to be begun.
        """
        from pio_tf.training.session import train

        ids: list[str] = []
        before = self._awake_driver() if there else None
        out_of_sight = False
        interrupted = False
        stops = 0

        def started() -> None:
            nonlocal interrupted
            try:
                up()
            except KeyboardInterrupt:
                interrupted = True
                raise

        def watched() -> RunRecord:
            nonlocal out_of_sight, interrupted
            try:
                return run(ids.append)
            except KeyboardInterrupt:
                interrupted = True
                raise
            except PioTfError as error:
                out_of_sight = isinstance(error, RemoteError) and error.details.get("kind") == "out-of-sight"
                if ids:
                    error.details.setdefault("run", ids[-1])
                raise

        def down() -> None:
            nonlocal stops
            stops += 1
            self._down(
                # A run that this client has lost sight of goes on; any other that it started ends with it.
                own="" if out_of_sight else ids[-1] if ids else own,
                # The run of an interrupted client is its own: the lock was, so that nobody else has one.
                sure=bool(before or ids) and not (ids and interrupted),
                within=_LAST_PATIENCE if stops > 1 else _INTERRUPTED_PATIENCE if interrupted else None,
                again=stops > 1,
            )

        stays = self._keeps_up(keep_up)
        try:
            record = train(
                up=started, run=watched, down=down, keep_up=stays, runs=self._any_runs, reporter=self._report
            )
        except MachinesMayBeRunning as error:
            self._name_machines(error)
            raise
        else:
            stays = stays or record.state == "running"
            return record
        finally:
            if stays and self._any_runs():
                self._say_until()

    def _name_machines(self, error: MachinesMayBeRunning) -> None:
        """Say which machines may be running, with their ids, where the error does not."""
        seen = [machine for machine in self._seen if machine.state != "terminated"]
        if seen and "machines" not in error.details:
            error.cause += f"\n       the machines, as they were seen last: {names(seen)}"
            error.next_step += f"; by hand: {AwsCliHints.of(self.config).stop_machines(seen)}"
            error.details["machines"] = [machine.instance_id for machine in seen]

    def _keeps_up(self, keep_up: bool | None) -> bool:
        return self.config.train.keep_up if keep_up is None else keep_up
