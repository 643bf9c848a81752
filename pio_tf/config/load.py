"""pio-tf.hcl -> Config. Every mistake that can be found is found in one go, each with its line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from pio_tf.config.blocks import Backend
from pio_tf.config.hcl import Document, read_hcl
from pio_tf.config.messages import line_for, translate
from pio_tf.config.problems import Problem, UnreadableHcl, config_error
from pio_tf.config.schema import LABELLED, Config, block_class
from pio_tf.config.storage import SOURCE_TYPES
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_VARIABLE = "PIO_TF_CONFIG"
CONFIG_NAME = "pio-tf.hcl"


def load_config(path: Path | str | None = None, *, environ: Mapping[str, str] | None = None) -> Config:
    """Reads and checks a configuration.

    Args:
        path: the file; default: the one that PIO_TF_CONFIG names, else ``pio-tf.hcl`` in the working directory.
        environ: environment for PIO_TF_CONFIG and for ``env("NAME")``; default: this process's.

    Raises:
        ConfigError: the file is missing, can't be read, or has mistakes; all of them are in the one error.
    """
    variables = os.environ if environ is None else environ
    file = find_config(path, environ=variables)
    return parse_config(_read(file), path=file, environ=variables)


def find_config(path: Path | str | None = None, *, environ: Mapping[str, str]) -> Path:
    """The absolute path of the configuration to read, which need not exist."""
    named = path if path is not None else environ.get(CONFIG_VARIABLE) or CONFIG_NAME
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(
            f"there is no file {named}", cause=str(error), next_step="name the file by its full path"
        ) from error


def parse_config(text: str, *, path: Path, environ: Mapping[str, str]) -> Config:
    """Checks a configuration's text as if it stood in the file ``path``, which is not read.

    Raises:
        ConfigError: the text has mistakes; all of them are in the one error.
    """
    try:
        document = read_hcl(text, environ=environ, labelled=LABELLED)
    except UnreadableHcl as error:
        raise config_error(path, [error.problem]) from None
    _check_shapes(Config, document.data, "", document)
    try:
        config = Config.model_validate(document.data, context={"directory": path.parent})
    except ValidationError as error:
        raise config_error(path, [*document.problems, *translate(error, document)]) from None
    if document.problems:
        raise config_error(path, document.problems)
    config._path = path  # noqa: SLF001 - private to users of Config, set here alone
    config._lines = document.lines  # noqa: SLF001
    return config


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}",
            next_step="run `pio-tf init` to write one, or name another with --config or the variable PIO_TF_CONFIG",
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a directory, not a file", next_step=f"name the file, like {path / CONFIG_NAME}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot read {str(path)!r}",
            cause=reason,
            next_step="check its name, and that this user may read it: ls -l",
        ) from error
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(line, "", f"is not UTF-8 text (byte 0x{raw[error.start]:02x})")
        raise config_error(path, [problem]) from None


def _check_shapes(model: type[BaseModel], data: dict[str, Any], prefix: str, document: Document) -> None:
    """Takes out of the data what is a block but was written as a value, or the reverse, and bad labels; reports it."""
    for name in list(data):
        path = prefix + name
        child, is_block = block_class(model, name), path in document.blocks
        if path in LABELLED and not is_block:
            _refuse(data, name, path, f'is a block: write {name} {LABELLED[path]} {{ … }}, without "="', document)
        elif path == "source":
            _check_sources(data[name], document)
        elif child is None:
            if is_block and name in model.model_fields:
                _refuse(data, name, path, f'is not a block: write "{name} = …"', document)
        elif not is_block:
            _refuse(data, name, path, f'is a block: write "{name} {{ … }}", without "="', document)
        elif child is Backend:
            _shape_backend(data, name, path, document)
        elif path in document.labels:
            label = document.labels[path][0]
            _report(path, f'has no label: write "{name} {{", and in it name = "{label}" if that is meant', document)
            _check_shapes(child, data[name], f"{path}.", document)
        else:
            _check_shapes(child, data[name], f"{path}.", document)


def _check_sources(sources: dict[str, dict[str, Any]], document: Document) -> None:
    for name, options in sources.items():
        kind = SOURCE_TYPES.get(str(options.get("type")))
        if kind is not None:
            _check_shapes(kind, options, f"source.{name}.", document)


def _shape_backend(data: dict[str, Any], name: str, path: str, document: Document) -> None:
    labels = document.labels.get(path, ())
    if len(labels) == 1:
        data[name] = {"type": labels[0], "arguments": data[name]}
    else:
        _refuse(data, name, path, f'needs one label, the kind of backend: write {name} "s3" {{ … }}', document)


def _refuse(data: dict[str, Any], name: str, path: str, message: str, document: Document) -> None:
    del data[name]
    document.unread.add(path)
    _report(path, message, document)


def _report(path: str, message: str, document: Document) -> None:
    document.problems.append(Problem(line_for(path, document), path, message))
