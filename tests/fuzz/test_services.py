"""Whatever Spark's pages and Elasticsearch answer: it is understood, or refused in words."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pio_tf.config.storage import ElasticsearchNode
from pio_tf.events import TrainingProgress
from pio_tf.training.elasticsearch_client import ElasticsearchClient
from pio_tf.training.proof import Before, Traces, contradiction, look_before, prove
from pio_tf.training.spark_pages import active_applications, spark_status, watch
from tests.fuzz.channel import AnsweringDriver
from tests.fuzz.documents import texts
from tests.fuzz.settings import answers, examples
from tests.support.spark_pages import Application, job, master, stage

RUN = "20260131T100000Z-0abc"
INSTANCE = {
    "_id": "AV1",
    "_source": {
        "status": "COMPLETED",
        "startTime": "2026-01-31T10:00:05.000Z",
        "engineFactory": "f",
        "engineVariant": "default",
        "engineVersion": "v",
    },
}
SEARCHED = {"hits": {"total": 1, "hits": [INSTANCE]}}
ALIASES: dict[str, Any] = {"ur_1": {"aliases": {"ur": {}}}, "ur_2": {"aliases": {"ur": {}}}}
MASTER = master("app-20260131100000-0003", busy=2, idle=1, dead=1)
PAGES = (
    MASTER,
    [{"id": "app-20260131100000-0003", "name": "train", "attempts": []}],
    Application("app-20260131100000-0003").jobs,
    [job(0), job(1)],
    [stage(0), stage(1)],
)
HTTP = (
    *(b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 404 Not Found\r\nX: y\r\n\r\n"),
    *(b"HTTP/1.1 \r\n\r\n", b"HTTP/1.1 9x\r\n\r\n", b""),
)


def served(*documents: object) -> st.SearchStrategy[bytes]:
    """Return the answers that a service may give over HTTP."""
    return st.one_of(
        st.tuples(st.sampled_from(HTTP), texts(*documents)).map(lambda parts: bytes(parts[0]) + bytes(parts[1])),
        texts(*documents).map(lambda body: HTTP[0] + bytes(body)),
        st.binary(max_size=100),
    )


@examples(100)
@given(served(MASTER))
def test_whatever_answers_in_place_of_sparks_master(data: bytes) -> None:
    async def ask() -> None:
        remote = AnsweringDriver(data).remote
        with answers():
            status = await spark_status(remote, master="10.0.0.1", port=8080)
            assert status.cores >= 0 or status.workers
            assert status.alive is not None
        with answers():
            await active_applications(remote, master="10.0.0.1", port=8080, since=0.0)

    asyncio.run(ask())


@examples(50)
@given(served(*PAGES))
def test_whatever_sparks_pages_say_a_training_is_followed(data: bytes) -> None:
    told: list[TrainingProgress] = []

    async def look() -> None:
        await watch(
            AnsweringDriver(data).remote,
            run=RUN,
            started=0.0,
            driver_ip="10.0.0.1",
            ui_port=4040,
            master_ip="10.0.0.2",
            master_ui_port=8080,
            deadline=lambda: None,
            reporter=lambda event: told.append(event) if isinstance(event, TrainingProgress) else None,
            interval=0.0,
            heartbeat=0.0,
        )

    async def for_a_moment() -> None:
        with answers(), contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(look(), timeout=0.02)

    asyncio.run(for_a_moment())
    assert told
    assert all(count is None or count >= 0 for one in told for count in (one.jobs, one.tasks, one.executors))


@examples(75)
@given(served(SEARCHED, ALIASES, {"error": {"reason": "x"}}), st.sampled_from([0, 1, None]))
def test_whatever_elasticsearch_answers_there_are_four_proofs(data: bytes, exit_status: int | None) -> None:
    async def ask() -> None:
        es = ElasticsearchClient(AnsweringDriver(data).remote, [ElasticsearchNode("es-1", 9200, "http")])
        traces = Traces("f", "default", metadata="pio_meta", engine_version="v", aliases=("ur",))
        with answers():
            before = await look_before(es, traces)
            proofs = await prove(
                es, traces, before, started=1769853600.0, exit_status=exit_status, success_line_seen=True
            )
            assert len(proofs) == 4
            assert json.dumps([proof.detail for proof in proofs])
            contradiction(proofs)
            await prove(es, traces, Before(None, {}), started=0.0, exit_status=0, success_line_seen=False)

    asyncio.run(ask())
