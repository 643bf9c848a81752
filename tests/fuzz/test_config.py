"""Whatever stands in pio-tf.hcl: it is read, or refused in words, and nothing begins."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pio_tf import Cluster
from pio_tf.config.load import load_config, parse_config
from pio_tf.iam import policies
from pio_tf.infra.root_module import render_stack
from tests.fuzz.documents import mangled
from tests.fuzz.hcl_texts import hcl_texts
from tests.fuzz.settings import answers, examples
from tests.support.config_samples import BLOCKS

if TYPE_CHECKING:
    from pio_tf.config.schema import Config

ENVIRON = {"HOME": "/home/x", "PATH": "/usr/bin"}
WHOLE = "".join(BLOCKS.values())
RICH = (
    WHOLE
    + 'spark {\n  workers = 3\n  conf = { "spark.local.dir" = "/tmp" }\n}\n'
    + 'source "PGSQL" {\n  type = "jdbc"\n  url = "jdbc:postgresql://db/pio"\n  user = "pio"\n'
    + '  password = ssm("/p")\n}\n'
    + 'terraform {\n  backend "s3" {\n    bucket = "states"\n  }\n}\n'
    + 'guard {\n  waive "PTF006" {\n    reason = "x"\n  }\n}\n'
    + "train {\n  pio_arguments = [<<EOT\n--x\nEOT\n  ]\n}\n"
)


def use(config: Config) -> None:
    """Make everything that a configuration alone determines."""
    with answers():
        render_stack(config)
    with answers():
        policies(config, "")


@examples(100)
@given(hcl_texts())
def test_a_file_out_of_the_schema_is_read_or_refused_in_words(text: str) -> None:
    with answers():
        use(parse_config(text, path=Path("/nowhere/pio-tf.hcl"), environ=ENVIRON))


@examples(200)
@given(st.one_of(mangled([WHOLE, RICH]), st.binary(max_size=300)))
def test_bytes_are_read_or_refused_in_words(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "pio-tf.hcl")
        path.write_bytes(data)
        with answers():
            use(load_config(path, environ=ENVIRON))


@examples(60)
@given(st.sampled_from("[{(\"'<$%\\"), st.integers(1, 5000), st.sampled_from(["", "x = ", "cluster {\n name = "]))
def test_depth_without_an_end_is_refused_in_words(character: str, times: int, head: str) -> None:
    with answers():
        parse_config(head + character * times, path=Path("/nowhere/pio-tf.hcl"), environ=ENVIRON)


@examples(40)
@given(hcl_texts())
def test_a_stack_is_written_or_refused_in_words_and_nobody_is_asked(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "id_ed25519.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN\n")
        path = Path(directory, "pio-tf.hcl")
        path.write_text(text, encoding="utf-8")
        with answers():
            cluster = Cluster.load(path, environ=ENVIRON)
            cluster.generate(Path(directory, "stack"))
        assert not list(Path(directory).glob("**/*.tfstate"))
