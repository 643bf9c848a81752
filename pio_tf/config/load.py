"""The loader of pio-tf.hcl: it finds every mistake in one pass, each with its line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from pio_tf.config.blocks import Backend
from pio_tf.config.environment import find_published, find_secrets
from pio_tf.config.hcl import read_hcl
from pio_tf.config.messages import translate
from pio_tf.config.problems import Problem, UnreadableHcl, config_error
from pio_tf.config.schema import LABELLED, Config, block_class
from pio_tf.config.storage import SOURCE_TYPES
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.hcl_document import HclDocument

CONFIG_VARIABLE = "PIO_TF_CONFIG"
CONFIG_NAME = "pio-tf.hcl"
_LONGEST = 2**20
"""Bytes of a configuration, beyond which the file is not one."""


def load_config(path: Path | str | None = None, *, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration.

    Args:
        path: the file; default: the one that PIO_TF_CONFIG names, else ``pio-tf.hcl`` in the working directory.
        environ: environment for PIO_TF_CONFIG and for ``env("NAME")``; default: this process's.

    Raises:
        ConfigError: the file is missing, cannot be read, or has mistakes; one error lists them all.
    """
    variables = os.environ if environ is None else environ
    file = find_config(path, environ=variables)
    return parse_config(_read(file), path=file, environ=variables)


def find_config(path: Path | str | None = None, *, environ: Mapping[str, str]) -> Path:
    """Return the absolute path of the configuration to read, which need not exist."""
    named = path if path is not None else environ.get(CONFIG_VARIABLE) or CONFIG_NAME
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(
            f"there is no file {named}", cause=str(error), next_step="give the file's full path"
        ) from error


def parse_config(text: str, *, path: Path, environ: Mapping[str, str]) -> Config:
    """Check a configuration's text as the content of the file ``path``, which is not read.

    Raises:
        ConfigError: the text has mistakes; one error lists them all.
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
    problems = [*document.problems, *find_published(config, document)]
    if problems:
        raise config_error(path, problems)
    config._path = path  # noqa: SLF001 - private to users of Config, set only here
    config._lines = document.lines  # noqa: SLF001
    config._environment_secrets = find_secrets(config, document)  # noqa: SLF001
    return config


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)  # a device like /dev/zero has no end
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}",
            next_step="run `pio-tf init` to write one, or name another with --config or the variable PIO_TF_CONFIG",
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a directory, not a file", next_step=f"give a file, like {path / CONFIG_NAME}"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read {str(path)!r}",
            cause=getattr(error, "strerror", None) or str(error),
            next_step="check its name and its permissions: ls -l",
        ) from error
    if len(raw) > _LONGEST:
        raise ConfigError(
            f"{path} is longer than {_LONGEST // 2**20} MiB",
            cause="a configuration of pio-tf is far shorter",
            next_step="name another with --config or the variable PIO_TF_CONFIG",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(line, "", f"is not UTF-8 text (byte 0x{raw[error.start]:02x})")
        raise config_error(path, [problem]) from None


def _check_shapes(model: type[BaseModel], data: dict[str, Any], prefix: str, document: HclDocument) -> None:
    """Report blocks and options with the wrong syntax, and drop them from the data."""
    for name in list(data):
        path = prefix + name
        mistake = _wrong_syntax(model, data, name, path, document)
        if mistake:
            del data[name]
            document.unread.add(path)
            document.problems.append(document.problem(path, mistake))


def _wrong_syntax(model: type[BaseModel], data: dict[str, Any], name: str, path: str, document: HclDocument) -> str:
    """Return the mistake in the syntax of a block or option, if any; check what is inside of a block."""
    child, is_block, labels = block_class(model, name), path in document.blocks, document.labels.get(path, ())
    if path in LABELLED and not is_block:
        return f'is a block: write {name} {LABELLED[path]} {{ … }}, without "="'
    if path == "source":
        for label, options in data[name].items():
            if kind := SOURCE_TYPES.get(str(options.get("type"))):
                _check_shapes(kind, options, f"source.{label}.", document)
    elif child is None:
        return f'is not a block: write "{name} = …"' if is_block and name in model.model_fields else ""
    elif not is_block:
        return f'is a block: write "{name} {{ … }}", without "="'
    elif child is Backend:
        if len(labels) != 1:
            return f'needs one label, the type of backend: write {name} "s3" {{ … }}'
        data[name] = {"type": labels[0], "arguments": data[name]}
    else:
        if labels:
            message = f'has no label: write "{name} {{"; for a name, write name = "{labels[0]}" inside'
            document.problems.append(document.problem(path, message))
        _check_shapes(child, data[name], f"{path}.", document)
    return ""
