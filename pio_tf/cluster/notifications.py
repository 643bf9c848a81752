"""Messages about trainings: to a webhook, such as Slack's, and to an SNS topic."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import asdict

from pio_tf.aws.errors import aws_errors
from pio_tf.cluster.deadline_messages import find_obstacles
from pio_tf.cluster.messages import short
from pio_tf.cluster.spending import kept_prices, run_usd
from pio_tf.config.kinds import check_webhook
from pio_tf.errors import ConfigError, Interrupted, Locked, PioTfError
from pio_tf.events import Warned
from pio_tf.training.runs import run_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from pio_tf.cluster.objects import ClusterObjects
    from pio_tf.config.blocks import NotifyEvent
    from pio_tf.config.kinds import Password
    from pio_tf.training.runs.record import RunRecord

PATIENCE = 5.0
"""Seconds. The machines are stopped by then, so that this costs time only."""
_HOW_TO_TEST = "correct notify.webhook, then run `pio-tf notify --test`"


class Message(Struct, frozen=True, kw_only=True):
    """The result of a training, as text and as JSON. It holds no secret: a cause quotes a log without them.

    Args:
        seconds: duration of the run.
        cost_usd: estimate for the machines during the run; None: a price is unknown.
    """

    cluster: str
    region: str
    event: NotifyEvent | Literal["test"]
    what: str
    cause: str = ""
    next_step: str = ""
    run: str = ""
    seconds: float | None = None
    cost_usd: float | None = None
    model: str = ""

    @property
    def title(self) -> str:
        """The cluster and the result of its training, on one line of ASCII characters."""
        return run_message.title(asdict(self))

    @property
    def text(self) -> str:
        """The whole message as text."""
        return run_message.text(asdict(self))

    @property
    def document(self) -> str:
        """JSON with every fact, and with the ``text`` that chat programs show."""
        return run_message.document(asdict(self))


class Notifications:
    """Sends messages where the notify block says. A message that can't be sent is a warning: the training counts.

    Args:
        patience: seconds that a place has to accept a connection, and to answer.
    """

    def __init__(self, objects: ClusterObjects, *, patience: float = PATIENCE) -> None:
        self._objects = objects
        self._patience = patience
        self._block = objects.context.config.notify
        self._senders: dict[str, Callable[[Message], None]] = {}
        if webhook := self._block.webhook:
            self._senders["webhook"] = partial(self._post, webhook)
        if topic := self._block.sns_topic:
            self._senders["sns_topic"] = partial(self._publish, topic)

    def around(self, work: Callable[[], RunRecord]) -> RunRecord:
        """Return what ``work`` returns, and send a message about its result.

        There is none about a run that continues, nor if a person interrupts, or another client works on the cluster;
        nor if the driver has sent it, or will.
        """
        try:
            record = work()
        except (Interrupted, Locked):
            raise
        except Exception as error:
            self._send_wanted(partial(self._failure, error))
            raise
        if record.state == "succeeded":
            self._send_wanted(partial(self._success, record))
        return record

    def test(self) -> tuple[str, ...]:
        """Send a test message to every place of the notify block, and return their names.

        Warn of what keeps AWS from sending messages about the deadline.

        Raises:
            ConfigError: there is no place, or the webhook is no address.
            PioTfError: a place did not take the message; the others have it.
        """
        if not self._senders:
            raise ConfigError(
                f"{self._objects.context.config.path.name} has no place for messages",
                next_step="add a notify block with a webhook or an sns_topic (docs/training.md#messages)",
            )
        if errors := self._send(self._message("test", None, what="pio-tf can send messages to this place.")):
            raise errors[0]
        if self._block.sns_topic and "deadline" in self._block.on:
            for obstacle in find_obstacles(self._objects.context.aws.client, self._block.sns_topic):
                self._objects.context.report(Warned(obstacle))
        return tuple(self._senders)

    def _send_wanted(self, make: Callable[[], Message | None]) -> None:
        """Send a message if it is about a result that the block names. Nothing that fails here hides that result."""
        errors: list[PioTfError] = []
        try:
            message = make()
            if message is not None and message.event in self._block.on:
                errors = self._send(message)
        except Exception as error:  # noqa: BLE001 - the training's own result, or error, is what counts
            errors.append(PioTfError(f"pio-tf has a bug here: {type(error).__name__}"))
        for failed in errors:
            self._objects.context.report(Warned(f"a message about the training was not sent: {short(failed)}"))

    def _send(self, message: Message) -> list[PioTfError]:
        """Send a message to every place. Return an error for each place that did not take it."""
        errors = []
        for send in self._senders.values():
            try:
                send(message)
            except PioTfError as error:  # noqa: PERF203 - the other places get the message, too
                errors.append(error)
        return errors

    def _post(self, webhook: Password, message: Message) -> None:
        from urllib3.exceptions import HTTPError

        from pio_tf.http_pool import http_pool, http_reason

        context = self._objects.context
        place = f"{context.config.where('notify.webhook')}: notify.webhook"
        url = context.secrets.reveal(webhook)
        try:
            check_webhook(url)
        except ValueError as error:
            raise ConfigError(f"{place}: {error}", next_step="store the address of the webhook there") from None
        headers = {"Content-Type": "application/json"}
        try:
            with http_pool(url, timeout=self._patience) as pool:
                body = message.document.encode()
                answer = pool.request("POST", url, body=body, headers=headers, redirect=False, preload_content=False)
                answer.close()  # its text does not matter, and may never end
        except HTTPError as error:
            raise PioTfError(f"{place} does not answer", cause=http_reason(error), next_step=_HOW_TO_TEST) from None
        if not 200 <= answer.status < 300:
            raise PioTfError(
                f"{place} refuses messages", cause=f"HTTP {answer.status} {answer.reason}", next_step=_HOW_TO_TEST
            )

    def _publish(self, topic: str, message: Message) -> None:
        sns = self._objects.context.aws.quick_client("sns", patience=self._patience)
        with aws_errors(f"{topic}: sending a message", service="sns"):
            sns.publish(TopicArn=topic, Subject=message.title[: run_message.SUBJECT], Message=message.text)

    def _success(self, record: RunRecord) -> Message | None:
        if record.told_by == "driver":
            return None
        cause = (
            f"a command of train.on_success failed with exit status {record.on_success}" if record.on_success else ""
        )
        return self._message("succeeded", record, what="There is a new model.", cause=cause)

    def _failure(self, error: Exception) -> Message | None:
        if not isinstance(error, PioTfError):
            return self._message("failed", None, what=f"pio-tf has a bug here: {type(error).__name__}")
        record = self._objects.storage.archive.load(str(error.details.get("run") or ""))
        if error.details.get("driver_tells") or (record is not None and record.told_by == "driver"):
            return None
        event: NotifyEvent = "failed"
        if record is not None and (record.state == "lost" or error.details.get("power_off")):
            late = record.deadline and datetime.fromisoformat(record.deadline) <= self._objects.context.now()
            event = "deadline" if late else "lost"
        return self._message(event, record, what=error.what, cause=error.cause, next_step=error.next_step)

    def _message(self, event: NotifyEvent | Literal["test"], record: RunRecord | None, **said: str) -> Message:
        config = self._objects.context.config
        facts: dict[str, Any] = {**said}
        if record is not None:
            cost = run_usd(record, kept_prices(self._objects.context))
            facts |= {"run": record.id, "seconds": record.seconds, "model": record.model, "cost_usd": cost}
        return Message(cluster=config.cluster.name, region=config.aws.region, event=event, **facts)
