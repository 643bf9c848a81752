"""The software of machines: the versions that go together, their addresses and their checksums."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.components import PINS, Component, archive_path, check_new_driver, components
from pio_tf.config.software import COMPATIBILITY, TEMURIN_SHA256, TEMURIN_URL, TEMURIN_VERSION
from pio_tf.errors import ConfigError
from tests.support.config_samples import BLOCKS, load_text

if TYPE_CHECKING:
    from pathlib import Path

DIGITS = "0123456789abcdef" * 8


def load(directory: Path, **blocks: str) -> dict[str, Component]:
    """Return the components by name, with other text for some blocks."""
    text = "".join({**BLOCKS, **blocks}.values())
    return {one.name: one for one in components(load_text(directory, text))}


def pio(version: str, more: str = "") -> str:
    return f'pio {{\n  engine_dir = "/opt/engine"\n  version = "{version}"\n}}\n{more}'


@pytest.mark.parametrize(
    ("version", "installed"),
    [
        ("0.12.1", {"spark": "2.1.1", "hadoop": "2.7.3", "hbase": "1.2.6", "elasticsearch": "5.5.2"}),
        ("0.13.0", {"spark": "2.3.4", "hadoop": "2.7.7", "hbase": "1.2.6", "elasticsearch": "5.5.2"}),
        ("0.14.0", {"spark": "2.1.3", "hadoop": "2.7.7", "hbase": "1.2.6", "elasticsearch": "5.6.9", "pio": "0.14.0"}),
    ],
)
def test_the_versions_follow_from_predictionios(tmp_path: Path, version: str, installed: dict[str, str]) -> None:
    assert {name: one.version for name, one in load(tmp_path, pio=pio(version)).items()} == installed


@pytest.mark.parametrize("version", COMPATIBILITY)
def test_a_row_takes_its_own_defaults(version: str) -> None:
    assert all(COMPATIBILITY[version].takes(name, default) for name, default in COMPATIBILITY[version].defaults.items())


@pytest.mark.parametrize(
    ("version", "block", "place"),
    [
        (
            "0.12.1",
            'spark {\n  version = "2.4.8"\n}',
            "spark.version: PredictionIO 0.12.1 needs Spark 2.1, ",
        ),
        ("0.13.0", 'spark {\n  version = "2.4.0"\n}', "needs Spark 2.1 to 2.3, got 2.4.0"),
        ("0.14.0", 'spark {\n  version = "3.5.1"\n}', "needs Spark 2.1 to 2.4, got 3.5.1"),
        ("0.14.0", 'software {\n  hadoop {\n    version = "3.3.6"\n  }\n}', "software.hadoop.version: "),
        ("0.14.0", 'software {\n  hbase {\n    version = "2.5.0"\n  }\n}', "needs HBase 1.2, got 2.5.0"),
        (
            "0.14.0",
            'software {\n  elasticsearch {\n    version = "7.17.0"\n  }\n}',
            "needs Elasticsearch 5.0 to 5.6 or 6.4 to 6.8, got 7.17.0",
        ),
        (
            "0.13.0",
            'software {\n  elasticsearch {\n    version = "6.8.23"\n  }\n}',
            "needs Elasticsearch 5.0 to 5.6, got",
        ),
    ],
)
def test_versions_that_do_not_go_together_are_refused_with_their_row(
    tmp_path: Path, version: str, block: str, place: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, pio=pio(version), more=f"{block}\n")
    assert re.match(r"pio-tf\.hcl:\d+: ", caught.value.what)
    assert place in caught.value.what
    assert "it fits Spark 2.1" in caught.value.what


def own_build(version: str, more: str) -> str:
    return f"software {{\n  pio {{\n{more}  }}\n}}\n{pio(version)}"


URL = f'    url = "https://ci/PIO.tar.gz"\n    sha512 = "{DIGITS}"\n'


@pytest.mark.parametrize(
    ("version", "statement", "spark"),
    [
        ("0.14.0", URL, "2.4.8"),  # as before there was anything to say
        ("0.14.0", f'{URL}    spark_version = "2.3.4"\n', "2.3.4"),
        ("0.14.0", '    spark_version = "2.4.5"\n', "2.4.5"),
        ("0.12.1", URL, "2.1.1"),
    ],
)
def test_a_build_of_ones_own_gets_the_spark_that_it_says_it_is_for(
    tmp_path: Path, version: str, statement: str, spark: str
) -> None:
    assert load(tmp_path, pio=own_build(version, statement))["spark"].version == spark


def test_a_build_for_another_spark_than_apaches_keeps_apaches_binary_off_the_driver(tmp_path: Path) -> None:
    assert "pio" not in load(tmp_path, pio=own_build("0.14.0", '    spark_version = "2.4.8"\n'))
    assert "pio" in load(tmp_path, pio=own_build("0.14.0", '    spark_version = "2.1.3"\n'))


def test_a_build_and_a_spark_that_do_not_go_together_are_refused_as_a_pair(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"built for Spark 2\.4\.8 does not run on Spark 2\.1\.3"):
        load(
            tmp_path, pio=own_build("0.14.0", '    spark_version = "2.4.8"\n'), more='spark {\n  version = "2.1.3"\n}\n'
        )
    with pytest.raises(
        ConfigError, match=r"software\.pio\.spark_version: PredictionIO 0\.14\.0 needs Spark 2\.1 to 2\.4"
    ):
        load(tmp_path, pio=own_build("0.14.0", '    spark_version = "3.5.1"\n'))


def test_a_new_driver_is_refused_a_spark_that_apaches_binary_cannot_run_on(tmp_path: Path) -> None:
    text = "".join({**BLOCKS, "more": 'spark {\n  version = "2.4.8"\n}\n'}.values())
    with pytest.raises(ConfigError) as caught:
        check_new_driver(load_text(tmp_path, text))
    assert "Apache's binary of PredictionIO 0.14.0 is built for Spark 2.1.3, and does not run on Spark 2.4.8" in str(
        caught.value
    )
    assert "-Dspark.version=2.4.8" in caught.value.next_step


@pytest.mark.parametrize(
    "blocks",
    [
        {},
        {"more": 'spark {\n  version = "2.3.4"\n}\n'},  # of the same json4s as 2.1
        {"more": 'spark {\n  version = "2.4.8"\n}\n', "pio": own_build("0.14.0", '    spark_version = "2.4.8"\n')},
        {"more": 'spark {\n  version = "2.4.8"\n}\n', "driver": 'driver {\n  ami = "ami-00000000000000001"\n}\n'},
        {"more": 'spark {\n  version = "2.3.4"\n}\n', "pio": pio("0.13.0")},
    ],
)
def test_a_new_driver_may_have_any_spark_that_its_build_may_run_on(tmp_path: Path, blocks: dict[str, str]) -> None:
    check_new_driver(load_text(tmp_path, "".join({**BLOCKS, **blocks}.values())))


def test_archives_come_from_apache_and_are_pinned_where_the_checksum_is_known(tmp_path: Path) -> None:
    found = load(tmp_path, more='spark {\n  version = "2.4.8"\n}\n')
    spark = "spark/spark-2.4.8/spark-2.4.8-bin-hadoop2.7.tgz"
    assert found["spark"].urls == (f"https://archive.apache.org/dist/{spark}",)
    assert found["spark"].sha512 == PINS[spark]
    assert found["hadoop"].pinned
    hbase = "https://archive.apache.org/dist/hbase/1.2.6/hbase-1.2.6-bin.tar.gz"
    assert (found["hbase"].urls, found["hbase"].sha512) == ((hbase,), f"{hbase}.sha512")


def test_the_checksum_is_asked_of_apache_whatever_mirror_the_archive_comes_from(tmp_path: Path) -> None:
    hbase = load(tmp_path, software='software {\n  mirrors = ["http://mirror/a/", "s3://bucket/b"]\n}\n')["hbase"]
    assert hbase.urls == (
        "http://mirror/a/hbase/1.2.6/hbase-1.2.6-bin.tar.gz",
        "s3://bucket/b/hbase/1.2.6/hbase-1.2.6-bin.tar.gz",
    )
    assert hbase.sha512.startswith("https://archive.apache.org/dist/hbase/")


def test_an_archive_of_ones_own_is_looked_for_in_the_mirrors_first(tmp_path: Path) -> None:
    own = f'  pio {{\n    url = "https://ci/PIO.tar.gz"\n    sha512 = "{DIGITS}"\n  }}\n'
    found = load(tmp_path, pio=pio("0.12.1"), software=f"software {{\n{own}}}\n")["pio"]
    assert (found.urls, found.sha512) == (("https://ci/PIO.tar.gz",), DIGITS)
    mirrored = load(tmp_path, pio=pio("0.12.1"), software=f'software {{\n  mirrors = ["http://m"]\n{own}}}\n')["pio"]
    assert mirrored.urls == ("http://m/pio/0.12.1/PIO.tar.gz", "https://ci/PIO.tar.gz")


def test_an_empty_block_of_java_is_temurins_with_the_checksum_that_its_maker_publishes(tmp_path: Path) -> None:
    java = load(tmp_path, more="software {\n  java {}\n}\n")["java"]
    assert java.urls == (TEMURIN_URL,)
    assert (java.version, java.home, java.sha512) == (TEMURIN_VERSION, "/usr/local/java", TEMURIN_SHA256)
    assert re.fullmatch("[0-9a-f]{64}", java.sha512)
    mirrored = load(tmp_path, more='software {\n  mirrors = ["s3://bucket/pio-tf"]\n  java {}\n}\n')["java"]
    name = TEMURIN_URL.rpartition("/")[2]
    assert mirrored.urls == (f"s3://bucket/pio-tf/java/{TEMURIN_VERSION}/{name}", TEMURIN_URL)


def test_a_java_of_ones_own_keeps_its_place(tmp_path: Path) -> None:
    own = f'software {{\n  java {{\n    url = "https://x/java.tgz"\n    sha512 = "{DIGITS}"\n  }}\n}}\n'
    assert load(tmp_path, more=own)["java"].version == "8"


def test_only_what_the_sources_need_is_installed(tmp_path: Path) -> None:
    database = """source "PGSQL" {
  type       = "jdbc"
  url        = "jdbc:postgresql://db/pio"
  user       = "pio"
  password   = "x"
  driver_jar = "/opt/postgresql.jar"
}
"""
    for label in ("metadata", "eventdata", "modeldata"):
        database += f'repository "{label}" {{\n  source = "PGSQL"\n}}\n'
    blocks = {"elasticsearch": "", "hbase": "", "hdfs": "", "source": database}
    assert list(load(tmp_path, **blocks)) == ["spark", "pio"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ('software {\n  user = "root"\n}', "software.user: must not be root"),
        ('software {\n  mirrors = ["ftp://x"]\n}', "must be a base address"),
        ('software {\n  mirrors = ["https://me:secret@x"]\n}', "without a password"),
        (
            f'software {{\n  hadoop {{\n    url = "https://me:token@x/h.tgz"\n    sha512 = "{"0" * 128}"\n  }}\n}}',
            "software.hadoop.url: must be an http, https or s3 address without user and password",
        ),
        ("software {\n  mirrors = []\n}", "software.mirrors: must have at least 1 item"),
        ('software {\n  java {\n    url = "https://x/java.tgz"\n  }\n}', "software.java.sha512: is required"),
        (f'software {{\n  java {{\n    sha512 = "{DIGITS}"\n  }}\n}}', "software.java.sha512: needs url"),
        ('software {\n  hadoop {\n    url = "https://x/h.tgz"\n  }\n}', "software.hadoop.sha512: is required with url"),
        ('spark {\n  download_url = "https://x/s.tgz"\n}', "spark.download_sha512: is required with download_url"),
    ],
)
def test_what_could_not_be_installed_safely_is_refused(tmp_path: Path, block: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, more=f"{block}\n")
    assert message in caught.value.what
    assert "secret" not in caught.value.what


@pytest.mark.parametrize(
    ("version", "ending"),
    [
        ("2.1.1", "spark-2.1.1/spark-2.1.1-bin-hadoop2.7.tgz"),
        ("2.4.8", "spark-2.4.8/spark-2.4.8-bin-hadoop2.7.tgz"),
        ("3.2.4", "spark-3.2.4/spark-3.2.4-bin-hadoop3.2.tgz"),
        ("3.5.1", "spark-3.5.1/spark-3.5.1-bin-hadoop3.tgz"),
    ],
)
def test_sparks_archive_is_named_after_the_hadoop_it_was_built_for(version: str, ending: str) -> None:
    assert archive_path("spark", version) == f"spark/{ending}"


def test_every_pin_is_a_sha512_of_an_archive_that_a_machine_may_install() -> None:
    known = re.compile(r"spark/spark-[\d.]+/.*-bin-hadoop2\.7\.tgz|hadoop/common/.*\.tar\.gz|hbase/.*\.tar\.gz")
    assert all(re.fullmatch(r"[0-9a-f]{128}", digest) and known.fullmatch(path) for path, digest in PINS.items())
    assert len(set(PINS.values())) == len(PINS)
