"""engine.json: the engine's names, and its Spark settings, which win over pio-tf's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from pio_tf.config.uri_hosts import URI_HOST, find_bad_host
from pio_tf.errors import ConfigError
from pio_tf.json_text import parse_json
from pio_tf.secret_names import contains_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HIDDEN = "***"
Winner: TypeAlias = Literal["engine.json", "PredictionIO", "pio-tf"]

_PIO_OWN = {"spark.executor.extraClassPath": "."}
"""PIO sets this itself: sparkConf wins over it, and it wins over all arguments of spark-submit (WorkflowParams)."""
_REACH_THE_CLUSTER = {
    "spark.master": "",
    "spark.submit.deployMode": "client",
    "spark.authenticate": "true",
    "spark.authenticate.secret": "",
}
"""Settings, with pio-tf's values. A training with others reaches another cluster, or this one refuses it."""
_BEFORE_THE_JVM = re.compile(
    r"spark\.driver\.(memory|memoryOverhead|cores|extraClassPath|extraLibraryPath|(extra|default)JavaOptions)"
    r"|spark\.jars\.(packages|excludes|ivy|ivySettings|repositories)"
)
"""Settings that spark-submit uses before PIO reads engine.json, so that sparkConf is too late (Spark's
configuration.html: "in client mode, this config must not be set through the SparkConf directly")."""
_NEXT_STEPS: dict[Winner, str] = {
    "engine.json": "remove it from sparkConf in engine.json, or give the same value in pio-tf.hcl",
    "PredictionIO": "set it in sparkConf in engine.json, which PredictionIO does not override",
    "pio-tf": "remove it from sparkConf in engine.json, where it is too late: the driver's JVM already runs",
}


class Algorithm(Struct, frozen=True):
    """One of ``algorithms``. Values that it does not have are empty: only the Universal Recommender has an index."""

    name: str
    app_name: str = ""
    index_name: str = ""
    """The alias in Elasticsearch under which the Universal Recommender serves its model."""
    type_name: str = ""


class Engine(Struct, frozen=True):
    """The values of an engine.json that pio-tf uses."""

    id: str
    """The engine variant's id, by which PIO finds its trainings."""
    engine_factory: str
    app_name: str
    """The app with the engine's events: ``datasource.params.appName``, else an algorithm's, else empty."""
    algorithms: tuple[Algorithm, ...]
    spark_conf: Mapping[str, str]
    """``sparkConf``, flattened as PIO does."""

    @property
    def indices(self) -> tuple[str, ...]:
        """Every ``indexName``, each once."""
        return tuple(dict.fromkeys(one.index_name for one in self.algorithms if one.index_name))


class Conflict(Struct, frozen=True):
    """A Spark setting that has one value in engine.json and another in pio-tf. Secret values are hidden."""

    name: str
    ours: str
    theirs: str
    """engine.json's value, or PredictionIO's own."""
    wins: Winner
    fatal: bool
    """True if the training would not run on this cluster."""
    next_step: str

    @property
    def detail(self) -> str:
        """The two values and the winner, in one line."""
        other = "PredictionIO" if self.wins == "PredictionIO" else "engine.json"
        ours = f", pio-tf {self.ours!r}; {self.wins} wins" if self.ours else ""
        return f"{self.name}: {other} says {self.theirs!r}{ours}"


