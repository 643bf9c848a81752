"""The program on the driver that copies the model that is served, before a training that begins without a client.

It does what ``Custodian.before`` and ``ModelIndices.copy`` of a client do. Names, notes and searches that both must
write alike are in its order: JSON on the standard input, which ``order.py`` writes. The driver runs it with its own
Python, which may be as old as 3.6 and has only the standard library.

Its first line of output is the ``custody`` for the run's record; the second, if there is one, a problem. An exit status
other than 0: the training must not begin.
"""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import sys
import time
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import quote

if __package__:  # on the driver, the two files are in one directory
    from pio_tf.training.elasticsearch_room import CLUSTER_SETTINGS, DISKS, judge_copy
else:
    from elasticsearch_room import (  # type: ignore[import-not-found,no-redef]
        CLUSTER_SETTINGS,
        DISKS,
        judge_copy,
    )

ASK, CHANGE = 10.0, 60.0
"""Seconds for one answer."""
_NO_ANSWER = 0
_TRY_ANOTHER_NODE = (_NO_ANSWER, 502, 503, 504)
_Json = Dict[str, Any]


class Refused(Exception):
    """Elasticsearch did not answer (``status`` 0) or refused a request; or the model can't be copied.

    Its text shows no credentials.
    """

    def __init__(self, why: str, status: int = 200) -> None:
        super().__init__(why)
        self.status = status


class Elasticsearch:
    """A REST client. A question goes to each node in turn until one answers, a change to that one."""

    def __init__(self, order: _Json) -> None:
        self._nodes: List[List[Any]] = list(order["nodes"])
        self._headers = {"Accept": "application/json"}
        if order["user"] is not None or order["password"] is not None:
            login = f"{order['user'] or ''}:{order['password'] or ''}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self._tls: Optional[ssl.SSLContext] = None
        if any(scheme == "https" for _, _, scheme in self._nodes):
            self._tls = _trust(order["authorities"])

    def ask(self, path: str, body: Optional[_Json] = None) -> _Json:
        """Return the answer to a question: a GET, or with a body a search."""
        failures: List[Refused] = []
        for node in list(self._nodes):
            try:
                answer = self._send(node, "GET" if body is None else "POST", path, body, ASK)
            except Refused as refused:  # noqa: PERF203 - the next node follows
                if refused.status not in _TRY_ANOTHER_NODE:
                    raise
                failures.append(refused)
            else:
                self._nodes.remove(node)
                self._nodes.insert(0, node)
                return answer
        raise Refused("; ".join(str(one) for one in failures), failures[0].status)

    def change(self, method: str, path: str, body: Optional[_Json] = None) -> _Json:
        """Return the answer to a request that changes something."""
        return self._send(self._nodes[0], method, path, body, CHANGE)

    def _send(self, node: List[Any], method: str, path: str, body: Optional[_Json], timeout: float) -> _Json:
        host, port, scheme = node
        where = f"Elasticsearch at {host}:{port}"
        if scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        content = None if body is None else json.dumps(body).encode()
        headers = dict(self._headers, **({} if body is None else {"Content-Type": "application/json"}))
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Refused(f"{where} does not answer: {error or type(error).__name__}", _NO_ANSWER) from None
        finally:
            connection.close()
        try:
            answer = json.loads(text.decode())
        except ValueError:
            answer = {}
        if status != 200:
            raise Refused(f"{where} answered with status {status}: {_reason(_object(answer).get('error'))}", status)
        return _object(answer)


