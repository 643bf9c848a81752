"""Messages about trainings: what they say, where they go, and that a dead place changes nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.aws.session import Aws
from pio_tf.cluster.notifications import Notifications
from pio_tf.cluster.objects import ClusterObjects
from pio_tf.context import ClusterContext
from pio_tf.errors import ConfigError, Interrupted, Locked, NotReady, PioTfError, RemoteError, TrainingFailed
from pio_tf.events import Event, Warned
from pio_tf.sandbox.aws import LocalAws
from pio_tf.training.runs.record import Client, RunRecord, RunState
from pio_tf.training.runs.run_message import SUBJECT
from tests.support.builders import make_config
from tests.support.places import TOKEN, Topic, Webhook, local_client, make_topic, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

RECORD = RunRecord(
    id="20261123T180000Z-0000",
    cluster="ur",
    client=Client("ann", "laptop", 1, "2026-11-23T18:00:00Z"),
    command="pio train",
    engine_dir="/engine",
    machines=("driver r3.xlarge i-0d", "worker-1 r3.xlarge i-01"),
    state="succeeded",
    started=1_000.0,
    ended=8_200.0,
    model="ur_1700",
)
NOW = datetime(2026, 11, 23, 21, 0, tzinfo=timezone.utc)


@dataclass
class Place:
    """A cluster's directory, and what is reported."""

    directory: Path
    aws: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def objects(self, **notify: object) -> ClusterObjects:
        config = make_config(self.directory, aws=self.aws, notify=notify)
        context = ClusterContext(
            config, self.events.append, Aws(config), {}, time.monotonic, time.sleep, lambda: NOW, attended=False
        )
        return ClusterObjects(context, None)

    def fail(self, error: Exception, **notify: object) -> None:
        """Fail a training with this error."""

        def work() -> RunRecord:
            raise error

        with pytest.raises(type(error)) as raised:
            Notifications(self.objects(**notify)).around(work)
        assert raised.value is error

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


@pytest.fixture
def url(webhook: Webhook) -> Iterator[str]:
    with webhook.serve() as url:
        yield url


def test_a_success_is_a_message_with_model_duration_and_cost(place: Place, webhook: Webhook, url: str) -> None:
    assert Notifications(place.objects(webhook=url)).around(lambda: RECORD) is RECORD
    (document,) = webhook.documents
    assert document.pop("text") == (
        "pio-tf: ur (eu-west-1): the training succeeded\n"
        "There is a new model.\n"
        "run: 20261123T180000Z-0000, 2 h, about 1.33 USD\n"
        "model: ur_1700"
    )
    assert document == {
        "cluster": "ur",
        "region": "eu-west-1",
        "event": "succeeded",
        "what": "There is a new model.",
        "cause": "",
        "next_step": "",
        "run": "20261123T180000Z-0000",
        "seconds": 7200.0,
        "cost_usd": pytest.approx(1.332),
        "model": "ur_1700",
    }
    assert not place.warnings


def test_a_failure_before_the_run_says_why_and_what_to_do(place: Place, webhook: Webhook, url: str) -> None:
    place.fail(NotReady("AWS has no capacity", cause="r3.xlarge", next_step="try another type"), webhook=url)
    (document,) = webhook.documents
    assert document["text"].splitlines() == [
        "pio-tf: ur (eu-west-1): the training failed",
        "AWS has no capacity",
        "cause: r3.xlarge",
        "next: try another type",
    ]
    assert document["event"] == "failed"


@pytest.mark.parametrize(
    ("state", "deadline", "event"),
    [
        ("failed", "2026-11-23T20:00:00+00:00", "failed"),
        ("lost", "", "lost"),
        ("lost", "2026-11-23T22:00:00+00:00", "lost"),
        ("lost", "2026-11-23T20:00:00+00:00", "deadline"),
    ],
)
def test_a_lost_run_is_lost_or_has_met_its_deadline(
    place: Place, webhook: Webhook, url: str, state: RunState, deadline: str, event: str
) -> None:
    record = replace(RECORD, state=state, deadline=deadline, model="")
    place.objects().storage.archive.save(record)
    place.fail(TrainingFailed("no model", details={"run": record.id}), webhook=url)
    assert [(one["event"], one["run"]) for one in webhook.documents] == [(event, record.id)]


