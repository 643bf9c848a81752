"""engine.json as PredictionIO reads it, and its Spark settings against ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pio_tf.sandbox
from pio_tf.errors import ConfigError
from pio_tf.pio.engine import HIDDEN, Algorithm, Engine, read_engine, spark_conf_conflicts, with_engine

OURS = {
    "spark.master": "spark://10.0.0.11:7077",
    "spark.driver.host": "10.0.0.10",
    "spark.driver.memory": "20g",
    "spark.executor.memory": "22g",
}


def engine(spark_conf: object = None, **fields: object) -> Engine:
    document = {"id": "default", "engineFactory": "com.actionml.RecommendationEngine", **fields}
    return read_engine(json.dumps({**document, **({} if spark_conf is None else {"sparkConf": spark_conf})}))


def test_the_universal_recommenders_names_are_found() -> None:
    sample = Path(pio_tf.sandbox.__file__).parent / "pio" / "engine" / "engine.json"
    found = read_engine(sample.read_text())
    assert found.id == "default"
    assert found.engine_factory == "com.actionml.RecommendationEngine"
    assert found.app_name == "sample"
    assert found.algorithms == (Algorithm("ur", "sample", "urindex", "items"),)
    assert found.indices == ("urindex",)
    assert found.spark_conf == {}


def test_an_engine_without_an_index_has_none() -> None:
    found = engine(algorithms=[{"name": "als", "params": {"rank": 10}}], datasource={"params": {"appName": "shop"}})
    assert found.algorithms == (Algorithm("als"),)
    assert found.indices == ()
    assert found.app_name == "shop"


def test_the_app_is_an_algorithms_where_the_data_source_names_none() -> None:
    assert engine(algorithms=[{"params": {}}, {"params": {"appName": "shop"}}]).app_name == "shop"
    assert engine().app_name == ""


def test_an_index_of_two_algorithms_is_named_once() -> None:
    params = [{"params": {"indexName": name}} for name in ("b", "a", "b")]
    assert engine(algorithms=params).indices == ("b", "a")


def test_what_is_no_list_or_object_is_left_to_pio() -> None:
    found = engine(algorithms={"params": {"indexName": "x"}}, datasource=["appName"])
    assert found.algorithms == ()
    assert engine(algorithms=["ur", {"name": 1, "params": 2}]).algorithms == (Algorithm(""), Algorithm(""))


def test_spark_conf_is_flattened_with_dots_and_the_later_one_wins() -> None:
    found = engine(
        {
            "spark": {"executor": {"memory": "4g", "cores": 4}, "speculation": True},
            "spark.executor.memory": "6g",
            "es.index.auto.create": "true",
            "spark.memory": {"fraction": 0.5},
        }
    )
    assert found.spark_conf == {
        "spark.executor.memory": "6g",
        "spark.executor.cores": "4",
        "spark.speculation": "true",
        "es.index.auto.create": "true",
        "spark.memory.fraction": "0.5",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "id": "x",\n}', r"^engine\.json:3: is not JSON: .* \(column 1\)"),
        ("", r"^engine\.json:1: is not JSON"),
        ("\ufeff{}", r"^engine\.json:1: is not JSON: .*BOM"),
        ("[]", "must be an object"),
        ('{"id": "x"}', 'has no "engineFactory"'),
        ('{"id": "x", "engineFactory": 1}', 'has no "engineFactory"'),
        ('{"engineFactory": "a.B"}', 'has no "id"'),
        ('{"engineFactory": "a.B", "id": "x", "sparkConf": "4g"}', "sparkConf must be an object"),
        ('{"engineFactory": "a.B", "id": "x", "sparkConf": {"spark": {"a": [1]}}}', r"spark\.a is a list"),
        ('{"engineFactory": "a.B", "id": "x", "sparkConf": {"spark.a": null}}', r"spark\.a is null"),
    ],
)
def test_what_pio_would_not_train_with_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_engine(text)
    assert caught.value.next_step


def test_a_variant_is_named_in_messages() -> None:
    with pytest.raises(ConfigError, match=r"^small\.json:1: "):
        read_engine("{", where="small.json")


def test_the_same_value_and_what_we_do_not_set_are_no_conflict() -> None:
    assert spark_conf_conflicts(engine(), OURS) == ()
    same = {"spark.executor.memory": "22g", "spark.master": OURS["spark.master"], "spark.submit.deployMode": "client"}
    assert spark_conf_conflicts(engine({**same, "spark.kryo.referenceTracking": "false"}), OURS) == ()


def test_engine_json_wins_over_what_spark_submit_was_given() -> None:
    (found,) = spark_conf_conflicts(engine({"spark": {"executor": {"memory": "4g"}}}), OURS)
    assert (found.name, found.ours, found.theirs, found.wins) == ("spark.executor.memory", "22g", "4g", "engine.json")
    assert found.detail == "spark.executor.memory: engine.json says '4g', pio-tf '22g'; engine.json wins"
    assert not found.fatal
    assert "pio-tf.hcl" in found.next_step


@pytest.mark.parametrize("name", ["spark.driver.memory", "spark.driver.extraJavaOptions", "spark.jars.packages"])
def test_engine_json_comes_too_late_for_what_the_jvm_was_started_with(name: str) -> None:
    (found,) = spark_conf_conflicts(engine({name: "theirs"}), {**OURS, name: "ours"})
    assert found.wins == "pio-tf"
    assert not found.fatal
    assert "too late" in found.next_step


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.master", "local[*]"),
        ("spark.master", "spark://other:7077"),
        ("spark.submit.deployMode", "cluster"),
        ("spark.driver.host", "my_host"),
    ],
)
def test_a_training_that_would_go_elsewhere_is_fatal(name: str, value: str) -> None:
    (found,) = spark_conf_conflicts(engine({name: value}), OURS)
    assert found.fatal
    assert found.theirs == value
    assert "remove it from sparkConf" in found.next_step


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        (
            "spark.authenticate",
            "false",
            "spark.authenticate: engine.json says 'false', pio-tf 'true'; engine.json wins",
        ),
        ("spark.authenticate.secret", "hunter2", "spark.authenticate.secret: engine.json says '***', pio-tf '***'"),
    ],
)
def test_a_training_without_the_clusters_secret_is_fatal(name: str, value: str, detail: str) -> None:
    (found,) = spark_conf_conflicts(engine({name: value}), OURS)
    assert found.fatal
    assert detail in found.detail
    assert "remove it from sparkConf" in found.next_step
    assert spark_conf_conflicts(engine({name: value}), {**OURS, name: value}) == ()


def test_an_address_in_which_java_finds_no_host_is_fatal() -> None:
    (found,) = spark_conf_conflicts(engine({"spark.eventLog.dir": "hdfs://name_node:9000/x"}), OURS)
    assert found.fatal
    assert found.detail == "spark.eventLog.dir: engine.json says 'hdfs://name_node:9000/x'"
    assert "give another host" in found.next_step


def test_predictionio_sets_the_executors_class_path_itself_unless_engine_json_does() -> None:
    settings = {**OURS, "spark.executor.extraClassPath": "/opt/x.jar"}
    (found,) = spark_conf_conflicts(engine(), settings)
    assert (found.wins, found.theirs) == ("PredictionIO", ".")
    assert found.detail.endswith("PredictionIO says '.', pio-tf '/opt/x.jar'; PredictionIO wins")
    assert spark_conf_conflicts(engine({"spark.executor.extraClassPath": "/opt/x.jar"}), settings) == ()


@pytest.mark.parametrize(
    "name", ["spark.authenticate.secret", "spark.hadoop.fs.s3a.access.key", "es.net.http.auth.pass"]
)
def test_a_secret_is_not_shown(name: str) -> None:
    (found,) = spark_conf_conflicts(engine({name: "theirs-1"}), {**OURS, name: "ours-1"})
    assert (found.ours, found.theirs) == (HIDDEN, HIDDEN)
    assert "-1" not in repr(found)


def test_the_settings_that_hold_are_ours_with_engine_jsons_over_them() -> None:
    found = with_engine(OURS, engine({"spark.executor.memory": "4g", "spark.driver.memory": "1g", "es.nodes": "e"}))
    assert found == {
        **OURS,
        "spark.executor.memory": "4g",
        "spark.executor.extraClassPath": ".",
        "es.nodes": "e",
    }
