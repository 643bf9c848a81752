"""Secrets out of what a training prints."""

from __future__ import annotations

import base64
import html
import json
import subprocess
import time
from subprocess import PIPE
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from pio_tf.secret_names import SECRET_WORDS
from pio_tf.training.redact import LogLimits, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SECRETS = [
    (
        (
            "[INFO] Submission command: spark-submit --env PIO_ENV_LOADED=1,PIO_SOURCES_PG_PASSWORD=s3, cr=t &x,"
            "PIO_STORAGE_SOURCES_PG_USERNAME=pio --verbose"
        ),
        (
            "[INFO] Submission command: spark-submit --env PIO_ENV_LOADED=1,PIO_SOURCES_PG_PASSWORD=***,"
            "PIO_STORAGE_SOURCES_PG_USERNAME=pio --verbose"
        ),
    ),
    ("PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=a b c", "PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=***"),
    ("X --env PIO_SSL_KEYSTORE_PASSWORD=x --class Y", "X --env PIO_SSL_KEYSTORE_PASSWORD=*** --class Y"),
    ("config: Map(PASSWORD -> hunter2, TYPE -> jdbc)", "config: Map(PASSWORD -> ***, TYPE -> jdbc)"),
    ("--conf spark.authenticate.secret=abc --name x", "--conf spark.authenticate.secret=*** --name x"),
    ("--conf spark.hadoop.fs.s3a.access.key=AKIA --x", "--conf spark.hadoop.fs.s3a.access.key=*** --x"),
    ('{"password": "a b", "user": "c"}', '{"password": ***, "user": "c"}'),
    ("jdbc:postgresql://h/d?user=a&password=b&ssl=1", "jdbc:postgresql://h/d?user=a&password=***&ssl=1"),
    ("connecting to https://me:pa55@es:9200/x", "connecting to https://me:***@es:9200/x"),
    ("--conf spark.es.net.http.auth.pass=hunter2 --x", "--conf spark.es.net.http.auth.pass=*** --x"),
    ("Authorization: Basic ZWxhc3RpYzpodW50ZXIy", "Authorization: Basic ***"),
    ("Map(TYPE -> es, PASSWORD -> a b,c, HOSTS -> es)", "Map(TYPE -> es, PASSWORD -> ***, HOSTS -> es)"),
    ("at http://user:hun/ter2@es:9200/ now", "at http://user:***@es:9200/ now"),
    ("AWS_SECRET_ACCESS_KEY=abc/d+e= next", "AWS_SECRET_ACCESS_KEY=*** next"),
    ("ES_PASSWD=x db.auth-pass=x AuthPass=x", "ES_PASSWD=*** db.auth-pass=*** AuthPass=***"),
    ("api_token: x, aws.credentials: x", "api_token: ***, aws.credentials: ***"),
    ('password="a \\" b" x', "password=*** x"),
    ('password: "a b without an end', "password: ***"),
    ("ssl.key.passphrase=x y", "ssl.key.passphrase=*** y"),
    ("<name>dfs.password</name><value>a b</value>", "<name>dfs.password</name><value>***</value>"),
    ("jdbc:h2:x;user=a;pwd=b;c=1", "jdbc:h2:x;user=a;pwd=***;c=1"),
    ('{"pwd": "a b"}, DB_PWD=x y', '{"pwd": ***}, DB_PWD=*** y'),
    ("key AKIAIOSFODNN7EXAMPLE and ASIAIOSFODNN7EXAMPLE", "key AKIA*** and ASIA***"),
    ("accessKey=x access_key=x my-private-key=x", "accessKey=*** access_key=*** my-private-key=***"),
]
NO_SECRETS = [
    "[INFO] [CoreWorkflow$] Training completed successfully.",
    "see https://example.org:8080/a@b",
    "INFO TaskSetManager: Finished task 0.0 in stage 1.0 (TID 1) in 5 ms on 10.0.0.12 (1/2)",
    "PIO_STORAGE_SOURCES_HDFS_PATH=hdfs://nn:9000/models,PIO_FS_BASEDIR=/home/x",
    "tokens counted: 17",
    "PWD=/home/pio OLDPWD=/",
]


@pytest.mark.parametrize(("line", "shown"), SECRETS)
def test_a_secret_by_name_is_hidden_and_nothing_else(line: str, shown: str) -> None:
    assert Redactor().redact(line) == shown


@pytest.mark.parametrize("line", NO_SECRETS)
def test_what_is_no_secret_is_left(line: str) -> None:
    assert Redactor().redact(line) == line


def test_values_that_it_is_told_are_hidden_wherever_they_stand() -> None:
    redactor = Redactor(["hunter2", "hunter2-long", ""])
    assert redactor.redact("tried hunter2-long, then xhunter2 on abc") == "tried ***, then x*** on abc"


def test_a_known_secret_of_fewer_than_four_characters_is_hidden_where_it_stands_alone() -> None:
    line = 'ann:abc@db "abc" =abc, x- (abcd 1abc abc_1)'
    assert Redactor(["abc", "x-"]).redact(line) == 'ann:***@db "***" =***, *** (abcd 1abc abc_1)'


@pytest.mark.parametrize(
    "line",
    [
        ".".join(f"token_{number}" for number in range(40_000)),
        "a://b:" * 60_000 + " @",
        'token="' * 50_001,
        "PIO_TOKEN." * 40_000,
        "token" + " " * 400_000,
        "<name>token" * 30_000,
    ],
    ids=["names", "addresses", "quotes", "variables", "blanks", "xml"],
)
def test_a_long_line_takes_linear_time(line: str) -> None:
    begun = time.process_time()
    Redactor().redact(line)
    assert time.process_time() - begun < 2  # seconds: the quadratic patterns took minutes


