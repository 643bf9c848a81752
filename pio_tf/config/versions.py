"""Which versions go together with a version of PredictionIO, and the SHA-512 of the archives that machines install."""

from __future__ import annotations

from dataclasses import dataclass

Line = tuple[int, int]
"""Major and minor: all of 2.4.x is (2, 4)."""


@dataclass(frozen=True)
class Row:
    """What a version of PredictionIO was made for. A range has its first and its last line."""

    spark: tuple[Line, Line]
    hadoop: tuple[Line, Line]
    hbase: tuple[Line, Line]
    elasticsearch: tuple[tuple[Line, Line], ...]
    defaults: dict[str, str]
    """By component, the version that a machine gets where pio-tf.hcl names none."""
    has_binaries: bool
    """Whether Apache has a binary distribution; before 0.14.0, `make-distribution.sh` makes one."""

    @property
    def elasticsearch_majors(self) -> tuple[int, ...]:
        """5, or 5 and 6."""
        return tuple(first[0] for first, _ in self.elasticsearch)

    def lines(self, component: str) -> str:
        """``Spark 2.1 to 2.4``, for messages."""
        ranges = self.elasticsearch if component == "elasticsearch" else (getattr(self, component),)
        return " or ".join(_range(*one) for one in ranges)

    def takes(self, component: str, version: str) -> bool:
        """Whether this version of a component goes with it."""
        ranges = self.elasticsearch if component == "elasticsearch" else (getattr(self, component),)
        return any(first <= line_of(version) <= last for first, last in ranges)


ROWS = {
    "0.12.1": Row(
        spark=((2, 1), (2, 1)),  # the Universal Recommender 0.7, which goes with it, takes no other
        hadoop=((2, 6), (2, 7)),
        hbase=((1, 2), (1, 2)),
        elasticsearch=(((5, 0), (5, 6)),),
        defaults={"spark": "2.1.1", "hadoop": "2.7.3", "hbase": "1.2.6", "elasticsearch": "5.5.2"},
        has_binaries=False,
    ),
    "0.13.0": Row(
        spark=((2, 1), (2, 3)),
        hadoop=((2, 6), (2, 7)),
        hbase=((1, 2), (1, 2)),
        elasticsearch=(((5, 0), (5, 6)),),
        defaults={"spark": "2.3.4", "hadoop": "2.7.7", "hbase": "1.2.6", "elasticsearch": "5.5.2"},
        has_binaries=False,
    ),
    "0.14.0": Row(
        spark=((2, 1), (2, 4)),
        hadoop=((2, 6), (2, 7)),
        hbase=((1, 2), (1, 2)),
        elasticsearch=(((5, 0), (5, 6)), ((6, 4), (6, 8))),
        defaults={"spark": "2.4.8", "hadoop": "2.7.7", "hbase": "1.2.6", "elasticsearch": "5.6.9"},
        has_binaries=True,
    ),
}
"""From PredictionIO's release notes, and the versions that build.sbt and .travis.yml of each release name.
Java is 8 for all of them."""

JAVA = 8

PINS = {
    # Apache's own .mds of Hadoop 2.7.7, quoted in several public repositories.
    "hadoop/common/hadoop-2.7.7/hadoop-2.7.7.tar.gz": (
        "17c8917211dd4c25f78bf60130a390f9e273b0149737094e45f4ae5c917b1174"
        "b97eb90818c5df068e607835120126281bcc07514f38bd7fd3cb8e9d3db1bdde"
    ),
    # Builds of the Jupyter Docker stacks, whose argument spark_checksum it is.
    "spark/spark-2.4.8/spark-2.4.8-bin-hadoop2.7.tgz": (
        "752c4d4d8fe1d72f5ba01f40d22df35698585bd17ed4749f6065b0039ff40db7"
        "ff8ea87dc0fb5b1ec03871e427a002581ec12f486392b92b88643d4243908e55"
    ),
    # The Jupyter Docker stacks' own Dockerfile of July 2019, and images after it.
    "spark/spark-2.4.3/spark-2.4.3-bin-hadoop2.7.tgz": (
        "e8b7f9e1dec868282cadcad81599038a22f48fb597d44af1b13fcc76b7dacd2a"
        "1caf431f95e394e1227066087e3ce6c2137c4abaf60c60076b78f959074ff2ad"
    ),
    # The same of 2017.
    "spark/spark-2.2.0/spark-2.2.0-bin-hadoop2.7.tgz": (
        "7a186a2a007b2dfd880571f7214a7d329c972510a460a8bdbef9f7f2a8910193"
        "43c020f74b496a61e5aa42bc9e9a79cc99defe5cb3bf8b6f49c07e01b259bc6b"
    ),
}
"""SHA-512 by path below Apache's archive. Only what is published: for any other file, a machine reads the checksum that
Apache publishes beside it, over https and from Apache itself, whatever mirror the file comes from."""


def line_of(version: str) -> Line:
    """(2, 4) of ``2.4.8``."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def archive_path(component: str, version: str) -> str:
    """Where Apache's archive has a component, below its base address; a mirror has the same layout."""
    if component == "spark":
        line = line_of(version)
        # Built for a client of this Hadoop.
        hadoop = "hadoop2.7" if line < (3, 0) else "hadoop3.2" if line < (3, 3) else "hadoop3"
        return f"spark/spark-{version}/spark-{version}-bin-{hadoop}.tgz"
    if component == "hadoop":
        return f"hadoop/common/hadoop-{version}/hadoop-{version}.tar.gz"
    if component == "hbase":
        return f"hbase/{version}/hbase-{version}-bin.tar.gz"
    return f"predictionio/{version}/apache-predictionio-{version}-bin.tar.gz"


def _range(first: Line, last: Line) -> str:
    one, other = ".".join(map(str, first)), ".".join(map(str, last))
    return one if one == other else f"{one} to {other}"
