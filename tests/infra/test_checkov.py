"""checkov over generated stacks: nothing fails but what is waived beside it, with a reason.

The waivers are checkov's own comments in the modules (``# checkov:skip=ID: reason``), so that they are in the stack for
users who run checkov there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.config.adopted import AdoptedCluster, render_adopted
from pio_tf.config.load import parse_config
from pio_tf.infra.root_module import find_modules, render_stack
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.config.hcl_writer import Value

REPOSITORY = Path(__file__).parents[2]
SKIP = re.compile(r"checkov:skip=(?P<check>\w+)(?:: *(?P<reason>.*))?")
BLOCK = re.compile(r"^(?=(?:resource|data|module|locals|variable|output)\b)", re.MULTILINE)
# checkov's program imports the checks of all other languages, too, and asks its makers' servers. Almost all of the time
# goes to the graph of the resources, so the scan without the comments uses that of the first.
CHECKOV = """
import gc, json, sys
from checkov.runner_filter import RunnerFilter
from checkov.terraform.runner import Runner

gc.disable()  # it ends within seconds
runner, terraform = Runner(), RunnerFilter(framework=["terraform"])

def scan(**options):
    report = runner.run(root_folder=sys.argv[1], runner_filter=terraform, **options)
    failed = [(one.check_id, one.file_path, one.resource) for one in report.failed_checks]
    return {"summary": report.get_summary(), "failed": failed}

found = scan()
runner.context = {}  # what it has read in comments
print(json.dumps({"found": found, "without_waivers": scan(collect_skip_comments=False)}))
"""
EVERYTHING = """\
cidr       = "10.1.0.0/24"
public_ips = true
driver_eip = true
ssh_cidrs  = ["192.0.2.0/24"]
"""
EXISTING = """\
vpc_id    = "vpc-0aaa"
subnet_id = "subnet-0bbb"
"""


@dataclass(frozen=True, order=True)
class Finding:
    """A check on a resource of a module."""

    file: str
    resource: str
    check: str


@dataclass(frozen=True)
class Findings:
    """Checkov's findings in each of the stacks."""

    everything: set[Finding]
    existing: set[Finding]
    adopted: set[Finding]
    without_waivers: set[Finding]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Run checkov, which takes seconds to begin, once over all stacks."""
    directory = tmp_path_factory.mktemp("stacks")
    site = Site(directory=directory, name="demo", url="http://127.0.0.1:1", mirror=directory)
    types = 'instance_type = "m5.large"\n  scratch_volume {\n    gib = 10\n  }'
    everything = render_stack(site.write(network=EVERYTHING, types=types, spark="workers = 1"))
    existing = render_stack(site.write(network=EXISTING, spark='workers = 1\nami = "ami-0aaa"'))
    aws: dict[str, Value] = {"region": "us-east-1"}
    ids = {"driver": "i-0d", "master": "i-0a", "worker-1": "i-01"}
    text = render_adopted(AdoptedCluster("demo", aws, ids, {"key": "id"}, "~/ur", terraform={}))
    adopted = render_stack(parse_config(text, path=directory / "adopted.hcl", environ={}))
    stacks = {"everything": everything, "existing": existing, "adopted": adopted}
    for stack, files in stacks.items():
        for name, text in files.items():
            path = directory / "stacks" / stack / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    report = run_checkov(directory / "stacks")
    assert report["found"]["summary"]["parsing_errors"] == 0
    assert report["found"]["summary"]["passed"] > 50, "it has looked at the stacks' resources"
    failed = list(read_failures(report["found"]))
    of = {name: {finding for stack, finding in failed if stack == name} for name in stacks}
    without = {finding for _, finding in read_failures(report["without_waivers"])}
    return Findings(of["everything"], of["existing"], of["adopted"], without)


def run_checkov(directory: Path) -> dict[str, Any]:
    """Return what checkov reports of all stacks: with their waivers, and without them."""
    got = subprocess.run(
        [REPOSITORY / "scripts" / "tools", sys.prefix, "checkov"], capture_output=True, text=True, check=False
    )
    assert got.returncode == 0, got.stderr
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    done = subprocess.run(
        [got.stdout.strip(), "-c", CHECKOV, directory],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def read_failures(report: dict[str, Any]) -> Iterator[tuple[str, Finding]]:
    """Yield every failed check, with the name of its stack."""
    for check, path, resource in report["failed"]:
        _, stack, file = path.split("/", 2)
        resource = re.sub(r"\[.*?\]", "", resource)
        yield stack, Finding(file, ".".join(resource.split(".")[-2:]), check)


def waivers() -> dict[Finding, str]:
    """Return every waiver of the modules, with its reason."""
    found = {}
    for path in find_modules().glob("*/*.tf"):
        for block in BLOCK.split(path.read_text()):
            name = ".".join(re.findall(r'"(.*?)"', block.partition("{")[0]))
            for skip in SKIP.finditer(block):
                found[Finding(f"modules/{path.parent.name}/{path.name}", name, skip["check"])] = skip["reason"] or ""
    return found


def test_no_check_fails_that_is_not_waived(found: Findings) -> None:
    assert sorted(found.everything) == []


def test_no_check_fails_in_an_existing_network_either(found: Findings) -> None:
    assert sorted(found.existing) == []


def test_no_check_fails_of_machines_that_exist_already(found: Findings) -> None:
    assert sorted(found.adopted) == []


def test_every_waiver_is_of_a_check_that_would_fail(found: Findings) -> None:
    assert sorted(waivers()) == sorted(found.without_waivers)


def test_every_waiver_has_a_reason() -> None:
    assert waivers()
    assert [str(waiver) for waiver, reason in waivers().items() if len(reason.split()) < 5] == []