SECRET = 'p"ä\\ss/<w>&+ ö?'


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        html.escape(SECRET),
    ],
)
def test_a_known_secret_is_hidden_however_it_is_written(written: str) -> None:
    hidden = '"***"' if written.startswith('"') else "***"
    assert Redactor([SECRET]).redact(f"x {written} y") == f"x {hidden} y"


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_known_secret_is_hidden_in_base64(before: int, after: int, encode: Callable[[bytes], bytes]) -> None:
    written = encode(b"u" * before + SECRET.encode() + b"v" * after).decode()
    shown = Redactor([SECRET]).redact(written)
    assert "***" in shown
    assert len(shown) <= 3 + 3 + 4  # of the secret, at most what its neighbours share a character with


@pytest.fixture
def in_perl(tmp_path: Path) -> list[str]:
    """Return the command that hides ``hunter2`` and values with the name of a secret in its input."""
    (tmp_path / "program").write_text(Redactor(["hunter2"]).in_perl())
    return ["perl", str(tmp_path / "program")]


def test_the_drivers_perl_hides_the_same(tmp_path: Path) -> None:
    redactor = Redactor(["hunter2", "a.b$c'd@e/f\\g", "пароль", "abc"])
    given = [line for line, _ in SECRETS] + NO_SECRETS + ["x hunter2 y a.b$c'd@e/f\\g пароль z", "a abc abcd ab", ""]
    (tmp_path / "program").write_text(redactor.in_perl())
    done = subprocess.run(
        ["perl", tmp_path / "program"],  # noqa: S607 - the one of PATH, as on the driver
        input="\n".join([*given, "end"]).encode() + b"\xff hunter2",
        capture_output=True,
        check=True,
    )
    *shown, last = done.stdout.split(b"\n")
    assert [line.decode() for line in shown] == [redactor.redact(line) for line in given]
    assert last == b"end\xff ***"
    assert done.stderr == b""


def test_the_drivers_perl_finds_every_word_for_a_secret_in_any_case(in_perl: list[str]) -> None:
    names = [case(word) for word in (*SECRET_WORDS, "&pwd") for case in (str.lower, str.upper, str.title)]
    done = subprocess.run(in_perl, input="\n".join(f"{name}=x1" for name in names), text=True, stdout=PIPE, check=True)
    assert done.stdout.splitlines() == [f"{name}=***" for name in names]


def test_the_drivers_perl_hides_what_its_reads_break_apart(in_perl: list[str]) -> None:
    lines = [b"noise " * length + b"hunter2 PASSWORD=x" for length in (10, 10_917, 10_918, 10_919, 30_000, 10)] * 3
    done = subprocess.run(in_perl, input=b"\n".join(lines), capture_output=True, check=True)
    assert done.stdout == b"\n".join(line.replace(b"hunter2 PASSWORD=x", b"*** PASSWORD=***") for line in lines)


def test_the_drivers_perl_hands_out_a_line_before_the_next_one_comes(in_perl: list[str]) -> None:
    with subprocess.Popen(in_perl, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for line, shown in ((b"hunter2\n", b"***\n"), (b"begun, and\nnot", b"begun, and\n")):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == shown
        process.stdin.close()
        assert process.stdout.read() == b"not"


def test_the_drivers_perl_hides_secrets_in_a_line_without_an_end_and_keeps_little_of_it(in_perl: list[str]) -> None:
    piece = b"x" * 70_000 + b" hunter2 PASSWORD='a b' "
    program = ["bash", "-c", 'ulimit -v 60000; exec "$@"', "bash", *in_perl]
    done = subprocess.run(program, input=piece * 40, capture_output=True, check=True)
    assert done.stdout == piece.replace(b"hunter2 PASSWORD='a b'", b"*** PASSWORD=***") * 40


@pytest.mark.parametrize("size", [40_000, 65_500, 70_000, 140_000, 400_000])
@pytest.mark.parametrize("quote_mark", [b'"', b"'"])
@pytest.mark.parametrize("escape", [b"", b"\\\\", b"\\"], ids=["plain", "backslash", "quote"])
def test_the_drivers_perl_hides_a_quoted_value_longer_than_a_piece(
    in_perl: list[str], size: int, quote_mark: bytes, escape: bytes
) -> None:
    word = b"some word " + (escape + quote_mark if escape == b"\\" else escape)
    value = quote_mark + word * (size // len(word)) + quote_mark
    done = subprocess.run(in_perl, input=b"a password=" + value + b" 'b' c\nd", capture_output=True, check=True)
    assert done.stdout == b"a password=*** 'b' c\nd"
    assert done.stderr == b""


def test_the_drivers_perl_keeps_a_log_below_its_size_and_shows_its_end(tmp_path: Path) -> None:
    (tmp_path / "program").write_text(Redactor(["hunter2"]).in_perl(LogLimits(size=100_000)))
    lines = [b"line %07d of hunter2" % number for number in range(100_000)]
    done = subprocess.run(
        ["perl", tmp_path / "program"],  # noqa: S607 - the one of PATH, as on the driver
        input=b"\n".join([*lines, b"Training completed successfully."]),
        capture_output=True,
        check=True,
    )
    shown = done.stdout.split(b"\n")
    assert len(done.stdout) < 100_000 + 300_000
    assert (shown[0], shown[-1]) == (b"line 0000000 of ***", b"Training completed successfully.")
    (note,) = (number for number, line in enumerate(shown) if line.startswith(b"[WARN] [pio-tf] the log has reached"))
    left_out = int(shown[note].split()[8])
    assert shown[note + 1 : -1] == [line.replace(b"hunter2", b"***") for line in lines[note + 2 - len(shown) :]]
    assert left_out + len(b"\n".join([*shown[: note - 1], *shown[note + 1 :]])) == 100_000 * 20 + 32
