"""Changes of the indices that hold models: copied, put back behind the alias, noted, removed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import replace

from pio_tf.errors import NotReady, RemoteError
from pio_tf.events import Done, Step
from pio_tf.json_text import as_object
from pio_tf.training.custody.model_index import ModelNote, copy_name, count_documents, read_models
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pio_tf.events import Reporter
    from pio_tf.training.custody.model_index import ModelIndex
    from pio_tf.training.elasticsearch_client import ElasticsearchClient

NOT_COPIED = (
    "blocks",
    "creation_date",
    "history",
    "lifecycle",
    "provided_name",
    "resize",
    "shrink",
    "uuid",
    "version",
)
"""Settings of one index, and ``lifecycle``, by which Elasticsearch would remove the copy."""
BATCH = 1000
"""Documents that ``_reindex`` copies at once: its default."""
POLL_SECONDS = 1.0
_TOLD_EVERY = 30.0
CANCEL_SECONDS = 10.0
_INTERRUPTED_SECONDS = 1.5
"""How long an interrupted copy may take to be cancelled: the machines stop next."""
_NO_COPY = "`--skip-check model` trains without a copy, and so without a way back"


class ModelIndices(Struct, frozen=True):
    """Changes models in one Elasticsearch. Every method raises RemoteError if Elasticsearch does not take a change."""

    es: ElasticsearchClient
    report: Reporter
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)

    async def copy(self, model: ModelIndex, run: str, *, documents: int, instance: str) -> ModelIndex:
        """Copy a model, with its settings, its mapping and those of its alias, before a run replaces it.

        Args:
            documents: that it has.
            instance: id of its engine instance.

        Raises:
            NotReady: the copy is not complete, and was removed.
        """
        name = copy_name(model.alias, run)
        self.report(Step(f"Copying the model {model.name} ({documents} documents) to {name}"))
        note = ModelNote(
            source=model.name,
            run=run,
            trained=model.trained,
            instance=instance,
            documents=documents,
            alias=model.aliases.get(model.alias, {}),
        )
        await self._create(model, name, note)
        copy = replace(model, name=name, aliases={})
        task = ""
        try:
            task = await self._begin(model, name)
            await self._wait(task, documents)
            await self._finish(model, copy, note)
        except RemoteError as error:
            with contextlib.suppress(RemoteError):
                await self._drop(copy, task)
            raise _incomplete(model, error.what, error.cause) from error
        except BaseException:  # interrupted: what can't be removed now, the next training removes
            with contextlib.suppress(RemoteError, asyncio.TimeoutError):
                await wait_for(self._drop(copy, task), timeout=_INTERRUPTED_SECONDS)
            raise
        with contextlib.suppress(RemoteError):  # Elasticsearch keeps the result of each task
            await self.es.send("DELETE", f"/.tasks/task/{quote(task, safe=':')}")
        self.report(Done(f"the model {model.name} is kept as {name}"))
        return replace(copy, mappings=_with_note(copy, replace(note, complete=True)))

    async def serve(
        self, target: ModelIndex, models: Sequence[ModelIndex], *, because: str, instance: str = ""
    ) -> None:
        """Let the alias point to another model, in one request, and note why those behind it are not served any more.

        Args:
            models: all of the alias.
            because: the reason, in one sentence; empty: they may be served again.
            instance: id of the engine instance of the model that is served now; empty: unknown.
        """
        served = [one for one in models if one.served]
        for one in served:  # before the alias moves: another client then sees it if this one dies
            old = one.note
            old = replace(old, instance=old.instance or instance, alias=old.alias or one.aliases[one.alias])
            await self.note(one, replace(old, rejected=because, complete=True))
        if target.note.rejected:
            await self.note(target, replace(target.note, rejected=""))
        alias = target.alias
        settings = target.note.alias or next((one.aliases[alias] for one in served), {})
        actions: list[dict[str, Any]] = [{"remove": {"index": one.name, "alias": alias}} for one in served]
        actions.append({"add": {**settings, "index": target.name, "alias": alias}})
        await self.es.send("POST", "/_aliases", {"actions": actions})

    async def note(self, model: ModelIndex, note: ModelNote) -> None:
        """Write a note into a model's index."""
        if model.type:  # else it has no document either
            path, body = model.noted(note)
            await self.es.send("PUT", path, body)

    async def remove(self, model: ModelIndex) -> None:
        """Remove a model that no alias points to."""
        if model.aliases:
            return
        if model.state == "incomplete":
            await self._cancel_writers(model.name)
        await self.es.send("DELETE", model.path)
        self.report(Done(f"removed the model {model.name}: {model.note.rejected or _WHY[model.state]}"))

    async def prune(self, alias: str, *, copies: int) -> None:
        """Remove models that failed, copies that were interrupted, and the oldest of the others.

        Args:
            copies: how many of the others stay.
        """
        spare = [one for one in await read_models(self.es, alias) if not one.served]
        kept = [one for one in spare if one.state == "kept"]
        for one in (*(one for one in spare if one.state != "kept"), *kept[copies:]):
            await self.remove(one)

    async def _create(self, model: ModelIndex, name: str, note: ModelNote) -> None:
        if any(as_object(one).get("_source", {}).get("enabled") is False for one in model.mappings.values()):
            raise _incomplete(model, f"{model.name} can't be copied", "its mapping keeps no _source")
        index = {key: value for key, value in model.settings.items() if key not in NOT_COPIED}
        index |= {"number_of_replicas": 0, "refresh_interval": "-1"}
        body = {"settings": {"index": index}, "mappings": _with_note(model, note)}
        try:
            await self.es.send("PUT", f"/{quote(name, safe='')}", body)
        except RemoteError as error:
            raise _incomplete(model, error.what, error.cause) from error

    async def _begin(self, model: ModelIndex, name: str) -> str:
        # One slice: several take the threads of an Elasticsearch that serves queries, and were slower on two cores.
        body = {"source": {"index": model.name, "size": BATCH}, "dest": {"index": name}}
        answer = await self.es.send("POST", "/_reindex?wait_for_completion=false", body)
        return str(as_object(answer).get("task", ""))

    async def _wait(self, task: str, documents: int) -> None:
        """Wait until Elasticsearch has copied all documents, and raise RemoteError if it could not."""
        told = time.monotonic()
        while True:
            answer = as_object(await self.es.get(f"/_tasks/{quote(task, safe=':')}"))
            if answer.get("completed"):
                break
            done = as_object(as_object(answer.get("task")).get("status")).get("created", 0)
            if time.monotonic() - told >= _TOLD_EVERY:
                told = time.monotonic()
                self.report(Step(f"Copying the model: {done} of {documents} documents"))
            await self.sleep(POLL_SECONDS)
        result = as_object(answer.get("response"))
        problem = answer.get("error") or result.get("failures") or result.get("canceled")
        if problem:
            raise RemoteError("Elasticsearch could not copy all documents", cause=_reason(problem))

    async def _finish(self, model: ModelIndex, copy: ModelIndex, note: ModelNote) -> None:
        settings = {
            "refresh_interval": model.settings.get("refresh_interval"),
            "number_of_replicas": model.settings.get("number_of_replicas", 1),
        }
        await self.es.send("PUT", f"{copy.path}/_settings", {"index": settings})
        await self.es.send("POST", f"{copy.path}/_refresh")
        found = await count_documents(self.es, copy)
        if found != note.documents:
            raise RemoteError("the copy is not complete", cause=f"it has {found} of {note.documents} documents")
        await self.note(copy, replace(note, complete=True))

    async def _drop(self, copy: ModelIndex, task: str) -> None:
        if task:
            with contextlib.suppress(RemoteError):
                await self.es.send("POST", f"/_tasks/{quote(task, safe=':')}/_cancel")
        await self._cancel_writers(copy.name)
        await self.es.send("DELETE", copy.path)

    async def _cancel_writers(self, name: str) -> None:
        """End what still copies to an index: Elasticsearch would make the index again, without its mapping."""
        until = time.monotonic() + CANCEL_SECONDS
        while writers := await self._writers(name):
            for task in writers:
                with contextlib.suppress(RemoteError):  # it has ended meanwhile
                    await self.es.send("POST", f"/_tasks/{quote(task, safe=':')}/_cancel")
            if time.monotonic() > until:
                raise RemoteError(f"Elasticsearch does not stop copying to {name}", next_step="GET /_tasks shows it")
            await self.sleep(POLL_SECONDS / 4)

    async def _writers(self, name: str) -> list[str]:
        answer = as_object(await self.es.get("/_tasks?actions=*reindex&detailed=true"))
        tasks = {
            key: task
            for node in as_object(answer.get("nodes")).values()
            for key, task in as_object(as_object(node).get("tasks")).items()
        }
        return [key for key, task in tasks.items() if f"[{name}]" in str(as_object(task).get("description", ""))]


_WHY = {"kept": "newer ones are kept", "incomplete": "its copy was interrupted", "rejected": "", "served": ""}


def _with_note(model: ModelIndex, note: ModelNote) -> dict[str, Any]:
    """Return the mappings of a model with a note in them."""
    _, meta = model.noted(note)
    return {name: {**mapping, **(meta if name == model.type else {})} for name, mapping in model.mappings.items()}


def _incomplete(model: ModelIndex, what: str, cause: str) -> NotReady:
    return NotReady(
        f"the model that is served, {model.name}, could not be copied before the training",
        cause=f"{what}: {cause}" if cause else what,
        next_step=f"remove the cause, then train again; {_NO_COPY}",
        details={"index": model.name, "alias": model.alias},
    )


def _reason(problem: Any) -> str:  # noqa: ANN401 - JSON
    """Return the first reason in Elasticsearch's own words, shortened."""
    first = problem[0] if isinstance(problem, list) and problem else problem
    cause = as_object(first).get("cause", first)
    return str(as_object(cause).get("reason") or cause)[:300]
