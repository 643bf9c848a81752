"""Whatever ~/.ssh/config and the files of AWS profiles hold: they are used, or refused in words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pio_tf.aws.session import Aws, aws_errors
from pio_tf.config.load import load_config
from pio_tf.remote.login import check_login
from tests.fuzz.settings import answers, examples
from tests.support.config_samples import text_with

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (
    *("yes", "no", "x", "0", "-1", "22", "99999999999999999999", "none", "any", "~/x", "/no/such", "%h"),
    *("%%", "%Z", "%"),
    *('"', '"a b"', "'", "a,b", "!x", "*", "?", "[", "${HOME}", "${NO_SUCH}", "127.0.0.1", "::1"),
    *("x@y:1", "é", "\ufeff"),
    *("aes256-ctr", "+ssh-rsa", "-*", "^x", "1G 1h", "inet", "host", "all", "SIGTERM", "\\", "\x00", "a=b", "=", "=x"),
)
SSH_OPTIONS = (
    *("Host", "Match", "User", "Port", "HostName", "IdentityFile", "CertificateFile", "ProxyJump"),
    *("ProxyCommand", "Include"),
    *("BindAddress", "AddressFamily", "Ciphers", "MACs", "KexAlgorithms", "HostKeyAlgorithms"),
    *("PKCS11Provider", "RekeyLimit"),
    *("ServerAliveInterval", "ServerAliveCountMax", "ConnectTimeout", "Compression", "ForwardAgent", "IdentityAgent"),
    *("IdentitiesOnly", "CanonicalizeHostname", "CanonicalDomains", "CanonicalizePermittedCNAMEs", "SendEnv", "SetEnv"),
    *("UserKnownHostsFile", "GlobalKnownHostsFile", "HostKeyAlias", "Tag", "RemoteCommand", "RequestTTY"),
    *("TCPKeepAlive",),
    *("PreferredAuthentications", "PubkeyAuthentication", "CASignatureAlgorithms", "LogLevel", "Unknown"),
    *("EscapeChar", "é"),
)
MATCHES = (
    *("all", "final", "canonical", "host x", "host *", "originalhost *", "user x", "localuser *"),
    *("exec true", "exec", "tagged x"),
    *("localnetwork 10.0.0.0/8", "localaddress *", "version 9", "!all", "host", '"', "exec false user *"),
    *("all all", "x"),
)
BYTES = st.binary(max_size=6).map(lambda data: data.replace(b"\n", b""))
SSH_LINES = st.one_of(
    st.builds(
        lambda option, gap, words: f"{option}{gap}{' '.join(words)}".encode(),
        st.sampled_from(SSH_OPTIONS),
        st.sampled_from([" ", " ", "=", " = ", "\t", ""]),
        st.lists(st.sampled_from(WORDS), max_size=3),
    ),
    st.sampled_from(MATCHES).map(lambda match: f"Match {match}".encode()),
    st.sampled_from(
        [b"", b"# \xff", b"\xef\xbb\xbfHost *", b"Host *", b"Include config", b"Include ~/.ssh/*", b"Include /"]
    ),
    BYTES,
    BYTES.map(lambda data: b"User " + data),
)


@pytest.fixture(scope="module")
def key() -> bytes:
    return asyncssh.generate_private_key("ssh-ed25519").export_private_key()


@contextlib.contextmanager
def home() -> Iterator[tuple[Path, pytest.MonkeyPatch]]:
    """Make a home directory with a pio-tf.hcl and its key."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", directory)
        for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "SSH_AUTH_SOCK"):
            patch.delenv(name, raising=False)
        Path(directory, "pio-tf.hcl").write_text(text_with(aws=AWS), encoding="utf-8")
        yield Path(directory), patch


@examples(50)
@given(st.lists(SSH_LINES, max_size=6))
def test_any_ssh_configuration_is_used_or_refused_in_words(key: bytes, lines: list[bytes]) -> None:
    with home() as (directory, _):
        (directory / "id_ed25519").write_bytes(key)
        (directory / ".ssh").mkdir()
        (directory / ".ssh" / "config").write_bytes(b"\n".join(lines))
        config = load_config(directory / "pio-tf.hcl", environ={})
        with answers():
            asyncio.run(check_login(config))


