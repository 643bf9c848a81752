"""Places for messages about trainings: a webhook, and an SNS topic with a queue that is subscribed to it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "T0K3N-of-the-webhook"


@dataclass
class Webhook:
    """A server that keeps the messages it gets, and answers with a status."""

    status: int = 200
    documents: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Yield the address."""
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == f"/services/{TOKEN}"
                webhook.documents.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(webhook.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with serving(Handler) as url:
            yield f"{url}/services/{TOKEN}"


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Yield the address of an HTTP server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Topic:
    """An SNS topic.

    Args:
        receive: asks SQS for the messages in the queue that is subscribed to it.
    """

    arn: str
    receive: Callable[[], list[Any]]

    def texts(self) -> list[str]:
        """Return the messages that it got, each once."""
        return [json.loads(message["Body"])["Message"] for message in self.receive()]

    @property
    def message(self) -> dict[str, str]:
        """The one message that the topic got."""
        (message,) = self.receive()
        return dict(json.loads(message["Body"]))


def local_client(service: Any, url: str) -> Any:  # noqa: ANN401 - boto3 makes them
    """Return the test's own client of a local AWS."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def make_topic(sns: Any, sqs: Any) -> Topic:  # noqa: ANN401 - clients
    """Return a new topic, with a queue that is subscribed to it."""
    arn = sns.create_topic(Name="trainings")["TopicArn"]
    queue = sqs.create_queue(QueueName="reader")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)

    def receive() -> list[Any]:
        messages: list[Any] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return messages

    return Topic(arn, receive)


def let_events_publish(sns: Any, topic: Topic) -> None:  # noqa: ANN401 - a client
    """Give a topic the policy with which rules of EventBridge may send to it."""
    let = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sns:Publish"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**let, "Resource": topic.arn}]})
    sns.set_topic_attributes(TopicArn=topic.arn, AttributeName="Policy", AttributeValue=policy)
