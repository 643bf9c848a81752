"""Saved plans for tests: made once, copied, changed."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
from pydantic import TypeAdapter

from pio_tf import Cluster
from pio_tf.config.load import load_config
from pio_tf.infra.saved_plan import Manifest
from tests.support.deployments import ENVIRON, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pio_tf.config.schema import Config
    from tests.support.site import Site


def cluster(config: Config, reporter: Recorder | None = None) -> Cluster:
    """Return a cluster that inherits only PATH from the tests' environment."""
    return Cluster(config, reporter=reporter or Recorder(), environ=ENVIRON)


def edited(config: Config, old: str, new: str) -> Config:
    """Return the configuration with one text changed for another."""
    text = config.path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    config.path.write_text(text.replace(old, new))
    return load_config(config.path, environ={})


def fresh_checkout(config: Config, directory: Path) -> Config:
    """Make another runner's checkout: the files of the repository, and nothing that pio-tf or Terraform wrote."""
    directory.mkdir()
    for name in ("pio-tf.hcl", "id.pub", "credentials"):
        shutil.copy(config.path.parent / name, directory)
    return load_config(directory / "pio-tf.hcl", environ={})


def manifest(directory: Path) -> Manifest:
    """Return the manifest of a saved plan."""
    return TypeAdapter(Manifest).validate_json((directory / "manifest.json").read_bytes())


def rewrite(directory: Path, change: Callable[[Manifest], Manifest] = lambda one: one) -> None:
    """Rewrite the manifest with sums that match the files as they are now: what a forger would do."""
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}
    del sums["manifest.json"]
    forged = change(replace(manifest(directory), files=sums))
    (directory / "manifest.json").write_text(forged.to_json())


def use_another_account(site: Site, account: str) -> None:
    """Write credentials of a role in another account into the site's credentials file."""
    sts = boto3.client(
        "sts", region_name="us-east-1", endpoint_url=site.url, aws_access_key_id="x", aws_secret_access_key="x"
    )
    answer = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/deploy", RoleSessionName="ci")["Credentials"]
    (site.directory / "credentials").write_text(
        f"[default]\naws_access_key_id = {answer['AccessKeyId']}\n"
        f"aws_secret_access_key = {answer['SecretAccessKey']}\naws_session_token = {answer['SessionToken']}\n"
    )
