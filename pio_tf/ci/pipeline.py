"""The files of a pipeline, rendered from templates in this package."""

from __future__ import annotations

import os
import re
import shlex
from importlib import resources
from pathlib import Path, PurePosixPath
from string import Template
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from msgspec import Struct

from pio_tf.errors import ConfigError
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.schema import Config

System: TypeAlias = Literal["github", "gitlab", "jenkins", "cron"]
SYSTEMS: tuple[System, ...] = get_args(System)
TERRAFORM = "1.15.5"
"""The version that GitHub's jobs install. It is that of the extra `pio-tf[terraform]`, so that plans fit in both."""
SCHEDULE = "17 3 * * 0"
"""Sundays, but not at the full hour, when so many schedules begin that GitHub delays or drops some."""

_FILES: Mapping[System, Mapping[str, str]] = {
    "github": {
        "action.yml": ".github/actions/pio-tf/action.yml",
        "pio-tf-plan.yml": ".github/workflows/pio-tf-plan.yml",
        "pio-tf-apply.yml": ".github/workflows/pio-tf-apply.yml",
        "pio-tf-train.yml": ".github/workflows/pio-tf-train.yml",
        "pio-tf-reap.yml": ".github/workflows/pio-tf-reap.yml",
    },
    "gitlab": {"gitlab-ci.yml": ".gitlab-ci.yml"},
    "jenkins": {name: name for name in ("Jenkinsfile", "Jenkinsfile.train", "Jenkinsfile.reap")},
    "cron": {name: name for name in ("pio-tf-job", "pio-tf.crontab")},
}
"""The path of each template's file, from the repository's root."""
_ROLES = {"plan_role": "PIO_TF_PLAN_ROLE", "apply_role": "PIO_TF_APPLY_ROLE", "train_role": "PIO_TF_TRAIN_ROLE"}
_ROLE_OF_SYSTEM = {"github": "${{ vars.%s }}", "gitlab": "$%s"}
"""The syntax of a CI system's own variables."""

_SCHEDULE = re.compile(r"[\dA-Za-z*,/-]+( [\dA-Za-z*,/-]+){4}")
_PYTHON = re.compile(r"3\.1[0-3]")
_BRANCH = re.compile(r"[\w./-]+")
_PATH = re.compile(r"[\w./-]+")


class _Template(Template):
    """A template with placeholders like ``%{name}``: the files themselves are full of ``$``."""

    delimiter = "%"
    idpattern = r"(?!)"  # never without braces
    braceidpattern = r"[a-z_]+"


class Choices(Struct, frozen=True):
    """The choices of the user.

    Args:
        role: ARN of the one role of all jobs; empty: one for each kind of job, from the CI system's variables.
        python: version of Python.
        schedule: of the training, in cron's syntax.
        branch: the branch whose plans are applied.
    """

    role: str = ""
    python: str = "3.12"
    schedule: str = SCHEDULE
    branch: str = "main"


class Pipeline(Struct, frozen=True):
    """The files of a pipeline, by their paths from the repository's root."""

    system: System
    files: Mapping[str, str]
    programs: frozenset[str] = frozenset()
    """The executable ones."""


def render_pipeline(system: System, config: Config, *, root: Path, choices: Choices | None = None) -> Pipeline:
    """Return the files for a CI system.

    Args:
        root: of the repository that contains pio-tf.hcl.

    Raises:
        ConfigError: a choice cannot be used, or pio-tf.hcl is elsewhere.
    """
    choices = choices or Choices()
    _check(system, choices)
    place = _below(root, config.path)
    if system == "cron" and not str(root.resolve()).isprintable():
        raise ConfigError(
            f"{str(root.resolve())!r} cannot be named in a crontab",
            cause="its path has characters that end a line or cannot be printed",
            next_step="rename the directory",
        )
    values = {
        "version": __version__,
        "terraform": TERRAFORM,
        "cluster": config.cluster.name,
        "region": config.aws.region,
        "config": str(place),
        "python": choices.python,
        "schedule": choices.schedule,
        "branch": choices.branch,
        "directory": shlex.quote(str(root.resolve())).replace("%", r"\%"),  # cron's end of a line
        "logs": str(place.parent / ".pio-tf" / config.cluster.name / "cron"),
    }
    for name, variable in _ROLES.items():
        values[name] = choices.role or _ROLE_OF_SYSTEM.get(system, "%s") % variable
    directory = resources.files(__package__) / "templates" / system
    files = {
        path: _Template(directory.joinpath(name).read_text(encoding="utf-8")).substitute(values)
        for name, path in _FILES[system].items()
    }
    return Pipeline(system, files, frozenset({"pio-tf-job"} & files.keys()))


def write_pipeline(pipeline: Pipeline, root: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Write all files, or none if one exists already. Return their paths.

    Args:
        force: overwrite existing files.

    Raises:
        ConfigError: a file exists already, or cannot be written.
    """
    paths = {root / name: text for name, text in pipeline.files.items()}
    existing = [str(path) for path in paths if os.path.lexists(path)]
    if existing and not force:
        raise ConfigError(
            f"{', '.join(existing)} already {'exists' if len(existing) == 1 else 'exist'}; nothing was written",
            next_step=f"`pio-tf ci {pipeline.system} --stdout` shows the files, `--force` overwrites",
        )
    for path, text in paths.items():
        _write(path, text)
        if path.name in pipeline.programs:
            path.chmod(0o755)
    return tuple(paths)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}", cause=str(error.strerror), next_step="give another directory with --dir"
        ) from error


def _check(system: System, choices: Choices) -> None:
    from pydantic import TypeAdapter, ValidationError

    from pio_tf.config.kinds import RoleArn

    for option, value, pattern, wanted in (
        ("--schedule", choices.schedule, _SCHEDULE, 'five fields of cron, like "17 3 * * 0"'),
        ("--python", choices.python, _PYTHON, "3.10 to 3.13"),
        ("--branch", choices.branch, _BRANCH, "the name of a branch"),
    ):
        if not pattern.fullmatch(value):
            raise ConfigError(f"{option} {value!r} cannot be used", next_step=f"give {wanted}")
    if not choices.role:
        return
    if system not in _ROLE_OF_SYSTEM:
        raise ConfigError(
            f"--role is not for {system}",
            cause="its jobs use the credentials of the machine that they run on",
            next_step="name the role in pio-tf.hcl: aws { assume_role { role_arn = … } }",
        )
    try:
        TypeAdapter(RoleArn).validate_python(choices.role)
    except ValidationError:
        raise ConfigError(
            f"--role {choices.role!r} is not a role",
            next_step="give its ARN, like arn:aws:iam::123456789012:role/pio-tf",
        ) from None


def _below(root: Path, path: Path) -> PurePosixPath:
    """Return the path of a file from the repository's root, as the pipeline names it."""
    try:
        place = PurePosixPath(path.resolve().relative_to(root.resolve()))
    except ValueError:
        raise ConfigError(
            f"{path} is not below {root.resolve()}",
            cause="jobs read it from a checkout of the repository",
            next_step="name the repository's root with --dir",
        ) from None
    if not _PATH.fullmatch(str(place)):
        raise ConfigError(
            f"{place} cannot be named in a pipeline",
            cause="its path has other characters than letters, digits, . _ - and /",
            next_step="rename it",
        )
    return place