@pytest.mark.parametrize(
    ("deadline", "event"), [("2026-11-23T22:00:00+00:00", "lost"), ("2026-11-23T20:00:00+00:00", "deadline")]
)
def test_a_run_whose_driver_was_switched_off_is_lost_or_has_met_its_deadline(
    place: Place, webhook: Webhook, url: str, deadline: str, event: str
) -> None:
    """No client has judged it: nothing is known of its end."""
    record = replace(RECORD, state="running", deadline=deadline, model="")
    place.objects().storage.archive.save(record)
    place.fail(RemoteError("the driver is off", details={"run": record.id, "power_off": True}), webhook=url)
    assert [one["event"] for one in webhook.documents] == [event]


@pytest.mark.parametrize("error", [Interrupted("SIGTERM", signal_number=15), Locked("another client")])
def test_there_is_no_message_about_a_person_or_another_client(
    place: Place, webhook: Webhook, url: str, error: Exception
) -> None:
    place.fail(error, webhook=url)
    Notifications(place.objects(webhook=url)).around(lambda: replace(RECORD, state="running"))
    assert webhook.documents == []


def test_only_the_results_that_are_asked_for_are_messages(place: Place, webhook: Webhook, url: str) -> None:
    Notifications(place.objects(webhook=url, on=["failed"])).around(lambda: RECORD)
    place.fail(NotReady("no capacity"), webhook=url, on=["failed"])
    assert [one["event"] for one in webhook.documents] == ["failed"]


def test_a_message_that_cannot_be_made_hides_no_error_of_the_training(place: Place, webhook: Webhook, url: str) -> None:
    record = replace(RECORD, state="lost", deadline="tomorrow")  # no moment: of another program, or damaged
    place.objects().storage.archive.save(record)
    place.fail(TrainingFailed("no model", details={"run": record.id}), webhook=url)
    assert webhook.documents == []
    assert place.warnings == ["a message about the training was not sent: pio-tf has a bug here: ValueError"]


def test_a_bug_is_a_message_without_its_text(place: Place, webhook: Webhook, url: str) -> None:
    place.fail(RuntimeError("password=hunter2"), webhook=url)
    (document,) = webhook.documents
    assert document["what"] == "pio-tf has a bug here: RuntimeError"
    assert "hunter2" not in json.dumps(document)


@contextmanager
def _closed() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}/services/{TOKEN}"


@contextmanager
def _hanging() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/services/{TOKEN}"


@contextmanager
def _not_https() -> Iterator[str]:
    with Webhook().serve() as url:
        yield url.replace("http:", "https:")


@pytest.mark.parametrize(
    ("serve", "what", "cause"),
    [
        (_closed, "does not answer", "Connection refused"),
        (_hanging, "does not answer", "Read timed out"),
        (_not_https, "does not answer", "SSL"),
        (Webhook(status=410).serve, "refuses messages", "HTTP 410 Gone"),
        (Webhook(status=302).serve, "refuses messages", "HTTP 302 Found"),
    ],
    ids=["closed", "hanging", "no https", "gone", "redirects"],
)
def test_a_webhook_that_takes_no_message_is_a_warning_without_its_address(
    place: Place, serve: Callable[[], AbstractContextManager[str]], what: str, cause: str
) -> None:
    with serve() as url:
        notifications = Notifications(place.objects(webhook=url), patience=0.2)
        assert notifications.around(lambda: RECORD) is RECORD
        with pytest.raises(PioTfError) as raised:
            notifications.test()
    (warning,) = place.warnings
    assert warning.startswith(f"a message about the training was not sent: pio-tf.hcl: notify.webhook {what}")
    assert cause in warning
    assert "pio-tf notify --test" in raised.value.next_step
    assert TOKEN not in f"{warning}{raised.value}"


def test_a_webhook_whose_answer_never_ends_has_taken_the_message(place: Place) -> None:
    end = threading.Event()
    waited: list[str] = []

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not end.wait(0.05) and len(waited) < 100:
                self.wfile.write(b".")
                waited.append(".")

        def log_message(self, *_: object) -> None:
            pass

    with serving(Endless) as url:
        Notifications(place.objects(webhook=f"{url}/services/{TOKEN}"), patience=1).test()
        end.set()
    assert len(waited) < 100


