"""Texts of pio-tf.hcl, out of what the schema allows and of what it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pio_tf.config.schema import LABELLED, Config, block_class
from tests.support.config_samples import BLOCKS

if TYPE_CHECKING:
    from pydantic import BaseModel

GOOD = (
    *('"r3.xlarge"', '"x9.unknown"', '"10.20.0.0/24"', '"0.0.0.0/0"', '"20g"', '"15m"', '"2h"', '"/opt/engine"'),
    *('"~/engine"', '"es-1"', '"https://es-1:9243"', '"ubuntu"', '"vpc-0a1b2c3d"', '"subnet-0a1b2c3d"', '"eu-west-1"'),
    *('"ami-0a1b2c3d"', '"s3://bucket/prefix"', '"ops@bastion:22"', '"pgsql"', '"jdbc:postgresql://db/pio"', '"x"'),
    *('"arn:aws:iam::123456789012:role/x"', '"http://127.0.0.1:1"', '"0.14.0"', '"none"', '"private"', '"s3"'),
    *("0", "1", "2", "4", "8", "50", "500", "9200", "65535", "true", "false", "null", "0.5", "1e3"),
    *('["es-1"]', '["es-1:9200", "es-2"]', '["10.0.0.0/8"]', "[]", "{}", '{ a = "b" }', '{ "spark.x" = 1 }'),
    *('env("HOME")', 'env("NOT_THERE")', 'ssm("/pio/x")', 'secretsmanager("x", "y")', '"${env("HOME")}/x"'),
    *("<<EOT\n  text\nEOT\n", '<<-EOT\n  ${env("HOME")}\n  EOT\n'),
)
"""Values that stand somewhere in a correct file."""
BAD = (
    *("-1", "99999999999999999999", "1e400", '""', '" "', '"\\u0000"', '"\\n"', '"😀"', '"../../etc"', '"a b"'),
    *("[null]", "[1, true]", "var.x", "1 + 1", 'upper("x")', "env(1)", "env()", "ssm()", '"${', '"${var.x}"', "x"),
    *("<<EOT\nno end", "[for x in y : x]", "true ? 1 : 2", "{ a = 1, a = 2 }", "{ (x) = 1 }", "# x", "=", "{", "}"),
    *("[[[]]]", '"'),
)
_CHARACTERS = st.characters(exclude_categories=["Cs"])
VALUES = st.one_of(
    st.sampled_from(GOOD),
    st.sampled_from(GOOD),
    st.sampled_from(BAD),
    st.text(_CHARACTERS, max_size=12).map(json.dumps),
    st.integers().map(str),
    st.floats().map(str),
)
_LABELS = st.sampled_from([*LABELLED.values(), '"PGSQL"', '"FS"', '"modeldata"', '"eventdata"', '"s3"', "", '"a" "b"'])


def _options(model: type[BaseModel]) -> list[str]:
    return [name for name in model.model_fields if block_class(model, name) is None]


def _value(model: type[BaseModel], option: str) -> st.SearchStrategy[str]:
    """Draw a value: usually the option's own default."""
    field = model.model_fields.get(option)
    default = field.get_default(call_default_factory=True) if field else None
    return VALUES if not isinstance(default, (str, int, float)) else st.one_of(st.just(json.dumps(default)), VALUES)


@st.composite
def _block(draw: st.DrawFn, name: str, model: type[BaseModel], label: str = "", depth: int = 0) -> str:
    """Draw a block, usually with some of its options, and with a block in it."""
    known = [*_options(model), "not_an_option"] if draw(st.integers(0, 9)) == 0 else _options(model)
    lines = [f"{name} {label} {{"]
    options = draw(st.lists(st.sampled_from(known or ["x"]), max_size=4, unique=draw(st.booleans())))
    lines += [f"  {option} = {draw(_value(model, option))}" for option in options]
    inner = [(one, kind) for one in model.model_fields if (kind := block_class(model, one)) is not None]
    if inner and depth < 2 and draw(st.booleans()):
        one, kind = draw(st.sampled_from(inner))
        lines.append(draw(_block(one, kind, draw(_LABELS), depth + 1)))
    return "\n".join([*lines, "}\n"])


@st.composite
def hcl_texts(draw: st.DrawFn) -> str:
    """Draw a file, usually correct, except that some blocks are generated, doubled or left out."""
    blocks = dict(BLOCKS)
    for name in draw(st.lists(st.sampled_from(list(Config.model_fields)), max_size=4)):
        model = block_class(Config, name) or Config
        text = draw(_block(name, model, draw(_LABELS) if name in ("source", "repository") else ""))
        match draw(st.sampled_from(["instead", "inside", "inside", "besides", "without"])):
            case "instead":
                blocks[name] = text
            case "inside" if name in blocks and "\n" in text:
                options = text[text.index("\n") + 1 : text.rindex("}")]
                blocks[name] = blocks[name][: blocks[name].rindex("}")] + options + "}\n"
            case "without":
                blocks.pop(name, None)
            case _:
                blocks[name] = blocks.get(name, "") + text
    return "".join(blocks.values())
