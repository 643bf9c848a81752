"""Software for machines, fetched from a web server into a directory, and pushed to a bucket of a local AWS."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pio_tf.config.components import Component
from pio_tf.errors import AwsError, ConfigError, PioTfError
from pio_tf.events import DownloadProgress, Event
from pio_tf.mirror import Fetched, Fetcher, Pusher
from pio_tf.sandbox.aws import LocalAws
from tests.mirror.archive_server import Archives, serve_archives
from tests.support.state_bucket import Bucket, make_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPARK = "spark/spark-2.4.8/spark.tgz"
HBASE = "hbase/1.2.6/hbase.tar.gz"
CONTENT = b"an archive of some length " * 1000


def sha512(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest()


def component(name: str, path: str, *, checksum: str = "", url: str = "") -> Component:
    return Component(name, "1", f"/usr/local/{name}", path, checksum or sha512(CONTENT), (), url)


@pytest.fixture
def archives() -> Iterator[Archives]:
    with serve_archives() as serving:
        serving.files = {f"/{SPARK}": CONTENT, f"/{HBASE}": CONTENT}
        yield serving


@pytest.fixture
def fetcher(archives: Archives, tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path, archives.url, archives.url, sleep=lambda _seconds: None)


def test_what_is_fetched_is_laid_out_as_in_apaches_archive(fetcher: Fetcher, tmp_path: Path) -> None:
    found = fetcher.fetch([component("spark", SPARK), component("hbase", HBASE)])
    assert [(one.status, one.option) for one in found] == [("fetched", "")] * 2
    assert (tmp_path / SPARK).read_bytes() == CONTENT
    assert (tmp_path / f"{SPARK}.sha512").read_text() == f"{sha512(CONTENT)}  spark.tgz\n"


def test_what_is_there_and_right_is_not_fetched_again(fetcher: Fetcher, archives: Archives) -> None:
    fetcher.fetch([component("spark", SPARK)])
    archives.asked.clear()
    (again,) = fetcher.fetch([component("spark", SPARK)])
    assert again.status == "there"
    assert archives.asked == []


def test_a_file_with_a_sha_256_is_checked_by_it_and_gets_its_sha_512(
    fetcher: Fetcher, archives: Archives, bucket: Bucket, tmp_path: Path
) -> None:
    java = component("java", SPARK, checksum=hashlib.sha256(CONTENT).hexdigest())
    (listed,) = fetcher.list([java])
    assert (listed.sha512, listed.sha256) == ("", java.sha512)
    (fetched,) = fetcher.fetch([java])
    assert fetched.sha512 == sha512(CONTENT)
    (pushed,) = Pusher(bucket.s3, f"s3://{bucket.name}").push(tmp_path, [java])
    assert pushed.sha512 == sha512(CONTENT)
    with pytest.raises(PioTfError, match=r"does not have the SHA-256 0000|could not fetch"):
        fetcher.fetch([replace(java, sha512="0" * 64)])


def test_a_server_that_drops_every_connection_is_asked_until_all_is_there(fetcher: Fetcher, archives: Archives) -> None:
    archives.drops[f"/{SPARK}"] = len(CONTENT) // 7
    (fetched,) = fetcher.fetch([component("spark", SPARK)])
    assert fetched.status == "fetched"
    assert len(archives.asked) == 8


def test_a_download_is_reported_with_bytes_size_and_rate(archives: Archives, tmp_path: Path) -> None:
    events: list[Event] = []
    archives.trickles[f"/{SPARK}"] = len(CONTENT) // 20
    Fetcher(tmp_path, archives.url, archives.url, reporter=events.append).fetch([component("spark", SPARK)])
    seen = [event for event in events if isinstance(event, DownloadProgress)]
    assert [(one.machine, one.name, one.size) for one in seen] == [("mirror", "spark-1", len(CONTENT))] * len(seen)
    assert len(seen) >= 1
    assert all(one.bytes_per_second and one.received for one in seen)


def test_a_connection_that_breaks_is_gone_on_with(fetcher: Fetcher, archives: Archives, tmp_path: Path) -> None:
    archives.breaks[f"/{SPARK}"] = 2
    fetcher.fetch([component("spark", SPARK)])
    assert (tmp_path / SPARK).read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert archives.asked == [
        (f"/{SPARK}", ""),
        (f"/{SPARK}", f"bytes={half}-"),
        (f"/{SPARK}", f"bytes={half + half // 2}-"),
    ]


@pytest.mark.parametrize("part", [b"\0" * 100, CONTENT + b"more"], ids=["wrong", "too long"])
def test_a_part_that_was_wrong_is_begun_again(fetcher: Fetcher, tmp_path: Path, part: bytes) -> None:
    (tmp_path / SPARK).parent.mkdir(parents=True)
    (tmp_path / f"{SPARK}.part").write_bytes(part)
    fetcher.fetch([component("spark", SPARK)])
    assert (tmp_path / SPARK).read_bytes() == CONTENT


def test_a_wrong_archive_is_not_kept(fetcher: Fetcher, archives: Archives, tmp_path: Path) -> None:
    archives.files[f"/{SPARK}"] = b"an error page"
    with pytest.raises(PioTfError, match="could not fetch spark 1") as caught:
        fetcher.fetch([component("spark", SPARK)])
    assert caught.value.cause == f"it does not have the SHA-512 {sha512(CONTENT)}"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_one_that_is_missing_does_not_keep_the_others_away(fetcher: Fetcher, archives: Archives) -> None:
    del archives.files[f"/{HBASE}"]
    with pytest.raises(PioTfError, match="hbase") as caught:
        fetcher.fetch([component("hbase", HBASE), component("spark", SPARK)])
    assert "HTTP 404" in caught.value.cause
    assert (fetcher.directory / SPARK).exists()


def test_all_that_failed_are_named(fetcher: Fetcher, archives: Archives) -> None:
    archives.files.clear()
    with pytest.raises(PioTfError, match="could not get 2 archives: hbase, spark"):
        fetcher.fetch([component("hbase", HBASE), component("spark", SPARK)])


def test_a_list_has_address_size_and_checksum_and_downloads_nothing(fetcher: Fetcher, tmp_path: Path) -> None:
    own = component("pio", "", url="s3://bucket/pio.tar.gz")
    found = fetcher.list([component("spark", SPARK), replace(own, path="pio.tar.gz"), component("elasticsearch", "")])
    assert [(one.url, one.size, one.sha512) for one in found] == [
        (f"{fetcher.base}/{SPARK}", len(CONTENT), sha512(CONTENT)),
        ("s3://bucket/pio.tar.gz", None, sha512(CONTENT)),
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_list_names_every_archive_that_is_not_there(fetcher: Fetcher, archives: Archives) -> None:
    archives.files.clear()
    with pytest.raises(PioTfError, match="2 archives: spark, hbase") as caught:
        fetcher.list([component("spark", SPARK), component("hbase", HBASE)])
    assert f"spark 1 is not at {archives.url}/{SPARK}: HTTP 404" in caught.value.cause


def unpinned(archives: Archives) -> Component:
    return component("hbase", HBASE, checksum=f"https://apache.example/{HBASE}.sha512")


@pytest.mark.parametrize("suffix", [".sha512", ".mds"])
def test_what_has_no_pin_is_checked_by_what_is_published_and_can_be_pinned(
    fetcher: Fetcher, archives: Archives, suffix: str
) -> None:
    archives.files[f"/{HBASE}{suffix}"] = f"{sha512(CONTENT)}  hbase.tar.gz\n".encode()
    (found,) = fetcher.fetch([unpinned(archives)])
    assert (found.sha512, found.option) == (sha512(CONTENT), "software.hbase.sha512")


def test_what_nothing_is_published_of_is_not_fetched(fetcher: Fetcher, archives: Archives) -> None:
    with pytest.raises(PioTfError, match="no SHA-512 is known for hbase 1") as caught:
        fetcher.fetch([unpinned(archives)])
    assert caught.value.cause.count("HTTP 404") == 3
    assert f"/{HBASE}" not in [path for path, _ in archives.asked]


def test_sparks_checksum_has_its_option_in_the_spark_block(tmp_path: Path) -> None:
    spark = component("spark", SPARK, checksum="https://apache.example/spark.sha512")
    assert Fetched(spark, tmp_path, "0" * 128, "there").option == "spark.download_sha512"


def test_an_archive_of_ones_own_comes_from_its_own_address(fetcher: Fetcher, archives: Archives) -> None:
    archives.files["/build/pio.tgz"] = CONTENT
    fetcher.fetch([component("pio", "pio/0.12.1/pio.tgz", url=f"{archives.url}/build/pio.tgz")])
    assert (fetcher.directory / "pio/0.12.1/pio.tgz").read_bytes() == CONTENT


def test_an_archive_in_s3_is_the_users_to_copy(fetcher: Fetcher) -> None:
    with pytest.raises(PioTfError, match="pio-tf does not fetch pio from S3") as caught:
        fetcher.fetch([component("pio", "pio/0.12.1/pio.tgz", url="s3://builds/pio.tgz")])
    assert caught.value.next_step == f"aws s3 cp s3://builds/pio.tgz {fetcher.directory}/pio/0.12.1/pio.tgz"


def test_a_directory_that_cannot_be_written_is_named(fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "spark").write_text("in the way")
    with pytest.raises(PioTfError, match="cannot write"):
        fetcher.fetch([component("spark", SPARK)])


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture
def bucket(aws: LocalAws) -> Bucket:
    return make_bucket(aws.url)


def test_what_is_pushed_lies_below_the_prefix_and_is_pushed_once(
    fetcher: Fetcher, bucket: Bucket, tmp_path: Path
) -> None:
    wanted = [component("spark", SPARK), component("hbase", HBASE)]
    fetcher.fetch(wanted)
    pusher = Pusher(bucket.s3, f"s3://{bucket.name}/pio-tf/")
    assert [one.status for one in pusher.push(tmp_path, wanted)] == ["pushed", "pushed"]
    assert bucket.read(f"pio-tf/{SPARK}") == CONTENT
    assert [one.status for one in pusher.push(tmp_path, wanted)] == ["there", "there"]


def test_another_file_of_the_same_size_is_written_anew(fetcher: Fetcher, bucket: Bucket, tmp_path: Path) -> None:
    fetcher.fetch([component("spark", SPARK)])
    bucket.write(SPARK, b"x" * len(CONTENT))
    (pushed,) = Pusher(bucket.s3, f"s3://{bucket.name}").push(tmp_path, [component("spark", SPARK)])
    assert (pushed.status, pushed.url) == ("pushed", f"s3://{bucket.name}/{SPARK}")
    assert bucket.read(SPARK) == CONTENT


def test_what_was_not_fetched_is_not_pushed(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"spark 1 is not in {tmp_path}") as caught:
        Pusher(bucket.s3, f"s3://{bucket.name}").push(tmp_path, [component("spark", SPARK)])
    assert caught.value.next_step == f"pio-tf mirror fetch {tmp_path}"


def test_what_has_changed_since_is_not_pushed(fetcher: Fetcher, bucket: Bucket, tmp_path: Path) -> None:
    fetcher.fetch([component("spark", SPARK)])
    (tmp_path / SPARK).write_bytes(b"changed")
    with pytest.raises(ConfigError, match="is not spark 1"):
        Pusher(bucket.s3, f"s3://{bucket.name}").push(tmp_path, [component("spark", SPARK)])
    assert bucket.names() == []


def test_a_bucket_that_is_not_there_is_an_error_of_aws(fetcher: Fetcher, bucket: Bucket, tmp_path: Path) -> None:
    fetcher.fetch([component("spark", SPARK)])
    with pytest.raises(AwsError, match="no-such-bucket"):
        Pusher(bucket.s3, "s3://no-such-bucket/x").push(tmp_path, [component("spark", SPARK)])


@pytest.mark.parametrize("url", ["bucket", "https://bucket", "s3://", "s3://A"])
def test_what_is_no_address_of_s3_is_refused(bucket: Bucket, tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="is no S3 address"):
        Pusher(bucket.s3, url).push(tmp_path, [])
