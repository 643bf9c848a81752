"""The run lock in the bucket: one of many gets it; facts tell one that was left behind from one that is held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Literal

import pytest

from pio_tf.errors import AwsError, Locked, MachinesMayBeRunning, TrainingFailed
from pio_tf.events import Event, Warned
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.runs.bucket_lock import BucketLock, Claim, DriverReport, StoredClaim
from pio_tf.training.runs.driver_runs import LockHolder
from pio_tf.training.runs.record import Client, RunRecord, new_run_id
from tests.training.bucket_world import make_run_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pio_tf.training.runs.record import RunState
    from pio_tf.training.runs.run_copies import RunBucket


ANN = Client("ann", "laptop", 17, "2026-11-23T18:00:00Z")
BOB = Client("bob", "ci", 18, "2026-11-23T18:00:01Z")
OFF = DriverReport("off")
RACES = 20


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture
def bucket(aws: LocalAws) -> RunBucket:
    return make_run_bucket(aws)[0]


def unasked() -> DriverReport:
    raise AssertionError("no other client has the lock: no reason to ask for facts")


def lock(
    bucket: RunBucket,
    client: Client = BOB,
    facts: DriverReport | Callable[[], DriverReport] = unasked,
    *,
    starts_within: float = 600,
    reporter: Callable[[Event], None] = lambda _event: None,
    clock: Callable[[], float] = time.monotonic,
) -> BucketLock:
    ask = facts if callable(facts) else lambda: facts
    return BucketLock(
        bucket=bucket, report_driver=ask, starts_within=starts_within, client=client, report=reporter, clock=clock
    )


def versions(bucket: RunBucket) -> list[str]:
    """Return the ids of every version of the lock that was written."""
    listed = bucket.objects.s3.list_object_versions(Bucket=bucket.objects.bucket, Prefix=bucket.lock_key)
    return [one["VersionId"] for one in listed.get("Versions", ())]


def record(run: str, state: RunState = "succeeded") -> RunRecord:
    return RunRecord(id=run, cluster="ur", client=ANN, command="pio train", engine_dir="/engine", state=state)


def left_by(bucket: RunBucket, client: Client = ANN, *, begun: bool = False, process: str = "elsewhere/1/2") -> str:
    """Make a lock of an otherwise unknown client; return its run."""
    run = new_run_id()
    bucket.objects.write(bucket.lock_key, Claim(client, run, process).to_json().encode())
    if begun:
        bucket.begin(record(run, "running"))
    return run


def holder(bucket: RunBucket) -> Claim:
    there = lock(bucket).look()
    assert there is not None
    return there.claim


# One of many


def test_a_free_lock_is_taken_names_its_holder_and_is_given_back(bucket: RunBucket) -> None:
    mine = lock(bucket, ANN)
    mine.take("20261123T182359Z-3f9c")
    raw = json.loads(bucket.objects.read("pio-tf/ur/run.lock").body)  # type: ignore[union-attr]
    assert {name: raw[name] for name in ("version", "owner", "host", "pid", "since", "run")} == {
        "version": 1,
        "owner": "ann",
        "host": "laptop",
        "pid": 17,
        "since": "2026-11-23T18:00:00Z",
        "run": "20261123T182359Z-3f9c",
    }
    mine.release()
    assert mine.look() is None


def test_of_clients_that_race_for_a_free_lock_exactly_one_wins_each_time(aws: LocalAws) -> None:
    clients = make_run_bucket(aws, clients=3)
    for _ in range(RACES):
        assert race([lock(bucket, BOB, DriverReport("changing")) for bucket in clients]) == {"won": 1, "locked": 2}


def test_of_clients_that_race_for_a_lock_that_was_left_behind_exactly_one_wins_each_time(aws: LocalAws) -> None:
    clients = make_run_bucket(aws, clients=3)
    for _ in range(RACES):
        left = left_by(clients[0], begun=True)

        def facts(left: str = left) -> DriverReport:
            # The truth at that moment: a run that is known to have ended, and nothing of the one who takes over.
            return DriverReport("on", runs={left: "failed"})

        assert race([lock(bucket, BOB, facts) for bucket in clients]) == {"won": 1, "locked": 2}


def race(rivals: list[BucketLock]) -> Counter[str]:
    """Let all take the lock at once; the winner releases it once all have an answer."""
    results: list[str] = []  # a Counter would lose what two threads add at once
    start, told = threading.Barrier(len(rivals)), threading.Barrier(len(rivals))

    def run(rival: BucketLock) -> None:
        start.wait()
        try:
            rival.take(new_run_id())
            results.append("won")
        except Locked:
            results.append("locked")
        told.wait(120)
        rival.release()

    threads = [threading.Thread(target=run, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(results)


def test_a_lock_that_goes_while_it_is_looked_at_is_taken(bucket: RunBucket) -> None:
    theirs = lock(bucket, ANN)
    theirs.take("R1")

    def facts() -> DriverReport:
        theirs.release()
        return OFF

    with pytest.raises(Locked):  # by what was seen then, it is held; the next try finds it free
        lock(bucket, BOB, facts).take("R2")
    lock(bucket, BOB, facts).take("R2")
    assert holder(bucket).client == BOB


def test_only_ones_own_lock_is_given_back(bucket: RunBucket) -> None:
    mine = lock(bucket, ANN)
    mine.take("R1")
    left_by(bucket, BOB)  # another client has taken it over since
    mine.release()
    assert holder(bucket).client == BOB


# Held, or left behind


def test_a_client_that_is_about_to_start_its_run_is_named_though_the_driver_is_off(bucket: RunBucket) -> None:
    run = left_by(bucket, ANN)
    with pytest.raises(Locked, match=rf"run {run} is being started.* by ann on laptop") as caught:
        lock(bucket, BOB, OFF).take("R2")
    assert caught.value.exit_code == 4
    assert bucket.url("pio-tf/ur/run.lock") in caught.value.cause
    assert "10 min" in caught.value.next_step
    assert holder(bucket).client == ANN


@pytest.mark.parametrize(
    ("power", "state", "why"),
    [("off", None, "the driver is off"), ("on", None, "has no run"), ("on", "failed", "has ended")],
)
def test_a_lock_whose_run_has_begun_and_goes_on_no_more_is_taken_over(
    bucket: RunBucket, power: Literal["on", "off"], state: RunState | None, why: str
) -> None:
    run = left_by(bucket, ANN, begun=True)
    events: list[Event] = []
    lock(bucket, BOB, DriverReport(power, runs={run: state} if state else {}), reporter=events.append).take("R2")
    assert holder(bucket).client == BOB
    (event,) = events
    assert isinstance(event, Warned)
    assert str(ANN) in event.message
    assert why in event.message


def test_a_run_that_goes_on_keeps_the_lock_and_the_driver_says_by_whom(bucket: RunBucket) -> None:
    run = left_by(bucket, ANN, begun=True)
    facts = DriverReport("on", LockHolder("running", str(ANN), run), {run: "running"})
    with pytest.raises(Locked, match=f"run {run} is active, started by ann") as caught:
        lock(bucket, BOB, facts).take("R2")
    assert f"pio-tf train --attach {run}" in caught.value.next_step


@pytest.mark.parametrize(
    "facts", [DriverReport("changing"), DriverReport("on", silent="no answer"), DriverReport("on", runs={})]
)
def test_where_facts_are_wanting_the_lock_is_held(bucket: RunBucket, facts: DriverReport) -> None:
    left_by(bucket, ANN, begun=facts != DriverReport("on", runs={}))
    with pytest.raises(Locked) as caught:
        lock(bucket, BOB, facts).take("R2")
    assert (facts.silent in caught.value.cause) or not facts.silent
    assert holder(bucket).client == ANN


def test_a_client_that_never_came_to_start_its_run_loses_the_lock_after_its_time(bucket: RunBucket) -> None:
    left_by(bucket, ANN)
    events: list[Event] = []
    lock(bucket, BOB, OFF, starts_within=-1, reporter=events.append).take("R2")
    assert "no run has begun" in str(events)


def test_a_client_on_this_computer_that_was_killed_is_seen_at_once(bucket: RunBucket) -> None:
    program = (
        "import sys; from pio_tf.training.runs.bucket_lock import Claim, Client; "
        "print(Claim.here('R1', Client.here()).to_json(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        text = client.stdout.readline()
        bucket.objects.write(bucket.lock_key, text.encode())
        with pytest.raises(Locked):
            lock(bucket, BOB, OFF).take("R2")
        client.kill()
    assert Claim.from_json(text).has_died
    lock(bucket, BOB, OFF).take("R2")
    assert holder(bucket).client == BOB


def test_a_process_elsewhere_is_never_taken_for_dead() -> None:
    mine = Claim.here("R1", Client.here())
    assert not mine.has_died
    assert not Claim(mine.client, "R1", "").has_died
    assert not Claim(mine.client, "R1", "another-boot/1/2").has_died
    boot, namespace, _start = mine.process.split("/")
    assert Claim(mine.client, "R1", f"{boot}/{namespace}/0").has_died  # its number is in use again
    assert mine.client.pid == os.getpid()


@pytest.mark.parametrize("text", ["", "{}", "[1]", "not json", '{"owner": 1}'])
def test_what_is_no_lock_is_held_by_nobody_who_is_known_until_its_time_has_passed(bucket: RunBucket, text: str) -> None:
    bucket.objects.write(bucket.lock_key, text.encode())
    with pytest.raises(Locked, match=r"a run is being started.*an unknown user on an unknown computer"):
        lock(bucket, BOB, OFF).take("R2")
    lock(bucket, BOB, OFF, starts_within=-1).take("R2")


def test_a_client_that_changes_machines_is_named_as_such(bucket: RunBucket) -> None:
    lock(bucket, ANN).take("")
    with pytest.raises(Locked, match="the machines are being changed by ann on laptop"):
        lock(bucket, BOB, OFF).take("R2")


# Around a run


def test_the_lock_is_held_around_a_run_and_given_back_after_it(bucket: RunBucket) -> None:
    seen: list[StoredClaim | None] = []
    mine = lock(bucket, ANN)

    def work() -> RunRecord:
        seen.append(mine.look())
        return record("R1")

    assert mine.around("R1", work).state == "succeeded"
    assert seen[0] is not None
    assert seen[0].claim.client == ANN
    assert mine.look() is None


@pytest.mark.parametrize(
    "error", [TrainingFailed("no model"), KeyboardInterrupt(), Locked("the driver's lock is held")]
)
def test_the_lock_is_given_back_whatever_happens(bucket: RunBucket, error: BaseException) -> None:
    def work() -> RunRecord:
        raise error

    with pytest.raises(type(error)):
        lock(bucket, ANN).around("R1", work)
    assert lock(bucket).look() is None


def test_a_run_that_goes_on_without_its_client_keeps_the_lock(bucket: RunBucket) -> None:
    lock(bucket, ANN).around("R1", lambda: record("R1", "running"))
    assert holder(bucket).run == "R1"


def test_machines_that_may_be_running_keep_the_lock(bucket: RunBucket) -> None:
    def work() -> RunRecord:
        raise MachinesMayBeRunning("not stopped")

    with pytest.raises(MachinesMayBeRunning):
        lock(bucket, ANN).around("R1", work)
    assert holder(bucket).run == "R1"


def test_nothing_is_begun_while_somebody_else_has_the_lock(bucket: RunBucket) -> None:
    left_by(bucket, ANN)

    def work() -> RunRecord:
        raise AssertionError("not to be called")

    with pytest.raises(Locked):
        lock(bucket, BOB, OFF).around("R2", work)
    assert holder(bucket).client == ANN


def test_machines_are_not_stopped_under_a_client_that_starts_its_run(bucket: RunBucket) -> None:
    lock(bucket).before_stopping()  # no client trains
    left_by(bucket, ANN)
    with pytest.raises(Locked, match="ann on laptop"):
        lock(bucket).before_stopping()
    lock(bucket).before_stopping(force=True)
    lock(bucket, starts_within=-1).before_stopping()
    left_by(bucket, ANN, begun=True)
    lock(bucket).before_stopping()  # the driver is asked for it


def test_who_has_lost_the_lock_of_an_earlier_run_does_not_stop_the_machines_under_its_new_holder(
    bucket: RunBucket,
) -> None:
    mine, run = lock(bucket, ANN), new_run_id()
    mine.around(run, lambda: record(run, "running"))
    bucket.begin(record(run, "running"))
    lock(bucket, BOB, OFF).take(new_run_id())
    with pytest.raises(Locked, match="bob on ci"):
        mine.before_stopping()
    mine.release()
    assert holder(bucket).client == BOB


def test_a_client_that_was_killed_while_it_stopped_the_machines_leaves_the_lock_until_they_are_stopped(
    bucket: RunBucket,
) -> None:
    theirs = lock(bucket, ANN)
    theirs.take(new_run_id())
    theirs.before_stopping()
    lock(bucket).before_stopping()  # another client may stop them, too
    with pytest.raises(Locked):
        lock(bucket, BOB, DriverReport("changing")).take("R2")
    lock(bucket, BOB, OFF).take("R2")
    assert holder(bucket).client == BOB
    theirs.release()
    assert holder(bucket).client == BOB


def test_a_lock_is_given_back_after_the_machines_are_stopped_as_well(bucket: RunBucket) -> None:
    mine = lock(bucket, ANN)
    mine.take("R1")
    mine.before_stopping()
    assert holder(bucket).stopping
    mine.release()
    assert mine.look() is None


def test_after_a_stop_a_lock_that_was_left_behind_is_removed_and_no_other(bucket: RunBucket) -> None:
    left_by(bucket, ANN, begun=True)
    lock(bucket, BOB, OFF).remove_stale()
    assert lock(bucket).look() is None
    left_by(bucket, ANN)
    lock(bucket, BOB, OFF).remove_stale()
    assert holder(bucket).client == ANN


def test_a_permission_that_is_missing_is_named_with_its_object(bucket: RunBucket) -> None:
    place = f"arn:aws:s3:::{bucket.objects.bucket}/pio-tf/ur/run.lock"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": place}
    bucket.objects.s3.put_bucket_policy(
        Bucket=bucket.objects.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    with pytest.raises(AwsError, match="is not allowed") as caught:
        lock(bucket).take("R1")
    assert caught.value.next_step == f"give the AWS user or role s3:PutObject on {place}"


def test_a_bucket_that_is_gone_is_told_with_what_makes_it(bucket: RunBucket) -> None:
    bucket.objects.s3.delete_bucket(Bucket=bucket.objects.bucket)
    with pytest.raises(AwsError, match="does not exist") as caught:
        lock(bucket).take("R1")
    assert "pio-tf init --backend" in caught.value.next_step


def test_a_client_that_waits_for_a_long_first_boot_keeps_its_lock_young(bucket: RunBucket) -> None:
    now = 0.0
    own = lock(bucket, ANN, starts_within=600, clock=lambda: now)
    own.take("run-1")
    written = versions(bucket)
    own.renew()
    assert versions(bucket) == written, "it is new"
    now = 150.0
    own.renew()
    assert len(versions(bucket)) == len(written) + 1
    assert (own.look() or StoredClaim(Claim(BOB, ""), "")).claim.run == "run-1"
    own.release()
    assert own.look() is None, "it is released by its new version"


def test_a_lock_that_another_client_has_taken_over_is_not_taken_back(bucket: RunBucket) -> None:
    now = 0.0
    own = lock(bucket, ANN, starts_within=600, clock=lambda: now)
    own.take("run-1")
    run = left_by(bucket, BOB)
    now = 300.0
    own.renew()
    own.release()
    found = own.look()
    assert found is not None
    assert found.claim.run == run