class Keeper:
    """Looks after the models of one engine before a run.

    Args:
        abandoned: returns whether the copy is of no use any more.
    """

    def __init__(
        self, es: Elasticsearch, order: _Json, run: str, abandoned: Callable[[], bool] = lambda: False
    ) -> None:
        self._es = es
        self._order = order
        self._run = run
        self._abandoned = abandoned
        self.custody: _Json = {name: dict(value) for name, value in order["custody"].items()}

    def look_after(self, alias: str, copies: str) -> None:
        """Count the documents behind an alias, and keep the model if it is to be kept.

        Args:
            copies: regular expression of the names of its copies.
        """
        served, spare = self._models(alias, copies)
        if self._order["copies"]:
            spare = self._prune(spare)
        documents = sum(self._count(name) for name in served)
        self.custody["documents"][alias] = documents
        if not self._order["copies"] or not served:
            return
        if len(served) > 1:
            raise Refused(f"alias {alias} points to {len(served)} indices: {', '.join(sorted(served))}")
        ((name, model),) = served.items()
        if self._note(model)["rejected"]:
            return
        for copy, found in spare.items():
            note = self._note(found)
            if note["complete"] and (note["source"], note["documents"]) == (name, documents):
                self.custody["kept"][alias] = copy
                return
        self._look_at_room(name)
        self.custody["kept"][alias] = self._copy(alias, name, model, documents)

    def _models(self, alias: str, copies: str) -> Tuple[Dict[str, _Json], Dict[str, _Json]]:
        """Return the indices behind an alias, and its copies that have no alias."""
        try:
            behind = sorted(self._es.ask(f"/_alias/{quote(alias, safe='')}"))
        except Refused as refused:
            if refused.status != 404:
                raise
            behind = []
        prefix = quote(self._order["prefix"] + alias, safe="")
        names = ",".join([*(quote(name, safe="") for name in behind), f"{prefix}-*"])
        found = self._es.ask(f"/{names}?ignore_unavailable=true")
        served = {name: one for name, one in found.items() if alias in _object(one.get("aliases"))}
        spare = {
            name: one for name, one in found.items() if re.fullmatch(copies, name) and not _object(one.get("aliases"))
        }
        return served, spare

    def _prune(self, spare: Dict[str, _Json]) -> Dict[str, _Json]:
        """Remove copies that were interrupted or failed, and the oldest of the others. Return those that are left.

        Without a client, nothing else removes them.
        """

        def age(name: str) -> Any:  # noqa: ANN401 - a key for sorting
            note = self._note(spare[name])
            return note["trained"], note["run"], name

        fit = [name for name in sorted(spare, key=age, reverse=True) if self._is_fit(spare[name])]
        left = fit[: self._order["copies"]]
        for name in sorted(set(spare) - set(left)):
            if not self._note(spare[name])["complete"]:
                self._cancel_writers(name)
            self._es.change("DELETE", _path(name))
        return {name: spare[name] for name in left}

    def _is_fit(self, model: _Json) -> bool:
        note = self._note(model)
        return bool(note["complete"] and not note["rejected"])

    def _look_at_room(self, name: str) -> None:
        sizes = self._ask_if_possible(f"{_path(name)}/_stats/store")
        judged = judge_copy(name, sizes, self._ask_if_possible(CLUSTER_SETTINGS), self._ask_if_possible(DISKS))
        if judged and not judged[0]:
            raise Refused(judged[1])

    def _ask_if_possible(self, path: str) -> _Json:
        """Return an answer; an empty one if the user may not read it."""
        try:
            return self._es.ask(path)
        except Refused:
            return {}

    def _copy(self, alias: str, source: str, model: _Json, documents: int) -> str:
        """Copy a model. Return the name of the copy."""
        name = f"{self._order['prefix']}{alias}-{self._run.lower()}"
        mappings = _object(model.get("mappings"))
        if any(_object(_object(one).get("_source")).get("enabled") is False for one in mappings.values()):
            raise Refused(f"{source} can't be copied: its mapping keeps no _source")
        old = self._note(model)
        note = dict(
            self._order["note"],
            source=source,
            run=self._run,
            trained=old["trained"] or self._trained(source, alias),
            instance=old["instance"] or self._served_instance(),
            documents=documents,
            alias=_object(model.get("aliases")).get(alias, {}),
        )
        settings = _object(_object(model.get("settings")).get("index"))
        index = {key: value for key, value in settings.items() if key not in self._order["not_copied"]}
        index.update(number_of_replicas=0, refresh_interval="-1")
        kind = self._type(mappings)
        noted = {kind: dict(_object(mappings.get(kind)), **self._meta(mappings, note))} if kind else {}
        self._es.change("PUT", _path(name), {"settings": {"index": index}, "mappings": dict(mappings, **noted)})
        tasks: List[str] = []
        try:
            body = {"source": {"index": source, "size": self._order["batch"]}, "dest": {"index": name}}
            tasks.append(str(self._es.change("POST", "/_reindex?wait_for_completion=false", body).get("task", "")))
            self._wait(tasks[0])
            self._finish(name, settings, note)
            if kind:
                path = f"{_path(name)}/_mapping/{quote(kind, safe='')}"
                self._es.change("PUT", path, self._meta(mappings, dict(note, complete=True)))
        except BaseException:  # also if this program is to end
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._drop(name, tasks)
            raise
        with contextlib.suppress(Refused):  # Elasticsearch keeps the result of each task
            self._es.change("DELETE", f"/.tasks/task/{quote(tasks[0], safe=':')}")
        return name

    def _finish(self, name: str, settings: _Json, note: _Json) -> None:
        """Give a copy the settings of its model that were others while it was filled, and count its documents."""
        replicas = settings.get("number_of_replicas", 1)
        final = {"refresh_interval": settings.get("refresh_interval"), "number_of_replicas": replicas}
        self._es.change("PUT", f"{_path(name)}/_settings", {"index": final})
        self._es.change("POST", f"{_path(name)}/_refresh")
        found = self._count(name)
        if found != note["documents"]:
            raise Refused(f"the copy of {note['source']} has {found} of {note['documents']} documents")

    def _count(self, name: str) -> int:
        return int(self._es.ask(f"{_path(name)}/_count", {}).get("count", 0))

    def _wait(self, task: str) -> None:
        """Wait until Elasticsearch has copied all documents."""
        while True:
            answer = self._es.ask(f"/_tasks/{quote(task, safe=':')}")
            if answer.get("completed"):
                break
            if self._abandoned():
                raise Refused("the preparation of the training was ended")
            time.sleep(self._order["poll_seconds"])
        result = _object(answer.get("response"))
        problem = answer.get("error") or result.get("failures") or result.get("canceled")
        if problem:
            raise Refused(f"Elasticsearch could not copy all documents: {_reason(problem)}")

    def _drop(self, name: str, tasks: List[str]) -> None:
        """Remove a copy that is not complete; what can't be removed now, the next training removes."""
        with contextlib.suppress(Refused):
            for task in tasks:
                self._cancel(task)
            self._cancel_writers(name)
            self._es.change("DELETE", _path(name))

    def _cancel(self, task: str) -> None:
        with contextlib.suppress(Refused):  # it has ended meanwhile
            self._es.change("POST", f"/_tasks/{quote(task, safe=':')}/_cancel")

    def _cancel_writers(self, name: str) -> None:
        """End what still copies to an index: Elasticsearch would make the index again, without its mapping."""
        until = time.monotonic() + self._order["cancel_seconds"]
        while True:
            nodes = _object(self._es.ask("/_tasks?actions=*reindex&detailed=true").get("nodes"))
            tasks = {key: one for node in nodes.values() for key, one in _object(_object(node).get("tasks")).items()}
            writers = [key for key, one in tasks.items() if f"[{name}]" in str(_object(one).get("description"))]
            if not writers:
                return
            for task in writers:
                self._cancel(task)
            if time.monotonic() > until:
                raise Refused(f"Elasticsearch does not stop copying to {name}")
            time.sleep(self._order["poll_seconds"] / 4)

    def _served_instance(self) -> str:
        """Return the id of the engine instance that PredictionIO serves; empty: there is none, or it is unknown."""
        wanted = self._order["instance"]
        newest: List[Any] = []
        for path in wanted["paths"]:
            try:
                hits = _object(self._es.ask(path, wanted["search"]).get("hits")).get("hits")
            except Refused as refused:
                if refused.status != 404:
                    raise
                continue
            for hit in hits if isinstance(hits, list) else []:
                source = _object(hit.get("_source"))
                fits = all(source.get(name) == value for name, value in wanted["fields"].items())
                if fits and source.get("startTime"):
                    newest.append((hit.get("sort"), str(hit["_id"])))
                    break  # they come sorted
        return str(max(newest)[1]) if newest else ""

    def _trained(self, name: str, alias: str) -> str:
        """Return when the Universal Recommender made an index: ISO 8601, UTC; empty: it did not."""
        digits = name[len(alias) + 1 :] if name.startswith(f"{alias}_") else ""
        if not digits.isdigit() or len(digits) > self._order["milliseconds"]:
            return ""
        return datetime.fromtimestamp(int(digits) / 1000, timezone.utc).isoformat(timespec="seconds")

    def _type(self, mappings: _Json) -> str:
        return next((name for name in mappings if name != self._order["no_type"]), "")

    def _note(self, model: _Json) -> _Json:
        """Return pio-tf's note in an index, with what it lacks."""
        mappings = _object(model.get("mappings"))
        meta = _object(_object(mappings.get(self._type(mappings))).get("_meta"))
        note = dict(self._order["note"])
        found = _object(meta.get(self._order["meta"]))
        note.update({name: one for name, one in found.items() if name in note and isinstance(one, type(note[name]))})
        return note

    def _meta(self, mappings: _Json, note: _Json) -> _Json:
        """Return ``_meta`` of a mapping with a note in it."""
        meta = _object(_object(mappings.get(self._type(mappings))).get("_meta"))
        return {"_meta": dict(meta, **{self._order["meta"]: note})}


