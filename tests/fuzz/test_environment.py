"""Whatever the environment, the arguments and the standard streams are: an exit code of its own, and no traceback."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pio_tf.config.load import parse_config
from tests.fuzz.children import Streams, load_all, run
from tests.fuzz.settings import examples
from tests.support.config_samples import text_with

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
NO_AWS = 'aws {\n  region = "eu-west-1"\n  endpoint_url = "http://127.0.0.1:1"\n}\n'
TAGS = 'name = "x"\n  tags = { a = env("A"), b = "${env("HOME")}" }'
CONFIGS = {
    "pio-tf.hcl": text_with(aws=NO_AWS),
    "env.hcl": text_with(aws=NO_AWS, cluster=f"cluster {{\n  {TAGS}\n}}\n"),
    "é.hcl": text_with(aws=NO_AWS, cluster="cluster {\n  name = “x”\n}\n"),
}
COMMANDS = (
    *("status", "status --json", "down --force", "down --json", "runs", "runs --json", "logs", "output"),
    *("output --json",),
    *("config show", "config show --json", "iam --for train", "iam --for apply --json", "guard none", "host-keys"),
    *("extend 1h", "ssh", "check", "cancel", "generate", "init", "--help", "train --help", "no-such"),
    *("status --no-such",),
    *("status -v", "status --debug", "down -q", "ci", "apply none", "sandbox status", "--version", "ui"),
)
NAMES = (
    *("HOME", "PATH", "TMPDIR", "TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "LANG", "LC_ALL", "TZ", "USER"),
    *("PIO_TF_CONFIG", "PIO_TF_KNOWN_HOSTS", "PIO_TF_SSH_KEY", "PIO_TF_SANDBOX_DIR", "A", "SHELL", "LOGNAME", "EDITOR"),
    *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CA_BUNDLE"),
    *("AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"),
    *("AWS_USE_FIPS_ENDPOINT", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_ROLE_ARN", "AWS_DATA_PATH"),
    *("TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_ARGS", "TF_CLI_CONFIG_FILE", "TF_LOG", "HTTP_PROXY", "HTTPS_PROXY"),
    *("no_proxy", "CI", "GITHUB_ACTIONS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "GITLAB_CI"),
    *("SSH_AUTH_SOCK", "SPARK_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "_PIO_TF_COMPLETE", "SSL_CERT_FILE"),
)
VALUES = st.one_of(
    st.sampled_from(
        [b"", b"0", b"1", b"-1", b"true", b"x", b"1e9", b"9" * 5000, b"x" * 20_000, b"/", b".", b"/no/such"]
    ),
    st.sampled_from(
        [b"~", b"~nobody-there/x", b"/dev/null", b"/dev/full", b"/etc", b"a\nb", b"\x1b[31m", b"${A}", b"::"]
    ),
    st.sampled_from(
        [b"\xff", b"/tmp/\xff\xfe", b"\xc3\xa9", b"\xe2\x80\x9c", b"\xed\xa0\x80", b"http://127.0.0.1:1", b"%s"]
    ),
    st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"")),
)
ARGUMENTS = st.one_of(
    st.sampled_from(
        [[b"-c", b"env.hcl"], [b"-c", "é.hcl".encode()], [b"-c", b"\xff"], [b"-c", b""], [b"-c", b"/"], [b""]]
    ),
    st.sampled_from(
        [[b"\xff\xfe"], [b"--config=\xed\xa0\x80"], [b"\n"], [b"--"], [b"--", b"\xff"], [b"-c", b"x" * 5000]]
    ),
)
KINDS = st.sampled_from(["open", "open", "open", "closed", "full"])


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    load_all()
    parse_config(CONFIGS["pio-tf.hcl"], path=Path("/nowhere/pio-tf.hcl"), environ={})  # loads the parser
    with tempfile.TemporaryDirectory() as directory:
        for name, text in CONFIGS.items():
            Path(directory, name).write_text(text, encoding="utf-8")
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(Path(directory, "id_ed25519"))
        yield Path(directory)


@examples(20)
@given(
    command=st.sampled_from(COMMANDS),
    more=st.one_of(st.just([]), st.just([]), ARGUMENTS),
    odd=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5),
    streams=st.builds(Streams, KINDS, KINDS, KINDS, st.sampled_from(["utf-8", "utf-8", "ascii", "latin-1"])),
)
def test_a_command_ends_with_an_exit_code_of_its_own_and_without_a_traceback(
    project: Path, command: str, more: list[bytes], odd: dict[str, bytes], streams: Streams
) -> None:
    environment = {
        b"PATH": os.environb[b"PATH"],
        b"HOME": os.fsencode(project),
        b"AWS_EC2_METADATA_DISABLED": b"true",
        b"AWS_ENDPOINT_URL": b"http://127.0.0.1:1",
        b"AWS_ACCESS_KEY_ID": b"a",
        b"AWS_SECRET_ACCESS_KEY": b"b",
        **{name.encode(): value for name, value in odd.items()},
    }
    ended = run([*command.encode().split(), *more], environment, streams, project)
    assert "pio-tf has a bug here" not in ended.text, ended.text
    if "--debug" not in command:
        assert "Traceback" not in ended.text, ended.text
    assert ended.exit_code in range(10), (ended.exit_code, ended.text)
