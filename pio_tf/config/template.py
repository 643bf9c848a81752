"""The pio-tf.hcl with every option that `pio-tf init --full` writes, from template.hcl."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pio_tf.config.hcl_writer import render
from pio_tf.config.kinds import ClusterName, Region
from pio_tf.config.partitions import partition_of
from pio_tf.config.software import APACHE
from pio_tf.errors import ConfigError


def render_template(*, cluster: str, region: str) -> str:
    """Return a commented pio-tf.hcl for AWS that loads as it is. Its network, key, engine and hosts are examples.

    Args:
        cluster: the cluster's name.
        region: the AWS region.

    Raises:
        ConfigError: the name or the region is not valid.
    """
    _check("the cluster's name", cluster, TypeAdapter(ClusterName))
    _check("the region", region, TypeAdapter(Region))
    template = Path(__file__).with_name("template.hcl")
    topic = f"arn:aws:sns:{region}:123456789012:trainings"
    text = fill_template(template, {"cluster": cluster, "region": region, "zone": f"{region}a", "topic": topic})
    return text.replace('"arn:aws:', f'"arn:{partition_of(region)}:')


def fill_template(template: Path, values: dict[str, object]) -> str:
    """Return the text of an HCL file with ``"@name@"`` replaced by the value, quoted if it is not a number."""
    rendered = {name: render(value if isinstance(value, int) else str(value)) for name, value in values.items()}
    return re.sub(r'"@(\w+)@"', lambda found: rendered[found[1]], template.read_text(encoding="utf-8"))


def with_backend(text: str, block: str) -> str:
    """Return a new pio-tf.hcl with a backend in its ``terraform`` block, in place of the example."""
    if not re.search(r"^terraform \{\n", text, flags=re.MULTILINE):
        return f"{text}\nterraform {{\n{block}}}\n"
    text = re.sub(r'^  # backend "s3" \{\n(  #   .*\n)*  # \}\n', "", text, flags=re.MULTILINE)
    return re.sub(r"^terraform \{\n", lambda found: f"{found[0]}{block}\n", text, count=1, flags=re.MULTILINE)


def with_mirror(text: str, mirror: str) -> str:
    """Add this mirror in S3 to a new pio-tf.hcl, and an instance profile that may read it. Return the text."""
    text = re.sub(r"^  # mirrors = .*\n", "", text, flags=re.MULTILINE)
    for name, line in mirror_lines(mirror).items():
        head, lines = f"{name} {{\n", f"\n{name} {{\n{line}"
        if re.search(rf"^[^#\n]*\b{line.split()[0]} = ", text, flags=re.MULTILINE):
            continue
        has_block = f"\n{head}" in text
        text = text.replace(f"\n{head}", f"{lines}\n", 1) if has_block else f"{text}{lines}}}\n"
    return text


def mirror_lines(mirror: str) -> dict[str, str]:
    """Return the lines of pio-tf.hcl for a mirror in S3, by the name of their block."""
    return {
        "software": f"  mirrors = {render([mirror, APACHE])} # `pio-tf mirror push` fills the first\n",
        "machines": "  make_instance_profile = true # it may read that mirror\n",
    }


def refuse_existing(path: Path) -> None:
    """Raise ConfigError if there is a pio-tf.hcl already."""
    if path.exists():
        raise _exists(path)


def _exists(path: Path) -> ConfigError:
    return ConfigError(f"{path} exists already", next_step="remove or rename it, or give another directory with --dir")


def write_new(directory: Path, text: str) -> Path:
    """Write ``pio-tf.hcl`` into a directory, which is created if missing, and return its path.

    Raises:
        ConfigError: the file exists already, or cannot be written.
    """
    path = directory / "pio-tf.hcl"
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise _exists(path if directory.is_dir() else directory) from error
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}", cause=str(error), next_step="give another directory with --dir"
        ) from error
    return path


def _check(what: str, value: str, adapter: TypeAdapter[str]) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        rule = error.errors()[0]["ctx"]["error"]
        raise ConfigError(f"{what} {rule}, got {json.dumps(value)}", next_step="give another one") from None
