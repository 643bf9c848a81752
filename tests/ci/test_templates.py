"""The pipelines' files: their contents, and the files of users that they never overwrite."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import pio_tf
from pio_tf.ci.pipeline import SYSTEMS, TERRAFORM, Choices, System, render_pipeline
from pio_tf.ci.prerequisites import list_prerequisites
from pio_tf.config.load import load_config
from pio_tf.config.template import render_template
from pio_tf.errors import ConfigError
from tests.ci.tools import BIN
from tests.support.shell import Project

if TYPE_CHECKING:
    from pio_tf.ci.pipeline import Pipeline
    from pio_tf.config.schema import Config

ROLE = "arn:aws:iam::123456789012:role/pio-tf"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    directory = tmp_path / "clusters" / "ur"
    directory.mkdir(parents=True)
    (directory / "pio-tf.hcl").write_text(render_template(cluster="ur", region="eu-west-1"))
    return load_config(directory / "pio-tf.hcl")


def rendered(system: System, config: Config, **choices: str) -> Pipeline:
    return render_pipeline(system, config, root=config.path.parents[2], choices=Choices(**choices))


def workflows(config: Config, **choices: str) -> dict[str, dict[Any, Any]]:
    """Parse GitHub's workflows; return them by the last word of their names."""
    files = rendered("github", config, **choices).files
    found = {Path(name).stem: yaml.safe_load(text) for name, text in files.items() if "/workflows/" in name}
    return {name.removeprefix("pio-tf-"): workflow for name, workflow in found.items()}


def gitlab(config: Config) -> dict[str, dict[str, Any]]:
    """Return GitLab's jobs, each with the contents of the jobs that it extends."""
    read = yaml.safe_load(rendered("gitlab", config).files[".gitlab-ci.yml"])

    def whole(name: str) -> dict[str, Any]:
        parent = read[name].get("extends")
        return {**(whole(parent) if parent else {}), **read[name]}

    return {name: whole(name) for name, job in read.items() if isinstance(job, dict) and not name.startswith(".")}


def stages(config: Config) -> dict[str, str]:
    """Return the text of Jenkins' stages, each with the lines before the first one."""
    found: dict[str, str] = {}
    for text in rendered("jenkins", config).files.values():
        head, *parts = re.split(r"(?m)^    stage\(", text)
        found |= {part.split("'")[1]: head + part for part in parts}
    return found


