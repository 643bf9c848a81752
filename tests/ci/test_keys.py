"""Keys of SSH, from a job's variables to their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncssh
import pytest

from pio_tf.ci.keys import write_keys
from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from pio_tf.remote.login import load_login
from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config

KEY = asyncssh.generate_private_key("ssh-ed25519", comment="of the cluster")
PRIVATE, PUBLIC = KEY.export_private_key().decode(), KEY.export_public_key().decode()
HOSTS = "i-0123 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q console\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a checkout, which has no keys."""
    path = Project(tmp_path).write(ssh='key = "keys/id"')
    return load_config(path)


def test_the_private_key_is_written_for_its_owner_alone_and_its_public_half_beside_it(config: Config) -> None:
    private, public = write_keys(config, {"PIO_TF_SSH_KEY": PRIVATE})
    assert private.stat().st_mode & 0o777 == 0o600
    assert load_login(config).key_file == private
    assert public.read_text() == PUBLIC


@pytest.mark.parametrize("text", [PRIVATE.strip(), PRIVATE.replace("\n", "\r\n"), f"\n{PRIVATE}\n\n"])
def test_what_forms_do_to_line_ends_does_no_harm(config: Config, text: str) -> None:
    write_keys(config, {"PIO_TF_SSH_KEY": text})
    load_login(config)


def test_a_job_that_only_plans_needs_no_private_key(config: Config) -> None:
    (public,) = write_keys(config, {"PIO_TF_SSH_KEY": "", "PIO_TF_SSH_PUBLIC_KEY": PUBLIC})
    assert public.name == "id.pub"


def test_a_public_key_that_is_given_wins_over_the_one_that_is_derived(config: Config) -> None:
    other = PUBLIC.replace("of the cluster", "as it was planned")
    write_keys(config, {"PIO_TF_SSH_KEY": PRIVATE, "PIO_TF_SSH_PUBLIC_KEY": other})
    assert (config.path.parent / "keys" / "id.pub").read_text() == other


def test_host_keys_are_pinned_anew_each_time(config: Config) -> None:
    (hosts,) = write_keys(config, {"PIO_TF_KNOWN_HOSTS": "old\n"})
    write_keys(config, {"PIO_TF_KNOWN_HOSTS": HOSTS})
    assert hosts == config.work_dir / "known_hosts"
    assert hosts.read_text() == HOSTS


def test_a_second_time_there_is_nothing_to_write(config: Config) -> None:
    environ = {"PIO_TF_SSH_KEY": PRIVATE, "PIO_TF_KNOWN_HOSTS": HOSTS}
    assert len(write_keys(config, environ)) == 3
    assert write_keys(config, environ) == ()
    assert write_keys(config, {}) == ()


def test_another_key_that_is_there_is_never_overwritten(config: Config) -> None:
    path = config.path.parent / "keys" / "id"
    path.parent.mkdir()
    path.write_text("somebody's own\n")
    with pytest.raises(ConfigError, match="contains another key than PIO_TF_SSH_KEY"):
        write_keys(config, {"PIO_TF_SSH_KEY": PRIVATE})
    assert path.read_text() == "somebody's own\n"


def test_what_is_no_key_is_not_shown(config: Config) -> None:
    locked = KEY.export_private_key("pkcs8-pem", passphrase="hunter2").decode()
    for text in ("s3cret", locked):
        with pytest.raises(ConfigError, match="PIO_TF_SSH_KEY contains no private key that a job can use") as caught:
            write_keys(config, {"PIO_TF_SSH_KEY": text})
        assert text.splitlines()[0] not in str(caught.value)
    assert not (config.path.parent / "keys").exists()


def test_the_command_says_where_they_are(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(ssh='key = "keys/id"')
    done = project.run("ci", "keys", PIO_TF_SSH_KEY=PRIVATE)
    assert f"wrote {tmp_path}/keys/id, {tmp_path}/keys/id.pub" in done.stderr
    assert PRIVATE.splitlines()[1] not in done.stdout + done.stderr
    assert "there was nothing to write" in project.run("ci", "keys", PIO_TF_SSH_KEY=PRIVATE).stderr