AWS = 'aws {\n  region = "eu-west-1"\n  endpoint_url = "http://127.0.0.1:1"\n}\n'
AWS_WORDS = (
    *("default", "a", "b", "x", "", " ", "true", "no", "0", "-1", "999999999999999999999", "é", "\x00"),
    *("%", "%(x)s", "[", "#"),
    *("eu-west-1", "nowhere-9", "/no/such", "~/x", "/dev/null", "Environment", "Ec2InstanceMetadata", "EcsContainer"),
    *("arn:aws:iam::123456789012:role/x", "arn:aws-cn:iam::123456789012:role/x", "arn", "standard"),
    *("adaptive", "legacy"),
    *("http://127.0.0.1:1", "http://[", "::", "json", "AKIAIOSFODNN7EXAMPLE", "2020-01-01T00:00:00Z"),
    *("x\ny = 1", "\n  a = b"),
)
AWS_OPTIONS = (
    *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region", "role_arn"),
    *("source_profile", "mfa_serial"),
    *("credential_source", "external_id", "role_session_name", "duration_seconds", "web_identity_token_file", "output"),
    *("sso_session", "sso_start_url", "sso_region", "sso_account_id", "sso_role_name", "sso_registration_scopes", "s3"),
    *("max_attempts", "retry_mode", "services", "ca_bundle", "use_fips_endpoint"),
    *("use_dualstack_endpoint", "api_versions"),
    *("defaults_mode", "sts_regional_endpoints", "parameter_validation", "tcp_keepalive", "login_session", "x", "é"),
)
PROGRAMS = (
    "true",
    "false",
    "echo {}",
    "echo x",
    "/no/such",
    "'",
    "",
    "echo '{\"Version\": 1}'",
    "echo '{\"Version\": 2}'",
    "/",
)
AWS_LINES = st.one_of(
    st.builds("{} = {}".format, st.sampled_from(AWS_OPTIONS), st.sampled_from(AWS_WORDS)),
    st.builds("{}={}".format, st.sampled_from(AWS_OPTIONS), st.sampled_from(AWS_WORDS)),
    st.sampled_from(PROGRAMS).map("credential_process = {}".format),
    st.sampled_from(
        ["[default]", "[profile a]", "[a]", "[profile b]", "[sso-session x]", "[services x]", "[", "]", "[]"]
    ),
    st.sampled_from(
        ["# x", "; x", "=", "= x", "  indented = x", "x", "[profile]", "[profile 'a b']", "[default", "[é]"]
    ),
)
AWS_FILES = st.one_of(
    st.lists(AWS_LINES, max_size=8).map(lambda lines: "\n".join(["[default]", *lines]).encode()),
    st.lists(AWS_LINES, max_size=8).map(
        lambda lines: "\n".join(["[profile a]", "source_profile = b", *lines]).encode()
    ),
    st.lists(AWS_LINES, max_size=8).map(lambda lines: "\n".join(lines).encode()),
    st.binary(max_size=40),
)


def only_loopback(host: Any, port: Any, *_more: Any, **_options: Any) -> Any:  # noqa: ANN401 - as of socket
    """Stand in for ``socket.getaddrinfo``: no file may lead a test to another computer."""
    if str(host) not in ("127.0.0.1", "localhost", "::1"):
        raise socket.gaierror(socket.EAI_NONAME, f"the tests do not ask for {host}")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]


@examples(40)
@given(AWS_FILES, AWS_FILES, st.sampled_from(["", "", "a", "b", "é", "no-such"]), st.booleans())
def test_any_files_of_aws_are_used_or_refused_in_words(
    config_file: bytes, credentials: bytes, profile: str, named: bool
) -> None:
    with home() as (directory, patch):
        patch.setattr(socket, "getaddrinfo", only_loopback)
        (directory / ".aws").mkdir()
        (directory / ".aws" / "config").write_bytes(config_file)
        (directory / ".aws" / "credentials").write_bytes(credentials)
        for name, value in {
            "EC2_METADATA_DISABLED": "true",
            "MAX_ATTEMPTS": "1",
            "ENDPOINT_URL": "http://127.0.0.1:1",
        }.items():
            patch.setenv(f"AWS_{name}", value)
        if profile and not named:
            patch.setenv("AWS_PROFILE", profile)
        elif profile:
            text = text_with(aws=AWS.replace("}", f'  profile = "{profile}"\n}}'))
            (directory / "pio-tf.hcl").write_text(text, encoding="utf-8")
        with answers(), aws_errors():
            Aws(load_config(directory / "pio-tf.hcl", environ={})).client("sts").get_caller_identity()  # type: ignore[attr-defined]