SCHEMAS = [
    ("github", "/workflows/", ["vendor.github-workflows"]),
    ("github", "/actions/", ["vendor.github-actions"]),
    ("gitlab", ".gitlab-ci.yml", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
]


@pytest.mark.parametrize("choices", [{}, {"role": ROLE, "python": "3.13", "schedule": "0 4 1,15 * MON-FRI"}])
@pytest.mark.parametrize(("system", "place", "schema"), SCHEMAS)
def test_what_is_yaml_is_as_its_system_publishes_it(
    config: Config, tmp_path: Path, system: System, place: str, schema: list[str], choices: dict[str, str]
) -> None:
    files = [(name, text) for name, text in rendered(system, config, **choices).files.items() if place in name]
    assert files
    paths = []
    for name, text in files:
        paths.append(tmp_path / Path(name).name)
        paths[-1].write_text(text)
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", *schema, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_nothing_is_left_to_be_filled_in(config: Config, system: System) -> None:
    pipeline = rendered(system, config)
    assert pipeline.files
    for name, text in pipeline.files.items():
        assert "%{" not in text, name
        assert f"of pio-tf {pio_tf.__version__}" in text, name


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_place_of_the_configuration_and_its_cluster_are_named(config: Config, system: System) -> None:
    text = "".join(rendered(system, config).files.values())
    assert "clusters/ur/pio-tf.hcl" in text
    if system in ("github", "gitlab"):
        assert "pio-tf-apply-ur" in text or "resource_group: pio-tf-ur" in text
        assert "eu-west-1" in text


def test_actions_are_pinned_and_the_wrapper_of_terraform_is_off(config: Config) -> None:
    text = "".join(rendered("github", config).files.values())
    used = set(re.findall(r"uses: (\S+)", text)) - {"./.github/actions/pio-tf"}
    assert len(used) == 6
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)
    versions = re.findall(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n", text)
    assert len(versions) == text.count("uses: ") - text.count("uses: ./")
    assert text.count("terraform_wrapper: false") == 1


def test_github_installs_the_terraform_that_others_get_with_the_extra() -> None:
    said = subprocess.run([BIN / "pio-tf-terraform", "version"], capture_output=True, text=True, check=True).stdout
    assert f"Terraform v{TERRAFORM}" in said


def test_every_workflow_has_a_group_of_its_own_and_no_more_permissions_than_it_needs(config: Config) -> None:
    groups = []
    for name, workflow in workflows(config).items():
        assert workflow["permissions"] == {}, name
        jobs = workflow["jobs"].values()
        assert all(job["permissions"]["contents"] == "read" for job in jobs), name
        tokens = {key: job["permissions"].get("id-token") for key, job in workflow["jobs"].items()}
        assert tokens.pop("comment", None) is None, name
        assert set(tokens.values()) == {"write"}, name
        assert all("timeout-minutes" in job for job in jobs), name
        grouped = [one["concurrency"] for one in (workflow, *jobs) if "concurrency" in one]
        assert [group["cancel-in-progress"] for group in grouped] == [False], name
        groups += [group["group"].split("-${{")[0] for group in grouped]
    assert sorted(groups) == ["pio-tf-apply-ur", "pio-tf-plan-ur", "pio-tf-reap-ur", "pio-tf-train-ur"]


def test_what_holds_a_lock_or_machines_gets_the_signals_of_its_step(config: Config) -> None:
    steps = [
        step["run"]
        for workflow in workflows(config).values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "run" in step and step["run"] != "pio-tf ci comment plan"
    ]
    assert len(steps) == 5
    assert all(step.startswith("exec pio-tf ") and "\n" not in step for step in steps)


def test_credentials_of_a_training_outlast_its_job(config: Config) -> None:
    job = workflows(config)["train"]["jobs"]["train"]
    (seconds,) = [step["with"]["role-seconds"] for step in job["steps"] if "role-seconds" in step.get("with", {})]
    assert int(seconds) > 60 * job["timeout-minutes"]


def test_only_the_apply_is_in_an_environment_and_has_the_role_for_it(config: Config) -> None:
    found = {
        (name, job): (
            "environment" in spec,
            next((step["with"]["role"] for step in spec["steps"] if "role" in step.get("with", {})), ""),
        )
        for name, workflow in workflows(config).items()
        for job, spec in workflow["jobs"].items()
    }
    assert found == {
        ("plan", "plan"): (False, "${{ vars.PIO_TF_PLAN_ROLE }}"),
        ("plan", "comment"): (False, ""),
        ("apply", "plan"): (False, "${{ vars.PIO_TF_PLAN_ROLE }}"),
        ("apply", "apply"): (True, "${{ vars.PIO_TF_APPLY_ROLE }}"),
        ("train", "train"): (False, "${{ vars.PIO_TF_TRAIN_ROLE }}"),
        ("reap", "reap"): (False, "${{ vars.PIO_TF_TRAIN_ROLE }}"),
    }


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_one_role_for_all_jobs_stands_in_the_files(config: Config, system: System) -> None:
    text = "".join(rendered(system, config, role=ROLE).files.values())
    assert text.count(ROLE) == {"github": 5, "gitlab": 4}[system]
    assert "_ROLE }}" not in text
    assert "$PIO_TF_" not in text.replace("$PIO_TF_AWS_TOKEN", "").replace("$PIO_TF_JOB", "")
    names = {need.name for need in list_prerequisites(system, config, Choices(role=ROLE))}
    assert ROLE in names
    assert "PIO_TF_PLAN_ROLE" not in names


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_the_files_ask_for_is_what_is_said_to_be_set_up(config: Config, system: System) -> None:
    text = "".join(rendered(system, config).files.values())
    said = {
        name for need in list_prerequisites(system, config, Choices()) for name in re.findall(r"PIO_TF_\w+", need.name)
    }
    if system == "github":
        assert set(re.findall(r"(?:vars|secrets)\.(PIO_TF_\w+)", text)) == said
    elif system == "gitlab":
        asked = set(re.findall(r"\$(PIO_TF_\w+)", text)) - {"PIO_TF_AWS_TOKEN"}
        # The others are read by pio-tf itself.
        assert asked | {"PIO_TF_SSH_KEY", "PIO_TF_SSH_PUBLIC_KEY", "PIO_TF_KNOWN_HOSTS", "PIO_TF_GITLAB_TOKEN"} == said
    elif system == "jenkins":
        named = {need.name for need in list_prerequisites(system, config, Choices())}
        asked = set(re.findall(r"(?:credentials\(|credentialsId: |label )'([^']+)'", text))
        assert asked == {"pio-tf", "pio-tf-plan", "pio-tf-ssh-key", "pio-tf-comments"}
        assert asked <= named


def test_plans_have_no_private_key_and_run_on_machines_that_never_have_one(config: Config) -> None:
    keyed: dict[str, set[str]] = {"with": set(), "without": set()}
    for workflow in workflows(config).values():
        for job in workflow["jobs"].values():
            keyed["with" if "PIO_TF_SSH_KEY" in str(job) else "without"].add(job["runs-on"])
    assert keyed["without"] == {"${{ vars.PIO_TF_PLAN_RUNNER || 'ubuntu-latest' }}"}
    assert keyed["with"] == {"${{ vars.PIO_TF_RUNNER || 'ubuntu-latest' }}"}

    # In GitLab, variables have an environment as their scope.
    found = {name: (job["tags"], job.get("environment")) for name, job in gitlab(config).items()}
    training = {"name": "production-training", "action": "access"}
    assert found == {
        "pio-tf-plan": (["pio-tf-plan"], None),
        "pio-tf-comment": (["pio-tf-plan"], {"name": "pio-tf-comment", "action": "access"}),
        "pio-tf-plan-merged": (["pio-tf-plan"], None),
        "pio-tf-apply": (["pio-tf"], "production"),
        "pio-tf-train": (["pio-tf"], training),
        "pio-tf-reap": (["pio-tf"], training),
    }
    scopes = {need.name: need.where for need in list_prerequisites("gitlab", config, Choices())}
    assert "protected, scope production*" in scopes["PIO_TF_SSH_KEY"]
    assert "scope pio-tf-comment" in scopes["PIO_TF_GITLAB_TOKEN"]

    of_jenkins = stages(config).items()
    labels = {name: ("pio-tf-ssh-key" in text, re.findall(r"label '(\S+)'", text)) for name, text in of_jenkins}
    assert labels == {
        "Plan": (False, ["pio-tf-plan"]),
        "Apply": (True, ["pio-tf"]),
        "Train": (True, ["pio-tf"]),
        "Reap": (True, ["pio-tf"]),
    }


def test_the_token_for_comments_goes_to_the_step_that_comments_alone(config: Config) -> None:
    for name, workflow in workflows(config).items():
        for key, job in workflow["jobs"].items():
            writes = {scope for scope, access in job["permissions"].items() if access == "write"}
            assert writes == ({"pull-requests"} if key == "comment" else {"id-token"}), (name, key)
            with_token = [step["run"] for step in job["steps"] if "token" in str(step.get("env"))]
            assert with_token in ([], ["pio-tf ci comment plan"], ["exec pio-tf ci reviewed plan"])
    assert [name for name, job in gitlab(config).items() if "ci comment" in str(job)] == ["pio-tf-comment"]
    assert "id_tokens" not in gitlab(config)["pio-tf-comment"]
    plan = stages(config)["Plan"]
    (block,) = re.findall(r"withCredentials\(.*?'''\n +\}", plan, flags=re.DOTALL)
    assert block.count("sh '''") == 1
    assert "ci comment plan" in block
    assert "GITHUB_TOKEN" not in plan.replace(block, "")
    assert "pio-tf-comments" not in plan.replace(block, "")


@pytest.mark.parametrize("system", ["github", "gitlab", "jenkins"])
def test_everything_that_pip_installs_has_a_hash(config: Config, system: System) -> None:
    text = "".join(rendered(system, config).files.values())
    installs = re.findall(r'pip"? install (.*)', text)
    assert installs
    assert set(installs) == {"--quiet --require-hashes -r pio-tf-requirements.txt"}
    needs = list_prerequisites(system, config, Choices())
    (need,) = [one for one in needs if one.name == "pio-tf-requirements.txt"]
    assert f"pio-tf[terraform]=={pio_tf.__version__}" in need.what
    assert "--generate-hashes" in need.what


def test_artefacts_are_kept_for_a_week(config: Config) -> None:
    uploads = [
        step["with"]["retention-days"]
        for workflow in workflows(config).values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if str(step.get("uses")).startswith("actions/upload-artifact@")
    ]
    assert uploads == [7, 7, 7]
    kept = [job["artifacts"]["expire_in"] for job in gitlab(config).values() if "artifacts" in job]
    assert kept == ["7 days", "7 days"]
    assert "buildDiscarder(logRotator(artifactDaysToKeepStr: '7'))" in rendered("jenkins", config).files["Jenkinsfile"]


def test_jenkins_installs_nothing_into_the_checkout_and_imports_nothing_from_it(config: Config) -> None:
    for name, text in stages(config).items():
        assert 'python3 -I -m venv --clear "$WORKSPACE_TMP/venv"' in text, name
        assert ".venv" not in text, name


def test_a_state_on_this_computer_is_said_to_be_no_use_to_a_job(config: Config) -> None:
    assert list_prerequisites("github", config, Choices())[0].name == "terraform.backend"
    assert "terraform.backend" not in {need.name for need in list_prerequisites("cron", config, Choices())}


@pytest.mark.parametrize(
    ("system", "choices", "said"),
    [
        ("github", {"schedule": "every day"}, "--schedule 'every day'"),
        ("github", {"schedule": '0 0 * * *"\n'}, "--schedule"),
        ("github", {"python": "3.9"}, "--python '3.9'"),
        ("github", {"branch": "a b"}, "--branch 'a b'"),
        ("gitlab", {"role": "pio-tf"}, "--role 'pio-tf' is not a role"),
        ("jenkins", {"role": ROLE}, "--role is not for jenkins"),
    ],
)
def test_a_choice_that_cannot_be_used_is_named(
    config: Config, system: System, choices: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        rendered(system, config, **choices)
    assert caught.value.next_step


def test_a_directory_s_name_cannot_add_a_line_to_the_crontab(tmp_path: Path) -> None:
    directory = tmp_path / "x\n* * * * * touch ran\n"
    directory.mkdir()
    (directory / "pio-tf.hcl").write_text(render_template(cluster="ur", region="eu-west-1"))
    with pytest.raises(ConfigError, match="cannot be named in a crontab"):
        render_pipeline("cron", load_config(directory / "pio-tf.hcl"), root=directory)


def test_a_configuration_outside_the_repository_is_named(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not below"):
        render_pipeline("github", config, root=tmp_path / "elsewhere")


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_command_writes_the_files_and_never_over_others(tmp_path: Path, system: System) -> None:
    project = Project(tmp_path, environment={"PIO_TF_CONFIG": ""})
    project.run("init", "ur")
    written = json.loads(project.run("ci", system, "--json").stdout)
    assert written["written"] is True
    texts = {file["path"]: (tmp_path / file["path"]).read_text() for file in written["files"]}
    assert texts == {file["path"]: file["content"] for file in written["files"]}

    (first, *others) = texts
    (tmp_path / first).write_text("mine")
    for name in others:
        (tmp_path / name).unlink()
    said = project.fails("ci", system, exit_code=2)
    assert f"{first} already exists; nothing was written" in said
    assert not [name for name in others if (tmp_path / name).exists()]
    project.run("ci", system, "--force")
    assert {name: (tmp_path / name).read_text() for name in texts} == texts


def test_standard_output_has_the_file_alone_where_there_is_but_one(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("init", "ur")
    assert yaml.safe_load(project.run("ci", "gitlab", "--stdout").stdout)["stages"] == ["plan", "apply", "train"]
    shown = project.run("ci", "github", "--stdout").stdout
    assert shown.count("==> .github/") == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "pio-tf.hcl"]


def test_the_script_for_cron_can_be_executed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("init", "ur")
    project.run("ci", "cron", "--schedule", "5 2 * * 6")
    assert (tmp_path / "pio-tf-job").stat().st_mode & 0o111 == 0o111
    assert f"5 2 * * 6 {tmp_path}/pio-tf-job train\n" in (tmp_path / "pio-tf.crontab").read_text()
