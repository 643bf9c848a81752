"""PredictionIO's three repositories, and the rules for the sources that store them.

The rules come from PredictionIO's own code (``data/storage/Storage.scala``) and of the services behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches
from itertools import combinations
from typing import TYPE_CHECKING

from msgspec import Struct
from pydantic import Field

from pio_tf.config.blocks import Block
from pio_tf.config.kinds import SourceName, Words
from pio_tf.config.storage import (
    SOURCE_TYPES,
    Elasticsearch1Source,
    ElasticsearchBlock,
    HbaseBlock,
    HdfsBlock,
    JdbcSource,
    S3Source,
    StorageBlock,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

GUIDES = {"ELASTICSEARCH": "elasticsearch", "HDFS": "hdfs", "HBASE": "hbase"}
"""The sources of the guide's layout, in its order, and their blocks."""
_WITHOUT_INSTANCE_ROLE = ("0.12.1", "0.13.0")
_SOURCE = "Name of the source that stores it."


class Repository(Block):
    """One of PredictionIO's repositories."""

    source: SourceName
    name: Words


class MetadataRepository(Repository):
    """PredictionIO's own data: apps, access keys, engine instances."""

    source: SourceName = Field(default="ELASTICSEARCH", description=_SOURCE)
    name: Words = Field(default="pio_meta", description="Index, or prefix of the table names, in that source.")


class EventdataRepository(Repository):
    """The events."""

    source: SourceName = Field(default="HBASE", description=_SOURCE)
    name: Words = Field(
        default="pio_event", description="Namespace, index, or prefix of the table names, in that source."
    )


class ModeldataRepository(Repository):
    """The models of engines that let PredictionIO store them."""

    source: SourceName = Field(default="HDFS", description=_SOURCE)
    name: Words = Field(default="pio_model", description="Prefix of the file or table names in that source.")


class RepositoryBlock(Block):
    """The source of each repository. The defaults are the guide's.

    All three must match the configuration of the prediction and event servers.
    """

    metadata: MetadataRepository = Field(default_factory=MetadataRepository.model_construct, description="Metadata.")
    eventdata: EventdataRepository = Field(default_factory=EventdataRepository.model_construct, description="Events.")
    modeldata: ModeldataRepository = Field(
        default_factory=ModeldataRepository.model_construct, description="Model data."
    )

    def all(self) -> dict[str, Repository]:
        """Return the three by label."""
        return {"metadata": self.metadata, "eventdata": self.eventdata, "modeldata": self.modeldata}


class Source(Struct, frozen=True):
    """A source: its name, its block, and the block's dotted path in pio-tf.hcl (``source.PGSQL``, ``hdfs``)."""

    name: str
    path: str
    block: StorageBlock


def collect_sources(
    guides: Mapping[str, StorageBlock | None], labelled: Mapping[str, StorageBlock]
) -> tuple[Source, ...]:
    """Return all sources: those of the guide in its order, then the others in the file's order.

    Args:
        guides: the blocks ``elasticsearch``, ``hbase`` and ``hdfs`` by name; None: missing.
        labelled: the ``source`` blocks by label.
    """
    found = [Source(name, path, block) for name, path in GUIDES.items() if (block := guides.get(path)) is not None]
    return (*found, *(Source(name, f"source.{name}", block) for name, block in labelled.items()))


def find_missing(names: Collection[str], repositories: RepositoryBlock) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, message) for each repository without a source."""
    for label, repository in repositories.all().items():
        wanted = repository.source
        if wanted in names:
            continue
        if wanted in GUIDES:
            yield GUIDES[wanted], f'this block is required: repository "{label}" stores its data in {wanted}'
            continue
        close = get_close_matches(wanted, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f'add source "{wanted}" {{ … }}'
        yield f"repository.{label}.source", f"there is no source {wanted}; {hint}"


def check_sources(
    sources: tuple[Source, ...], repositories: RepositoryBlock, *, version: str | None, event_log: bool
) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, message) for each setting that PredictionIO or the driver cannot use.

    Args:
        sources: all sources.
        repositories: the three repositories.
        version: PredictionIO's version; None: unknown, because pio-tf.hcl has a mistake there.
        event_log: whether Spark writes its event log.
    """
    yield from _check_names(sources)
    yield from _check_repositories(sources, repositories)
    yield from _check_one_of_a_kind(sources)
    yield from _check_hdfs(sources, event_log=event_log)
    if version in _WITHOUT_INSTANCE_ROLE:
        yield from _check_old_s3(sources, version)