@pytest.fixture
def topic(place: Place) -> Iterator[Topic]:
    """Yield a topic with a queue that is subscribed to it."""
    with LocalAws() as aws:
        credentials = place.directory / "credentials"
        credentials.write_text("[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
        place.aws = {"endpoint_url": aws.url, "credentials_file": credentials}
        yield make_topic(local_client("sns", aws.url), local_client("sqs", aws.url))


def test_a_topic_gets_the_text_with_its_title_as_subject(place: Place, topic: Topic) -> None:
    Notifications(place.objects(sns_topic=topic.arn)).around(lambda: RECORD)
    message = topic.message
    assert message["Subject"] == "pio-tf: ur (eu-west-1): the training succeeded"
    assert message["Message"].splitlines()[1] == "There is a new model."
    assert len(message["Subject"]) <= SUBJECT
    assert not place.warnings


def test_each_place_gets_the_test_message_even_if_another_does_not_answer(place: Place, topic: Topic) -> None:
    with _closed() as url, pytest.raises(PioTfError, match=r"notify\.webhook does not answer"):
        Notifications(place.objects(webhook=url, sns_topic=topic.arn)).test()
    assert topic.message["Message"].splitlines()[0] == "pio-tf: ur (eu-west-1): a test message"


def test_a_topic_that_does_not_exist_is_a_warning(place: Place, topic: Topic) -> None:
    gone = f"{topic.arn}-gone"
    Notifications(place.objects(sns_topic=gone)).around(lambda: RECORD)
    (warning,) = place.warnings
    assert gone in warning


def test_without_a_place_a_test_says_what_to_add(place: Place) -> None:
    with pytest.raises(ConfigError, match="no place for messages") as raised:
        Notifications(place.objects()).test()
    assert "notify block" in raised.value.next_step


@pytest.mark.parametrize("state", ["succeeded", "failed", "lost"])
def test_what_the_driver_has_told_is_not_told_again(place: Place, webhook: Webhook, url: str, state: RunState) -> None:
    record = replace(RECORD, state=state, told_by="driver")
    place.objects().storage.archive.save(record)
    if state == "succeeded":
        Notifications(place.objects(webhook=url)).around(lambda: record)
    else:
        place.fail(TrainingFailed("no model", details={"run": record.id}), webhook=url)
    assert webhook.documents == []


def test_a_client_that_was_away_for_too_long_leaves_the_message_to_the_driver(
    place: Place, webhook: Webhook, url: str
) -> None:
    place.fail(RemoteError("the driver's power is off", details={"driver_tells": True}), webhook=url)
    assert webhook.documents == []


def test_a_success_whose_command_failed_says_so(place: Place, webhook: Webhook, url: str) -> None:
    Notifications(place.objects(webhook=url)).around(lambda: replace(RECORD, on_success=7))
    (document,) = webhook.documents
    assert (document["event"], document["cause"]) == (
        "succeeded",
        "a command of train.on_success failed with exit status 7",
    )


def test_a_topic_that_does_not_answer_is_a_warning_after_one_attempt(place: Place) -> None:
    (place.directory / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        place.aws = {"endpoint_url": url, "credentials_file": place.directory / "credentials"}
        topic = "arn:aws:sns:eu-west-1:123456789012:trainings"
        Notifications(place.objects(sns_topic=topic), patience=0.2).around(lambda: RECORD)
        server.settimeout(5)
        server.accept()[0].close()
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    (warning,) = place.warnings
    assert "was not sent" in warning


def test_a_test_says_what_keeps_aws_from_telling_of_a_deadline(place: Place, topic: Topic) -> None:
    aws = place.aws["endpoint_url"]
    Notifications(place.objects(sns_topic=topic.arn)).test()
    policy, trail = place.warnings
    assert f"the policy of {topic.arn} does not let events.amazonaws.com publish" in policy
    assert "no CloudTrail trail of the account logs management events" in trail
    let = {"Effect": "Allow", "Principal": {"Service": ["events.amazonaws.com"]}, "Action": "SNS:Publish"}
    statement = json.dumps({"Statement": [{**let, "Resource": topic.arn}]})
    local_client("sns", aws).set_topic_attributes(TopicArn=topic.arn, AttributeName="Policy", AttributeValue=statement)
    local_client("s3", aws).create_bucket(
        Bucket="trails", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    cloudtrail = local_client("cloudtrail", aws)
    cloudtrail.create_trail(Name="all", S3BucketName="trails")
    place.events.clear()
    Notifications(place.objects(sns_topic=topic.arn)).test()
    assert len(place.warnings) == 1, "it does not log yet"
    cloudtrail.start_logging(Name="all")
    cloudtrail.put_event_selectors(
        TrailName="all", EventSelectors=[{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}]
    )
    place.events.clear()
    Notifications(place.objects(sns_topic=topic.arn)).test()
    assert len(place.warnings) == 1, "it logs reads only"
    cloudtrail.put_event_selectors(
        TrailName="all", EventSelectors=[{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]
    )
    place.events.clear()
    Notifications(place.objects(sns_topic=topic.arn)).test()
    assert place.warnings == []


def test_without_messages_about_deadlines_nothing_is_looked_for(place: Place, topic: Topic) -> None:
    Notifications(place.objects(sns_topic=topic.arn, on=["failed"])).test()
    assert place.warnings == []
