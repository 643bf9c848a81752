"""``pio-tf guard``, with real plans of a local AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.plan_json import change, machine, plan, rule
from tests.support.sarif import Sarif
from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.aws import LocalAws

NETWORK = 'cidr = "127.77.42.0/24"'
OPEN = f'{NETWORK}\nssh_cidrs = ["192.0.2.0/24", "0.0.0.0/0"]'
WAIVER = 'waive "PTF006" {\n  reason = "a honeypot"\n}'


@pytest.fixture
def planned(tmp_path: Path, aws: LocalAws, mirror: Path) -> Project:
    """Make a project with real plans."""
    return Project(tmp_path, name="guarded", url=aws.url, mirror=mirror)


def kept(project: Project, *changes: object) -> Path:
    file = project.directory / "kept.json"
    document = plan(*changes, cluster=project.name, region="us-east-1")  # type: ignore[arg-type]
    file.write_text(json.dumps(document))
    return file


def test_the_plan_of_a_new_cluster_passes_and_says_what_it_costs(planned: Project) -> None:
    planned.write(network=NETWORK)
    done = planned.run("guard")
    assert done.stdout.splitlines() == [
        "the plan passes the guard",
        "an hour of running machines costs 0.29 USD, before 0.00 USD",
        "a month of stopped machines costs 12.30 USD, before 0.00 USD",
        "a month with 20 hours of training costs 18.06 USD, before 0.00 USD",
        "(estimate with on-demand prices of us-east-1 (2026-11); guard.hourly_prices overrides them)",
    ]
    assert not (planned.directory / ".pio-tf" / "guarded" / "plan.tfplan").exists()


def test_a_real_plan_that_opens_ssh_is_refused_by_guard_plan_and_apply_alike(planned: Project) -> None:
    planned.write(network=OPEN)
    place = planned.line("ssh_cidrs")
    done = planned.run("guard", "--json", "--sarif", "guard.sarif", exit_code=3)
    result = json.loads(done.stdout)
    assert (result["version"], result["refused"]) == (1, True)
    assert [(one["rule"], f"{one['file']}:{one['line']}") for one in result["findings"]] == [("PTF006", place)]
    assert result["cost"]["after"] == {
        "running_hourly_usd": 0.288,
        "stopped_monthly_usd": 12.3,
        "monthly_usd": 18.06,
        "unknown": [],
    }
    sarif = Sarif.model_validate_json((planned.directory / "guard.sarif").read_text())
    assert [one.ruleId for one in sarif.runs[0].results] == ["PTF006"]
    for command in ("plan", "apply"):
        refused = planned.run(command, exit_code=3)
        assert "the plan would break PTF006 open-ssh: refused, nothing was changed" in refused.stderr
        assert f"{place}: module.security" in refused.stderr


def test_a_waiver_lets_the_real_plan_pass_and_shows_in_every_output(planned: Project) -> None:
    planned.write(network=OPEN, guard=WAIVER)
    table = planned.run("guard", "--sarif", "guard.sarif").stdout
    assert "waived" in table.splitlines()[1]
    assert f"waived in {planned.line('waive')}: PTF006: a honeypot" in table
    sarif = Sarif.model_validate_json((planned.directory / "guard.sarif").read_text())
    assert [one.justification for one in sarif.runs[0].results[0].suppressions] == ["a honeypot"]
    result = json.loads(planned.run("guard", "--json").stdout)
    assert result["refused"] is False
    assert [one["waived"] for one in result["findings"]] == ["a honeypot"]
    assert [(one["rule"], one["reason"]) for one in result["waivers"]] == [("PTF006", "a honeypot")]
    assert "PTF006 is waived" in planned.run("plan").stderr


def test_a_kept_plan_is_judged_without_terraform_and_without_aws(project: Project) -> None:
    file = kept(project, change("aws_instance", before=machine("worker-2"), after=None))
    done = project.run("guard", str(file), exit_code=3, PATH="")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["RULE", "NAME", "RESULT", "WHERE", "FOUND"]
    assert lines[1].split()[:4] == ["PTF001", "machine-removed", "refused", project.line("workers = 1")]
    assert "aws_instance.this (worker-2) would be deleted" in lines[1]
    assert lines[2] == "the plan is refused: PTF001"
    assert "pio-tf destroy" in lines[3]


def test_the_directory_of_a_kept_plan_is_as_good_as_its_file(project: Project) -> None:
    directory = project.directory / "kept"
    directory.mkdir()
    kept(project, change("aws_security_group_rule", after=rule("0.0.0.0/0", port=8080))).rename(directory / "plan.json")
    assert "PTF007" in project.run("guard", "kept", exit_code=3).stdout


def test_a_price_that_is_not_known_is_said(project: Project) -> None:
    file = kept(project, change("aws_instance", after=machine("driver", type="x9.metal")))
    done = project.run("guard", str(file))
    assert "an hour of running machines costs an unknown amount, before 0.00 USD" in done.stdout
    assert "no price is known for instance type x9.metal" in done.stdout


def test_a_plan_of_another_cluster_or_region_is_not_judged_by_this_ones_limits(project: Project) -> None:
    file = project.directory / "kept.json"
    file.write_text(json.dumps(plan(cluster="other", region="eu-west-1")))
    done = project.run("guard", "kept.json", exit_code=2)
    assert "kept.json is not a plan for pio-tf.hcl" in done.stderr
    assert "its cluster is other, but pio-tf.hcl says trial; its region is eu-west-1, but " in done.stderr
    assert "pio-tf.hcl says us-east-1" in done.stderr


@pytest.mark.parametrize("name", ["none.json", "pio-tf.hcl", "."])
def test_what_is_no_plan_is_a_usage_error(project: Project, name: str) -> None:
    assert "Traceback" not in project.run("guard", name, exit_code=2).stderr


def test_a_sarif_file_that_cannot_be_written_is_an_error(project: Project) -> None:
    done = project.run("guard", str(kept(project)), "--sarif", "none/guard.sarif", exit_code=2)
    assert "cannot write none/guard.sarif" in done.stderr


NEVER = ["PTF001", "PTF002", "PTF003", "PTF004", "PTF005", "PTF013"]


def test_the_rules_are_listed_with_what_is_waived_and_what_never_is(project: Project) -> None:
    project.write(guard=WAIVER)
    rows = [line.split() for line in project.run("guard", "--list").stdout.splitlines()]
    assert rows[0] == ["RULE", "NAME", "SEVERITY", "SAYS", "WAIVED"]
    assert [row[0] for row in rows[1:]] == [f"PTF{number:03}" for number in range(1, 14)]
    assert [row[-1] for row in rows[1:8]] == ["never"] * 5 + ["honeypot", "no"]
    result = json.loads(project.run("guard", "--list", "--json").stdout)
    assert result["version"] == 1
    assert [one["waived"] for one in result["rules"] if one["waived"]] == ["a honeypot"]
    assert [one["id"] for one in result["rules"] if not one["waivable"]] == NEVER


def test_the_rules_are_listed_without_a_configuration_too(tmp_path: Path) -> None:
    assert "PTF001" in Project(tmp_path).run("guard", "--list").stdout


def test_a_list_judges_no_plan(project: Project) -> None:
    assert "--list shows the rules" in project.run("guard", "--list", "kept.json", exit_code=2).stderr


def test_a_waiver_of_a_removal_is_a_mistake_of_pio_tf_hcl(project: Project) -> None:
    project.write(guard='waive "PTF001" {\n  reason = "I know"\n}')
    done = project.run("guard", "--list", exit_code=2)
    assert f"{project.line('waive')}: guard.waive.PTF001: cannot be waived" in done.stderr
