"""SARIF 2.1.0 as its published schema has it, for the parts that pio-tf writes. Nothing else is allowed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AnyUrl, BaseModel, ConfigDict, Field, StringConstraints

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
Level = Literal["none", "note", "warning", "error"]
Uri = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~/%-]+$")]
"""A relative reference: no backslash, no space."""
SemanticVersion = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Text(Part):
    text: str = Field(min_length=1)


class Configuration(Part):
    level: Level


class Properties(Part):
    tags: list[str]
    security_severity: Annotated[str, StringConstraints(pattern=r"^\d+\.\d$")] = Field(alias="security-severity")


class ReportingDescriptor(Part):
    id: str
    name: str
    shortDescription: Text  # noqa: N815 - SARIF's names
    fullDescription: Text  # noqa: N815
    help: Text
    defaultConfiguration: Configuration  # noqa: N815
    properties: Properties


class ToolComponent(Part):
    name: str
    semanticVersion: SemanticVersion  # noqa: N815
    rules: list[ReportingDescriptor]


class Tool(Part):
    driver: ToolComponent


class ArtifactLocation(Part):
    uri: Uri


class Region(Part):
    startLine: int = Field(ge=1)  # noqa: N815


class PhysicalLocation(Part):
    artifactLocation: ArtifactLocation  # noqa: N815
    region: Region | None = None


class LogicalLocation(Part):
    fullyQualifiedName: str  # noqa: N815
    kind: str


class Location(Part):
    physicalLocation: PhysicalLocation  # noqa: N815
    logicalLocations: list[LogicalLocation] = []  # noqa: N815


class Suppression(Part):
    kind: Literal["inSource", "external"]
    status: Literal["accepted", "underReview", "rejected"]
    justification: str = Field(min_length=1)


class Result(Part):
    ruleId: str  # noqa: N815
    ruleIndex: int = Field(ge=-1)  # noqa: N815
    level: Level
    message: Text
    locations: list[Location]
    partialFingerprints: dict[str, str]  # noqa: N815
    suppressions: list[Suppression]


class Run(Part):
    tool: Tool
    columnKind: Literal["utf16CodeUnits", "unicodeCodePoints"]  # noqa: N815
    results: list[Result]


class Sarif(Part):
    version: Literal["2.1.0"]
    runs: list[Run]
    schema_url: Annotated[AnyUrl, Field(alias="$schema", strict=False)]
