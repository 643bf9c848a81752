"""What a terminal shows of a training's log."""

from __future__ import annotations

from pio_tf.cli.folded_log import FoldedLog

START = [
    "SLF4J: Class path contains multiple SLF4J bindings.",
    "SLF4J: Found binding in [jar:file:/usr/local/pio/lib/pio-assembly-0.14.0.jar!/org/slf4j/impl/x.class]",
    "SLF4J: Actual binding is of type [org.slf4j.impl.Log4jLoggerFactory]",
    "[INFO] [Runner$] Submission command: /home/aml/spark/bin/spark-submit --master spark://10.20.0.11:7077 --jars a,b",
]
"""The first lines of a training with PredictionIO 0.14.0, cut short."""
FOUND = "SLF4J: several logging libraries found (whole in `pio-tf logs`)"


def folded(lines: list[str]) -> list[str]:
    log = FoldedLog()
    return [shown for line in lines if (shown := log.line(line)) is not None]


def test_the_start_of_a_training_takes_two_lines() -> None:
    assert folded(START) == [FOUND, "[INFO] [Runner$] Submission command: spark-submit … (whole in `pio-tf logs`)"]


def test_every_other_line_stays_as_it_is() -> None:
    lines = ["", "[INFO] [Engine$] EngineWorkflow.train", "a command: b", "SLF4J without a colon"]
    assert folded(lines) == lines


def test_slf4j_later_in_a_log_is_a_line_again() -> None:
    assert folded(["SLF4J: a", "SLF4J: b", "work", "SLF4J: c"]) == [FOUND, "work", FOUND]