def read_engine(text: str, *, where: str = "engine.json") -> Engine:
    """Read an engine.json as PIO does.

    Args:
        where: the file's name, for messages.

    Raises:
        ConfigError: it is not JSON, or lacks a value that `pio train` requires.
    """
    try:
        document = parse_json(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{where}:{error.lineno}: is not JSON: {error.msg} (column {error.colno})",
            next_step=f"correct {where} on the driver; JSON has no comments, and no comma after the last item",
            details={"line": error.lineno, "column": error.colno},
        ) from error
    except ValueError as error:
        raise _wrong(where, f"cannot be read: {error}", "is this the engine's engine.json?") from error
    if not isinstance(document, dict):
        raise _wrong(where, "must be an object in { }", "is this the engine's engine.json?")
    for name, example in (("engineFactory", "com.actionml.RecommendationEngine"), ("id", "default")):
        if not isinstance(document.get(name), str) or not document[name]:
            raise _wrong(where, f'has no "{name}", which PIO requires', f'add "{name}": "{example}"')
    listed = document.get("algorithms")
    algorithms = tuple(
        Algorithm(_text(one, "name"), *(_text(one, "params", name) for name in ("appName", "indexName", "typeName")))
        for one in (listed if isinstance(listed, list) else ())
    )
    app_names = (_text(document, "datasource", "params", "appName"), *(one.app_name for one in algorithms))
    spark_conf = document.get("sparkConf", {})
    if not isinstance(spark_conf, dict):
        raise _wrong(where, "sparkConf must be an object in { }", 'write "sparkConf": { "NAME": "VALUE" }')
    return Engine(
        id=document["id"],
        engine_factory=document["engineFactory"],
        app_name=next(filter(None, app_names), ""),
        algorithms=algorithms,
        spark_conf=dict(_flatten(spark_conf, "", where)),  # a later value wins, as in PIO's extractSparkConf
    )


def spark_conf_conflicts(engine: Engine, settings: Mapping[str, str]) -> tuple[Conflict, ...]:
    """Return the settings that differ between engine.json and pio-tf, each with the value that wins.

    PIO puts sparkConf over what spark-submit gave, after the driver's JVM has started and before it makes the
    SparkContext (CreateWorkflow, WorkflowContext). So engine.json wins, except where Spark needs a setting earlier.

    Args:
        settings: all of pio-tf's by name, arguments included: :func:`pio_tf.pio.command.settings_in_force`.
    """
    ours = {**_REACH_THE_CLUSTER, **settings}
    return tuple(
        _conflict(name, ours.get(name, ""), value, wins)
        for name, (value, wins) in _engine_settings(engine).items()
        if ours.get(name, value) != value or _cannot_work(name, value)
    )


def with_engine(settings: Mapping[str, str], engine: Engine) -> dict[str, str]:
    """Return the settings in force in a training: pio-tf's, changed by what wins over them."""
    return {**settings, **{name: value for name, (value, wins) in _engine_settings(engine).items() if wins != "pio-tf"}}


def _conflict(name: str, ours: str, theirs: str, wins: Winner) -> Conflict:
    fatal = name in _REACH_THE_CLUSTER or _cannot_work(name, theirs)
    if not fatal:
        next_step = _NEXT_STEPS[wins]
    elif ours or name in _REACH_THE_CLUSTER:
        next_step = "remove it from sparkConf in engine.json: pio-tf sets it"
    else:
        next_step = "give another host in sparkConf in engine.json: Java finds none in this address"
    if contains_secret_name(name):
        ours = theirs = HIDDEN
    return Conflict(name, ours, theirs, wins, fatal, next_step)


def _cannot_work(name: str, value: str) -> bool:
    """Return whether Java finds no host in a setting."""
    return bool(find_bad_host(name, value)) or (name == "spark.driver.host" and not re.fullmatch(URI_HOST, value))


def _engine_settings(engine: Engine) -> dict[str, tuple[str, Winner]]:
    """Return each setting of PIO and engine.json: its value, and which value wins where pio-tf sets it, too."""
    found: dict[str, tuple[str, Winner]] = {name: (value, "PredictionIO") for name, value in _PIO_OWN.items()}
    for name, value in engine.spark_conf.items():
        found[name] = (value, "pio-tf" if _BEFORE_THE_JVM.fullmatch(name) else "engine.json")
    return found


def _flatten(value: object, name: str, where: str) -> Iterator[tuple[str, str]]:
    """Yield the settings in sparkConf: names joined with dots, values as text."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _flatten(child, f"{name}.{key}" if name else key, where)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, (str, int, float)):
        yield name, str(value)
    else:
        kind = "null" if value is None else "a list"
        raise _wrong(where, f"sparkConf: {name} is {kind}, with which PIO fails", "write its value as text in quotes")


def _text(value: Any, *path: str) -> str:  # noqa: ANN401 - anything that JSON has
    """Return the text at the end of a path of names, empty if there is none: PIO reports what its engine requires."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _wrong(where: str, what: str, next_step: str) -> ConfigError:
    return ConfigError(f"{where}: {what}", next_step=f"on the driver: {next_step}")
