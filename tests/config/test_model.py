"""The model block: its limits, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.config_samples import load_text, mistakes, text_with

if TYPE_CHECKING:
    from pathlib import Path


def block(*lines: str) -> str:
    return "model {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def test_its_limits_are_read_and_without_the_block_there_are_none(tmp_path: Path) -> None:
    query = 'sample_query = { bool = { filter = [{ exists = { field = "view" } }] } }'
    model = load_text(tmp_path, text_with(model=block('max_shrink = "30%"', query))).model
    assert model.sample_query == {"bool": {"filter": [{"exists": {"field": "view"}}]}}
    assert model.smallest_share == pytest.approx(0.7)
    assert (model.keep_models, model.is_used) == (1, True)
    model = load_text(tmp_path, text_with()).model
    assert (model.smallest_share, model.keep_models, model.is_used) == (0, 1, False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('max_shrink = "130%"', 'model.max_shrink: must be a percentage, like "30%"'),
        ("max_shrink = 0.3", "model.max_shrink: must be text in quotes"),
        ("sample_query = { size = 1 }", "model.sample_query: must be one query of Elasticsearch, like { exists ="),
        ("sample_query = { a = {}, b = {} }", "model.sample_query: must be one query of Elasticsearch"),
        ("sample_query = {}", "model.sample_query: must be one query of Elasticsearch"),
        ("min_documents = 0", "model.min_documents: must be at least 1"),
        ("keep_models = 0", "model.keep_models: must be at least 1"),
    ],
)
def test_a_wrong_limit_is_a_mistake_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    (mistake,) = mistakes(tmp_path, text_with(model=block(line)))
    assert mistake.startswith(f"pio-tf.hcl:2: {message}")


def test_models_that_are_not_in_elasticsearch_cannot_be_looked_at(tmp_path: Path) -> None:
    database = 'source "PGSQL" {\n  type = "jdbc"\n  url = "jdbc:postgresql://db-1/pio"\n  driver_jar = "/opt/pg.jar"\n'
    database += '  user = "pio"\n  password = "x"\n}\nrepository "metadata" {\n  source = "PGSQL"\n}\n'
    text = text_with(model=block("keep_models = 2"), elasticsearch="", source=database)
    assert mistakes(tmp_path, text) == [
        "pio-tf.hcl:1: model: needs the elasticsearch block: pio-tf asks Elasticsearch about the model"
    ]
