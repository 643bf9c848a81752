"""A machine's addresses for a mirror in S3, signed as its role, against botocore's own signature."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import subprocess
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from botocore.config import Config

from pio_tf.config.components import Component
from pio_tf.infra.root_module import find_modules
from pio_tf.mirror import Pusher
from pio_tf.sandbox.aws import LocalAws
from tests.infra.first_boot import UNSHARE, Machine, Mirror, archive
from tests.support.state_bucket import make_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_namespaces = pytest.mark.skipif(
    subprocess.run([*UNSHARE, "/bin/true"], capture_output=True, check=False).returncode != 0,
    reason="needs mount namespaces: Linux, as root or with user namespaces",
)

KEYS = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret/with+signs", "Token": "a/token+with=signs=="}


@pytest.fixture(scope="module")
def program() -> str:
    """Return the Python in the script."""
    text = (find_modules() / "bootstrap" / "install.sh").read_text()
    return text.partition("<<'PYTHON'\n")[2].partition("\nPYTHON\n")[0]


@pytest.mark.parametrize("key", ["pio-tf/spark/spark-2.4.8.tgz", "a b/ü+&=.tgz"])
@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1", "us-gov-west-1"])
def test_an_address_is_signed_as_botocore_signs_it(program: str, key: str, region: str) -> None:
    head = program.partition("\nbucket, _, key = ")[0]
    names: dict[str, Any] = {}
    exec(compile(head, "install.sh", "exec"), names)  # noqa: S102 - our own
    session = botocore.session.Session()
    session.set_credentials(KEYS["AccessKeyId"], KEYS["SecretAccessKey"], KEYS["Token"])
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    client: Any = session.create_client("s3", region_name=region, config=config)
    theirs = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": key}))
    query = parse_qs(theirs.query)
    now = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)

    ours = urlsplit(names["sign"]("b", key, region, KEYS, now))

    assert (ours.scheme, ours.netloc, ours.path) == (theirs.scheme, theirs.netloc, theirs.path)
    assert parse_qs(ours.query) == query


def test_the_program_is_understood_by_the_oldest_python_of_the_images(program: str) -> None:
    ast.parse(program, feature_version=(3, 6))  # Ubuntu 18.04


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@contextlib.contextmanager
def instance_metadata(role: str) -> Iterator[str]:
    """Answer as EC2 does about the role of a machine. Yield the address of the proxy that leads there."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer("a-token")

        def do_GET(self) -> None:
            assert self.headers["X-aws-ec2-metadata-token"] == "a-token"
            path = self.path.removeprefix("http://169.254.169.254/latest/meta-data/iam/security-credentials/")
            self._answer({"": role, role: json.dumps(KEYS)}[path])

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@needs_namespaces
def test_a_machine_installs_from_the_bucket_that_mirror_push_has_filled(aws: LocalAws, tmp_path: Path) -> None:
    content, path = archive("spark", "2.4.8"), "spark/spark-2.4.8/spark.tgz"
    directory = tmp_path / "mirror"
    (directory / path).parent.mkdir(parents=True)
    (directory / path).write_bytes(content)
    bucket = make_bucket(aws.url)
    mirror = f"s3://{bucket.name}/software"
    spark = Component(
        "spark", "2.4.8", "/usr/local/spark", path, hashlib.sha512(content).hexdigest(), (f"{mirror}/{path}",)
    )
    (pushed,) = Pusher(bucket.s3, mirror).push(directory, [spark])
    assert spark.urls == (pushed.url,)

    machine = Machine(tmp_path, Mirror(tmp_path, "http://127.0.0.1:9"))
    curl = machine.directory / "bin" / "curl"
    # The local AWS in place of S3's own address; all the rest is curl's.
    curl.write_text(f'#!/bin/bash\nexec /usr/bin/curl "${{@/https:\\/\\/s3.us-east-1.amazonaws.com/{aws.url}}}"\n')
    curl.chmod(0o755)
    refused = json.loads(machine.fail("worker", components=(spark,)))
    assert "returned error: 403" in refused["reason"], "without a role, the bucket is closed"
    with instance_metadata("pio-ec2-ur-us-east-1") as proxy:
        before = f"export http_proxy={proxy} no_proxy=127.0.0.1\n"
        said = machine.boot("worker", components=(spark,), before=before, then="cat /usr/local/spark/bin/spark-class")
    assert "spark 2.4.8" in said
