"""botocore's descriptions of AWS's services, read faster.

The description of EC2 is 4 MB of JSON about 830 operations. To read it, and to make a method of each, is half of the
work for a client. The addresses of all services are another megabyte. pio-tf keeps what its own operations need in the
user's cache.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore import __version__ as botocore_version
from botocore.loaders import Loader

from pio_tf.fact_cache import FactCache, file_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

OPERATIONS: Final[Mapping[str, Sequence[str]]] = {
    "ec2": (
        "CreateTags",
        "DeleteTags",
        "DescribeAddresses",
        "DescribeAvailabilityZones",
        "DescribeImages",
        "DescribeInstanceAttribute",
        "DescribeInstanceStatus",
        "DescribeInstanceTypeOfferings",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeKeyPairs",
        "DescribeRegions",
        "DescribeRouteTables",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeVolumes",
        "DescribeVpcs",
        "GetConsoleOutput",
        "ModifyInstanceAttribute",
        "ModifyInstanceMetadataOptions",
        "StartInstances",
        "StopInstances",
    )
}
"""By service, the operations that pio-tf calls. Its clients have no others. Services that are not here have all."""
SERVICES: Final = (
    *("cloudtrail", "ec2", "iam", "kms", "opensearch", "pricing", "s3", "scheduler", "secretsmanager", "sns", "ssm"),
    *("sts",),
)
"""The services that pio-tf calls."""
_DESCRIPTION: Final = "service-2"
"""botocore's name of the file with operations and shapes; the others are small."""
_ENDPOINTS: Final = "endpoints"
"""botocore's name of the file with the addresses of all services."""


class QuickLoader(Loader):
    """A loader that returns short descriptions of the services in :data:`OPERATIONS`.

    Args:
        kept: where short descriptions are kept.
        paths: directories of descriptions of this user's own, for botocore.
    """

    def __init__(self, kept: FactCache, *, paths: Sequence[str] = ()) -> None:
        super().__init__(extra_search_paths=list(paths))
        self._kept = kept
        self._read: dict[str, Any] = {}
        """The short descriptions, by their files."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:  # noqa: ANN401
        """Return one of the descriptions of a service, with all that botocore's extras add to it."""
        operations = OPERATIONS.get(service_name)
        if operations is None or type_name != _DESCRIPTION:
            return super().load_service_model(service_name, type_name, api_version)
        version = api_version or self.determine_latest_version(service_name, type_name)
        read = super().load_service_model
        return self._short(
            f"{service_name}/{version}/{_DESCRIPTION}",
            operations,
            lambda: shorten(read(service_name, _DESCRIPTION, version), operations),
        )

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - as in botocore
        """Return the names of all services: botocore looks into 400 directories for those with this description."""
        found = {name for path in self.search_paths if Path(path).is_dir() for name in os.listdir(path)}  # noqa: PTH208
        return sorted(found)

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Return a file of botocore's, and its place. That of all addresses has only those of :data:`SERVICES`."""
        if name != _ENDPOINTS or self._has_own(name):
            return super().load_data_with_path(name)
        read = super().load_data_with_path
        short = self._short(name, SERVICES, lambda: shorten_endpoints(read(name)[0], SERVICES))
        return short, str(Path(self.BUILTIN_DATA_PATH, name))

    def _short(self, file: str, kept: Sequence[str], make: Callable[[], dict[str, Any]]) -> Any:  # noqa: ANN401 - JSON
        """Return a short description, read once: out of the cache if it is there."""
        if file not in self._read:
            name, key = f"aws-{_first(file)}", self._key(file, kept)
            short = self._kept.read(name, key=key) if key else None
            if not isinstance(short, dict):
                short = make()
                if key:
                    self._kept.write(name, short, key=key)
            self._read[file] = short
        return self._read[file]

    def _has_own(self, file: str) -> bool:
        """Return whether this user may have another description than botocore's."""
        others = (Path(path) for path in self.search_paths if path != self.BUILTIN_DATA_PATH)
        return any(any(path.glob(f"{_first(file)}*")) for path in others)

    def _key(self, file: str, kept: Sequence[str]) -> list[object] | None:
        """Return what a short description depends on; None if this user has another one than botocore's."""
        if self._has_own(file):
            return None
        for path in (Path(self.BUILTIN_DATA_PATH, f"{file}.json.gz"), Path(self.BUILTIN_DATA_PATH, f"{file}.json")):
            if path.is_file():
                return [botocore_version, *file_key(path), *kept]
        return None


def _first(file: str) -> str:
    """Return the service of a description's file, or the name of a file for all services."""
    return file.partition("/")[0]


def shorten_endpoints(description: Mapping[str, Any], services: Collection[str]) -> dict[str, Any]:
    """Return the description of all services' addresses with those of some."""
    partitions = [
        {**one, "services": {name: about for name, about in one["services"].items() if name in services}}
        for one in description["partitions"]
    ]
    return {**description, "partitions": partitions}


def shorten(description: Mapping[str, Any], operations: Sequence[str]) -> dict[str, Any]:
    """Return a description with these operations only, the shapes that they need, and no documentation."""
    kept = {name: _undocumented(description["operations"][name]) for name in operations}
    shapes: dict[str, Any] = {}
    wanted = _shapes_in(kept)
    while wanted:
        name = wanted.pop()
        if name not in shapes:
            shapes[name] = _undocumented(description["shapes"][name])
            wanted += _shapes_in(shapes[name])
    rest = {name: part for name, part in description.items() if name != "documentation"}
    return {**rest, "operations": kept, "shapes": shapes}


@cache
def shared_loader(paths: str) -> QuickLoader:
    """Return the loader of this process, which keeps what it has read.

    Args:
        paths: as botocore's setting ``data_path`` (AWS_DATA_PATH) has them.
    """
    found = [os.path.expandvars(Path(path).expanduser()) for path in paths.split(os.pathsep) if path]
    return QuickLoader(FactCache.of_environment(), paths=found)


def _shapes_in(part: object) -> list[str]:
    """Return the names of the shapes that a part of a description refers to."""
    if isinstance(part, dict):
        own = [part["shape"]] if isinstance(part.get("shape"), str) else []
        return own + [name for item in part.values() for name in _shapes_in(item)]
    return [name for item in part for name in _shapes_in(item)] if isinstance(part, list) else []


def _undocumented(part: Any) -> Any:  # noqa: ANN401 - any part of a description
    if isinstance(part, dict):
        return {
            name: _undocumented(item)
            for name, item in part.items()
            if name != "documentation" or not isinstance(item, str)
        }
    return [_undocumented(item) for item in part] if isinstance(part, list) else part
