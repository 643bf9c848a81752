"""engine.json: what the engine is called, and the Spark settings in it that win over ours."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pio_tf.errors import ConfigError
from pio_tf.json_text import parse_json
from pio_tf.secret_names import contains_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HIDDEN = "***"

_PIO_OWN = {"spark.executor.extraClassPath": "."}
"""PIO sets this one itself, beneath sparkConf and above everything that spark-submit is given (WorkflowParams)."""
_WHERE_IT_TRAINS = {"spark.master": "", "spark.submit.deployMode": "client"}
"""With their defaults: as arguments they are checked, and in sparkConf they would take the training elsewhere."""
_BEFORE_THE_JVM = re.compile(
    r"spark\.driver\.(memory|memoryOverhead|cores|extraClassPath|extraLibraryPath|(extra|default)JavaOptions)"
    r"|spark\.jars\.(packages|excludes|ivy|ivySettings|repositories)"
)
"""What spark-submit acts on before PIO reads engine.json, so that sparkConf comes too late for it (Spark's
configuration.html: "in client mode, this config must not be set through the SparkConf directly")."""


@dataclass(frozen=True)
class Algorithm:
    """One of ``algorithms``. Empty where it does not say: only the Universal Recommender has an index."""

    name: str
    app_name: str = ""
    index_name: str = ""
    """The alias in Elasticsearch under which the Universal Recommender serves its model."""
    type_name: str = ""


@dataclass(frozen=True)
class Engine:
    """What pio-tf goes by in an engine.json."""

    id: str
    """The engine variant's id, by which PIO finds its trainings."""
    engine_factory: str
    app_name: str
    """The app whose events it learns from: ``datasource.params.appName``, else an algorithm's. Empty: not said."""
    algorithms: tuple[Algorithm, ...]
    spark_conf: Mapping[str, str]
    """``sparkConf``, flattened as PIO does."""

    @property
    def indices(self) -> tuple[str, ...]:
        """Every ``indexName``, each once."""
        return tuple(dict.fromkeys(one.index_name for one in self.algorithms if one.index_name))


@dataclass(frozen=True)
class Conflict:
    """A Spark setting of which engine.json says one thing and pio-tf another. Secret values are hidden."""

    name: str
    ours: str
    theirs: str
    """engine.json's, or PredictionIO's own."""
    wins: Literal["engine.json", "PredictionIO", "pio-tf"]
    fatal: bool
    """It would train elsewhere than on this cluster."""
    next_step: str

    @property
    def detail(self) -> str:
        """The two values, and which one holds, in one line."""
        other = "PredictionIO" if self.wins == "PredictionIO" else "engine.json"
        return f"{self.name}: {other} says {self.theirs!r}, pio-tf {self.ours!r}; {self.wins} wins"


def read_engine(text: str, *, where: str = "engine.json") -> Engine:
    """What a text says as PIO reads it.

    Args:
        where: the file's name, for messages.

    Raises:
        ConfigError: it is not JSON, or lacks what `pio train` insists on.
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
            raise _wrong(where, f'has no "{name}", without which PIO does not train', f'add "{name}": "{example}"')
    algorithms = tuple(
        Algorithm(
            _text(one, "name"),
            _text(one, "params", "appName"),
            _text(one, "params", "indexName"),
            _text(one, "params", "typeName"),
        )
        for one in _list(document.get("algorithms"))
    )
    app_names = (_text(document, "datasource", "params", "appName"), *(one.app_name for one in algorithms))
    return Engine(
        id=document["id"],
        engine_factory=document["engineFactory"],
        app_name=next(filter(None, app_names), ""),
        algorithms=algorithms,
        spark_conf=_spark_conf(document.get("sparkConf", {}), where),
    )


def spark_conf_conflicts(engine: Engine, settings: Mapping[str, str]) -> tuple[Conflict, ...]:
    """Settings of which engine.json and pio-tf say different things, and which of them holds.

    PIO puts sparkConf over what spark-submit gave, when the driver's JVM runs already and before it makes the
    SparkContext (CreateWorkflow, WorkflowContext): engine.json wins, but for what Spark needs before the JVM starts.

    Args:
        settings: all of ours by name, arguments included: :func:`pio_tf.pio.command.settings_in_force`.
    """
    return tuple(_conflicts(engine, {**_WHERE_IT_TRAINS, **settings}))


def with_engine(settings: Mapping[str, str], engine: Engine) -> dict[str, str]:
    """The settings that hold in a training: ours, and over them what engine.json may still change."""
    return {**settings, **{name: value for name, (value, wins) in _theirs(engine).items() if wins != "pio-tf"}}


def _conflicts(engine: Engine, settings: Mapping[str, str]) -> Iterator[Conflict]:
    for name, (value, wins) in _theirs(engine).items():
        if name not in settings or settings[name] == value:
            continue
        fatal = name in _WHERE_IT_TRAINS
        if fatal:
            next_step = "remove it from sparkConf in engine.json: pio-tf gives it"
        elif wins == "engine.json":
            next_step = "remove it from sparkConf in engine.json, or say the same in pio-tf.hcl"
        elif wins == "PredictionIO":
            next_step = "set it in sparkConf in engine.json, where PredictionIO leaves it alone"
        else:
            next_step = (
                "remove it from sparkConf in engine.json, where it comes too late: the driver's JVM runs by then"
            )
        hide = contains_secret_name(name)
        yield Conflict(
            name, HIDDEN if hide else settings[name], HIDDEN if hide else value, wins, fatal, next_step=next_step
        )


def _theirs(engine: Engine) -> dict[str, tuple[str, Literal["engine.json", "PredictionIO", "pio-tf"]]]:
    """Each setting of PIO and engine.json: its value, and who wins where we set it too."""
    found: dict[str, tuple[str, Literal["engine.json", "PredictionIO", "pio-tf"]]] = {}
    for name, value in _PIO_OWN.items():
        found[name] = (value, "PredictionIO")
    for name, value in engine.spark_conf.items():
        found[name] = (value, "pio-tf" if _BEFORE_THE_JVM.fullmatch(name) else "engine.json")
    return found


def _spark_conf(section: object, where: str) -> dict[str, str]:
    """Names joined with dots, values as text, as PIO's extractSparkConf has them; a later one wins."""
    if not isinstance(section, dict):
        raise _wrong(where, "sparkConf must be an object in { }", 'write "sparkConf": { "NAME": "VALUE" }')
    return dict(_flat(section, "", where))


def _flat(value: object, name: str, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _flat(child, f"{name}.{key}" if name else key, where)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, (str, int, float)):
        yield name, str(value)
    else:
        kind = "null" if value is None else "a list"
        raise _wrong(where, f"sparkConf: {name} is {kind}, at which PIO ends", "write its value as text in quotes")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any, *path: str) -> str:  # noqa: ANN401 - anything that JSON has
    """The text at the end of a path of names, empty where there is none: PIO itself reports what its engine needs."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _wrong(where: str, what: str, next_step: str) -> ConfigError:
    return ConfigError(f"{where}: {what}", next_step=f"on the driver: {next_step}")
