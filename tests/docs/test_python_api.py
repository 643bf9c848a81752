"""The public Python API: exported by `pio_tf`, described in docs/python.md, and documented in the code."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pio_tf
from pio_tf import errors, events

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
NAMED = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
METHODS = {name for name, _ in inspect.getmembers(pio_tf.Cluster) if not name.startswith("_")}


def test_the_page_and_the_package_name_the_same_things() -> None:
    assert set(pio_tf.__all__) | METHODS == NAMED


def test_every_error_and_every_event_is_public() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    happenings = [
        kind for kind in vars(events).values() if isinstance(kind, type) and kind.__module__ == events.__name__
    ]
    assert len(kinds) > 5
    assert len(happenings) > 5
    assert {kind.__name__ for kind in [*kinds, *happenings]} <= set(pio_tf.__all__)


@pytest.mark.parametrize("name", [name for name in pio_tf.__all__ if name not in ("__version__", "Event", "Reporter")])
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert getattr(pio_tf, name).__doc__


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_of_a_cluster_has_a_docstring(name: str) -> None:
    assert getattr(pio_tf.Cluster, name).__doc__


def test_a_name_that_is_not_public_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Stack'"):
        _ = pio_tf.Stack


def test_importing_the_package_imports_neither_boto3_nor_pydantic() -> None:
    code = "import sys, pio_tf; print(sorted({'boto3', 'botocore', 'pydantic', 'asyncssh'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
