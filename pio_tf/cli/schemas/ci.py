"""The JSON of pipelines and of their jobs."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pio_tf.cli.schemas.common import Version
from pio_tf.cli.schemas.stack import PlanResult


class PipelineFileData(TypedDict):
    """A file of a pipeline."""

    path: Annotated[str, "from the repository's root"]
    content: str


class NeedData(TypedDict):
    """Something that must be set up before a pipeline works."""

    name: str
    where: Annotated[str, "`repository variable`, `environment`, …"]
    what: str


class PipelineResult(TypedDict):
    """A pipeline."""

    version: Version
    system: Literal["github", "gitlab", "jenkins", "cron"]
    written: Annotated[bool, "false with `--stdout`"]
    files: list[PipelineFileData]
    needs: list[NeedData]


class KeysResult(TypedDict):
    """The keys of a job."""

    version: Version
    written: Annotated[list[str], "paths; what was there already with the same content is none of them"]


class CommentResult(TypedDict):
    """The comment on a pull request."""

    version: Version
    comment: Literal["made", "changed"]


class ReviewedResult(PlanResult):
    """The plan to apply for a merge."""

    pull: Annotated[int | None, "number of the pull request that it was reviewed on; null: it is new"]