def _trust(authorities: str) -> ssl.SSLContext:
    """Return what verifies certificates: the driver's own store, and these authorities in PEM."""
    try:
        tls = ssl.create_default_context()
        if authorities:
            tls.load_verify_locations(cadata=authorities)
    except OSError as error:  # ssl.SSLError is one
        raise Refused(f"the driver can't verify Elasticsearch's certificate: {error}") from None
    return tls


def _path(name: str) -> str:
    return f"/{quote(name, safe='')}"


def _object(value: object) -> _Json:
    return value if isinstance(value, dict) else {}


def _reason(problem: Any) -> str:  # noqa: ANN401 - JSON
    """Return the first reason in Elasticsearch's own words, shortened, in one line."""
    first = problem[0] if isinstance(problem, list) and problem else problem
    cause = _object(first).get("cause", first)
    return " ".join(str(_object(cause).get("reason") or cause or "no reason").split())[:300]


def main() -> int:
    """Keep the models before the run that the argument names."""
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(128 + signal.SIGTERM))
    order, parent = json.load(sys.stdin), os.getppid()
    custody, problem = order["custody"], ""
    try:
        keeper = Keeper(Elasticsearch(order), order, sys.argv[1], lambda: os.getppid() != parent)
        custody = keeper.custody
        for alias, copies in order["aliases"].items():
            keeper.look_after(alias, copies)
    except Refused as refused:
        problem = f"{refused}\n"
    # A unit of systemd's has no locale: Python 3.6 would encode in ASCII.
    sys.stdout.buffer.write(f"{json.dumps(custody)}\n{problem}".encode())
    return 1 if problem and order["copies"] else 0


if __name__ == "__main__":
    sys.exit(main())
