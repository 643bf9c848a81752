"""A machine's addresses for a mirror in S3, signed as its role, against botocore's own signature."""

from __future__ import annotations

import ast
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from botocore.config import Config

from pio_tf.infra.root_module import find_modules

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
