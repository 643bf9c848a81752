"""The short descriptions of EC2 and of addresses: complete for what pio-tf calls, and kept for the next command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import botocore.session
import pytest
from botocore.loaders import Loader

import pio_tf
from pio_tf.aws.descriptions import OPERATIONS, SERVICES, QuickLoader
from pio_tf.fact_cache import FactCache

EC2 = ("ec2", "service-2")


def sources() -> str:
    """Return the code that calls AWS; the sandbox is AWS."""
    files = Path(pio_tf.__file__).parent.rglob("*.py")
    return "".join(path.read_text(encoding="utf-8") for path in files if "sandbox" not in path.parts)


def test_every_operation_of_ec2_that_pio_tf_names_is_kept() -> None:
    client = botocore.session.Session().create_client(
        "ec2", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    words = set(re.findall(r"\w+", sources()))
    named = {operation for method, operation in client.meta.method_to_api_mapping.items() if method in words}
    assert named - {*OPERATIONS["ec2"]} == set()


def test_what_is_kept_has_the_shapes_of_the_whole_description(tmp_path: Path) -> None:
    whole = botocore.session.Session().get_service_model("ec2")
    session = botocore.session.Session()
    session.register_component("data_loader", QuickLoader(FactCache(tmp_path)))
    short = session.get_service_model("ec2")
    assert {*short.operation_names} == {*OPERATIONS["ec2"]}
    for name in OPERATIONS["ec2"]:
        ours, theirs = short.operation_model(name), whole.operation_model(name)
        assert ours.http == theirs.http
        for one, other in ((ours.input_shape, theirs.input_shape), (ours.output_shape, theirs.output_shape)):
            assert (one and list(one.members)) == (other and list(other.members))


def test_the_addresses_of_every_service_that_pio_tf_names_are_kept(tmp_path: Path) -> None:
    loader = QuickLoader(FactCache(tmp_path))
    whole = Loader().load_data("endpoints")
    short, place = loader.load_data_with_path("endpoints")
    assert loader.is_builtin_path(place)
    named = set(re.findall(r'client\(\s*"([a-z0-9-]+)"', sources()))
    assert {"ec2", "scheduler", "s3"} <= named <= {*SERVICES}
    for theirs, ours in zip(whole["partitions"], short["partitions"], strict=True):
        assert ours == {**theirs, "services": {name: theirs["services"][name] for name in ours["services"]}}
        assert ours["services"].keys() == theirs["services"].keys() & {*SERVICES}
    assert (tmp_path / "aws-endpoints.json").stat().st_size < 100_000


def test_the_users_own_addresses_of_services_are_used(tmp_path: Path) -> None:
    own = {"partitions": [], "version": 3}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "endpoints.json").write_text(json.dumps(own))
    loader = QuickLoader(FactCache(tmp_path / "cache"), paths=[str(tmp_path / "models")])
    assert loader.load_data("endpoints") == own
    assert not (tmp_path / "cache").exists()


def test_the_second_process_reads_what_the_first_has_kept(tmp_path: Path) -> None:
    first = QuickLoader(FactCache(tmp_path)).load_service_model(*EC2)
    kept = tmp_path / "aws-ec2.json"
    assert kept.stat().st_size < 200_000
    marked = json.loads(kept.read_text())
    marked["value"]["metadata"]["marked"] = True
    kept.write_text(json.dumps(marked))
    second = QuickLoader(FactCache(tmp_path)).load_service_model(*EC2)
    assert second["metadata"].pop("marked")
    assert second == first


@pytest.mark.parametrize("text", ["", "{}", '{"key": [], "value": {}}'])
def test_a_damaged_or_older_cache_is_made_again(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "aws-ec2.json"
    kept.write_text(text)
    found = QuickLoader(FactCache(tmp_path)).load_service_model(*EC2)
    assert {*found["operations"]} == {*OPERATIONS["ec2"]}
    assert kept.stat().st_size > 50_000


def test_a_description_of_the_users_own_is_not_kept(tmp_path: Path) -> None:
    whole = Path(botocore.__file__).parent / "data" / "ec2"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "ec2").symlink_to(whole)
    loader = QuickLoader(FactCache(tmp_path / "cache"), paths=[str(tmp_path / "models")])
    assert {*loader.load_service_model(*EC2)["operations"]} == {*OPERATIONS["ec2"]}
    assert not (tmp_path / "cache").exists()
