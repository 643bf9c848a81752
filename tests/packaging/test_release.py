"""A release: its notes, its tag, and the workflows that check and publish it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.release import check_tag, check_tree, release_notes, write_checksums

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 0.2.0 (2026-12-01)\n\n### Added\n\n- A thing.\n\n## 0.1.0\n\n- Old.\n"


def test_the_notes_of_a_release_are_its_section_of_the_changelog() -> None:
    assert release_notes(CHANGELOG, "0.2.0") == "### Added\n\n- A thing."
    assert release_notes(CHANGELOG, "0.1.0") == "- Old."


@pytest.mark.parametrize("version", ["0.3.0", "0.2", "2.0", "Unreleased"])
def test_a_version_without_notes_is_not_released(version: str) -> None:
    with pytest.raises(ValueError, match="no notes"):
        release_notes(CHANGELOG, version)


def test_a_tag_of_another_version_is_refused() -> None:
    check_tag("", "0.2.0")
    check_tag("v0.2.0", "0.2.0")
    with pytest.raises(ValueError, match=r"expected v0\.2\.0"):
        check_tag("v0.2.1", "0.2.0")


def test_what_no_commit_has_is_not_released(tmp_path: Path) -> None:
    command = ["git", "init", "--quiet", str(tmp_path)]
    subprocess.run(command, check=True)
    check_tree(tmp_path)
    (tmp_path / "new.py").touch()
    with pytest.raises(ValueError, match=r"not clean(.|\n)*new\.py"):
        check_tree(tmp_path)


def test_the_checksums_of_a_release_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    for name in ("one.whl", "two.tar.gz"):
        (tmp_path / name).write_text(name)
    assert [line.split()[1] for line in write_checksums(tmp_path).splitlines()] == ["one.whl", "two.tar.gz"]
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0
    (tmp_path / "one.whl").write_text("another")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_the_workflows_match_the_schema_of_github() -> None:
    assert {path.name for path in WORKFLOWS} == {"ci.yml", "nightly.yml", "release.yml"}
    check = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *map(str, WORKFLOWS),
    ]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_job_may_write_to_the_repository(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    allowed = {name: job.get("permissions", {}) for name, job in workflow["jobs"].items()}
    assert {name: rights for name, rights in allowed.items() if rights} in ({}, {"publish": {"id-token": "write"}})


def test_the_workflow_that_checks_runs_on_every_supported_python_and_on_macos() -> None:
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]["check"]
    matrix = matrix["strategy"]["matrix"]
    classifiers = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert matrix["python"] == re.findall(r"Python :: (3\.\d+)", classifiers)
    assert any(one["os"].startswith("macos") for one in matrix["include"])


def test_the_hooks_before_a_commit_run_what_is_installed_here() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks["repos"][0]["hooks"])