def _check_names(sources: tuple[Source, ...]) -> Iterator[tuple[str, str]]:
    for name, count in Counter(source.name for source in sources).items():
        if count > 1:
            yield f"source.{name}", f"the {GUIDES[name]} block is already this source; keep one of the two"
    names = sorted({source.name for source in sources})
    for first, second in combinations(names, 2):
        if second.startswith(first):
            path = next(source.path for source in reversed(sources) if source.name in (first, second))
            message = f"PredictionIO would use the settings of {second} for {first}, too: its name starts the same"
            yield path, f"{message}; rename one"
    searches = [one for one in sources if isinstance(one.block, (ElasticsearchBlock, Elasticsearch1Source))]
    if searches and all(one.name != "ELASTICSEARCH" for one in searches):
        yield searches[0].path, "the Universal Recommender looks only for the name ELASTICSEARCH; rename this source"


def _check_repositories(sources: tuple[Source, ...], repositories: RepositoryBlock) -> Iterator[tuple[str, str]]:
    by_name = {source.name: source.block for source in sources}
    for label, repository in repositories.all().items():
        block = by_name.get(repository.source)
        if block is None:
            continue
        if label not in block.holds:
            able = ", ".join(name for name, kind in SOURCE_TYPES.items() if label in kind.holds)
            yield (
                f"repository.{label}.source",
                f"{repository.source} can store only {' and '.join(block.holds)}; types that can store {label}: {able}",
            )
        elif not re.fullmatch(block.naming.pattern, repository.name, re.ASCII):
            yield f"repository.{label}.name", f"in {repository.source} it must be {block.naming.wanted}"


def _check_one_of_a_kind(sources: tuple[Source, ...]) -> Iterator[tuple[str, str]]:
    """Report conflicts: the driver has one core-site.xml, hbase-site.xml, JDBC jar of a kind, and AWS profile."""
    seen: dict[str, tuple[object, Source]] = {}
    for source in sources:
        for what, value in _for_the_whole_driver(source.block):
            other, first = seen.setdefault(what, (value, source))
            if other != value:
                yield source.path, f"the driver has one {what}, which {first.name} already sets; keep one of the two"


def _for_the_whole_driver(block: StorageBlock) -> Iterator[tuple[str, object]]:
    if isinstance(block, HdfsBlock):
        yield "core-site.xml", id(block)
    if isinstance(block, HbaseBlock):
        yield "hbase-site.xml", id(block)
    if isinstance(block, (ElasticsearchBlock, Elasticsearch1Source)):
        yield "client of Elasticsearch (REST, or 1.x)", isinstance(block, Elasticsearch1Source)
    if isinstance(block, JdbcSource):
        yield block.driver_variable, block.driver_jar
    if isinstance(block, S3Source):
        yield "AWS_PROFILE", block.profile


def _check_hdfs(sources: tuple[Source, ...], *, event_log: bool) -> Iterator[tuple[str, str]]:
    if any(isinstance(source.block, HdfsBlock) for source in sources):
        return
    for source in sources:
        if isinstance(source.block, HbaseBlock):
            yield "hdfs", f"this block is required: {source.name} is HBase, which stores its files in HDFS"
    if event_log:
        yield "spark.event_log", "Spark writes its event log to HDFS; add the hdfs block, or remove this line"


def _check_old_s3(sources: tuple[Source, ...], version: str | None) -> Iterator[tuple[str, str]]:
    for source in sources:
        if not isinstance(source.block, S3Source):
            continue
        if source.block.profile is None:
            message = f"is required: PredictionIO {version} does not support instance roles"
            yield f"{source.path}.profile", f"{message}; name a profile of ~/.aws/credentials on the driver"
        if source.block.region is None:
            yield f"{source.path}.region", f"is required with PredictionIO {version}"
