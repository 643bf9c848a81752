"""The Spark that a PredictionIO was built for, as its assembly jar says it."""

from __future__ import annotations

import pytest

from pio_tf.pio.build_info import spark_of_build
from tests.pio.java_class import object_class

APACHE = {
    "name": "apache-predictionio-core",
    "version": "0.14.0",
    "scalaVersion": "2.11.12",
    "scalaBinaryVersion": "2.11",
    "sbtVersion": "1.2.8",
    "sparkVersion": "2.1.3",
    "hadoopVersion": "2.7.7",
}
"""What build.sbt of PredictionIO 0.14.0 gives sbt-buildinfo."""


@pytest.mark.parametrize("padding", [0, 300])
def test_the_spark_of_a_build_is_the_value_of_its_field(padding: int) -> None:
    assert spark_of_build(object_class(APACHE, padding=padding)) == "2.1.3"
    assert spark_of_build(object_class({**APACHE, "sparkVersion": "2.4.8"}, padding=padding)) == "2.4.8"


@pytest.mark.parametrize(
    "java_class",
    [
        b"",
        b"PK\x03\x04",
        object_class(APACHE)[:40],
        object_class({"name": "apache-predictionio-core"}),
        object_class({"sparkVersion": "unknown"}),
    ],
)
def test_a_class_that_does_not_say_it_is_no_answer(java_class: bytes) -> None:
    assert spark_of_build(java_class) is None
