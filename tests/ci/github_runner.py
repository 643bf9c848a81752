"""GitHub for one repository: what it starts for an event, and a runner that executes the steps as GitHub's does.

``run`` steps are executed. ``uses`` steps become what they mean for a job here: a checkout copies files, artefacts are
directories, a role is a pair of keys that the sandbox takes, and Python and Terraform are there already.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.ci.expressions import Context
from tests.ci.forge_server import REPOSITORY, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pio_tf.sandbox.access_key import AccessKey
    from tests.ci.forge_server import ForgeServer

Commit = dict[str, str]
"""Files of a commit."""


@dataclass
class Step:
    """A step that was executed, or left out."""

    name: str
    outcome: str
    output: str = ""


@dataclass
class Job:
    """A job. ``result``: success, failure, skipped, or waiting for an approval."""

    name: str
    result: str = "success"
    environment: str = ""
    role: str = ""
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def output(self) -> str:
        """The output of all its steps."""
        return "".join(step.output for step in self.steps)


@dataclass
class Run:
    """A run of a workflow."""

    workflow: str
    event: str
    jobs: dict[str, Job] = field(default_factory=dict)

    def transcript(self) -> str:
        """Return the run's jobs and their output as text."""
        lines = [f"=== {self.workflow}, on {self.event}"]
        for job in self.jobs.values():
            lines.append(f"--- job {job.name}: {job.result}" + (f" [{job.environment}]" if job.environment else ""))
            for step in job.steps:
                lines += [f"  {step.name}: {step.outcome}", *(f"    {line}" for line in step.output.splitlines())]
        return "\n".join(lines) + "\n"


@dataclass
class Github:
    """A repository, its settings and its runner.

    Args:
        path: PATH of the runner.
        access_key: the key that AWS has for every role.
        approves: answers for each environment whether a deployment there has an approval.
    """

    directory: Path
    forge: ForgeServer
    path: str
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    access_key: AccessKey
    approves: Callable[[str], bool] = lambda _environment: True
    commits: dict[str, Commit] = field(default_factory=dict)
    main: str = ""
    runs: list[Run] = field(default_factory=list)

    def commit(self, files: Commit) -> str:
        """Make a commit; return its name."""
        sha = hashlib.sha1(f"{len(self.commits)}{files}".encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = files
        return sha

    def pull_request(self, number: int, files: Commit) -> tuple[str, list[Run]]:
        """Push to the branch of a pull request; return the commit, and the runs that it starts."""
        head = self.commit(files)
        pull = {"number": number, "head": {"sha": head, "repo": {"full_name": REPOSITORY}}}
        ref = f"refs/pull/{number}/merge"
        # GitHub checks out the merge, before it exists on the main branch.
        merged = self.commit({**self.commits.get(self.main, {}), **files})
        return head, self._start("pull_request", merged, ref, {"pull_request": pull}, head=head)

    def merge(self, number: int, head: str) -> list[Run]:
        """Merge a pull request."""
        files = {**self.commits.get(self.main, {}), **self.commits[head]}
        merged = self.commit(files)
        pull = {
            "number": number,
            "merged_at": "now",
            "merge_commit_sha": merged,
            "head": {"sha": head},
            "base": {"ref": "main"},
        }
        self.forge.pulls[merged] = [{"number": 99, "merged_at": None, "merge_commit_sha": "other"}, pull]
        return self.push(merged)

    def push(self, commit: str) -> list[Run]:
        """Move the main branch to another commit."""
        changed = self._changed(commit)
        self.main = commit
        return self._start("push", commit, "refs/heads/main", {}, head=commit, changed=changed)

    def dispatch(self, workflow: str) -> Run:
        """Start a workflow on the main branch, as a user does."""
        (run,) = self._start("workflow_dispatch", self.main, "refs/heads/main", {}, head=self.main, only=workflow)
        return run

    def schedule(self, workflow: str) -> Run:
        """Run a workflow of the main branch as its schedule does."""
        (run,) = self._start("schedule", self.main, "refs/heads/main", {}, head=self.main, only=workflow)
        return run

    def _changed(self, commit: str) -> set[str]:
        """Return the files that differ from the main branch."""
        here = self.commits.get(self.main, {})
        return {name for name, text in self.commits[commit].items() if here.get(name) != text}

    def _start(
        self,
        event: str,
        commit: str,
        ref: str,
        payload: dict[str, Any],
        *,
        head: str,
        changed: set[str] | None = None,
        only: str = "",
    ) -> list[Run]:
        changed = self._changed(commit) if changed is None else changed
        started = []
        for name, text in sorted(self.commits[commit].items()):
            if not name.startswith(".github/workflows/") or (only and not name.endswith(f"/{only}")):
                continue
            workflow = yaml.safe_load(text)
            on = workflow[True]  # YAML 1.1 takes `on` for yes
            if event not in on or not _paths_fit(on[event], changed):
                continue
            github = {
                "token": TOKEN,
                "repository": REPOSITORY,
                "event": payload,
                "run_id": str(1000 + len(self.runs)),
                "sha": commit,
                "ref": ref,
                "event_name": event,
            }
            run = Run(workflow["name"], event)
            self.runs.append(run)
            for job in workflow["jobs"]:
                run.jobs[job] = _JobRun(self, workflow, job, github, head, run).execute()
            started.append(run)
        return started


def _paths_fit(trigger: object, changed: set[str]) -> bool:
    paths = trigger.get("paths") if isinstance(trigger, dict) else None
    return not paths or any(fnmatch.fnmatch(name, path.replace("**", "*")) for name in changed for path in paths)


class _JobRun:
    """A job on a machine of its own."""

    def __init__(
        self, host: Github, workflow: dict[str, Any], name: str, github: dict[str, Any], head: str, run: Run
    ) -> None:
        self.host, self.github, self.head, self.run = host, github, head, run
        self.spec: dict[str, Any] = workflow["jobs"][name]
        self.job = Job(name)
        self.place = host.directory / f"run-{github['run_id']}" / name
        self.workspace = self.place / "work"
        self.environment: dict[str, str] = dict(workflow.get("env") or {})
        self.outputs: dict[str, dict[str, dict[str, str]]] = {}
        self.failed = False

    def execute(self) -> Job:
        needed = [self.run.jobs[name] for name in _as_list(self.spec.get("needs"))]
        names = {"needs": {job.name: {"outputs": job.outputs, "result": job.result} for job in needed}}
        context = self._context(names, success=all(job.result == "success" for job in needed))
        if not context.condition(str(self.spec.get("if", "success()"))):
            self.job.result = "skipped"
            return self.job
        self.job.environment = context.text(self.spec.get("environment", ""))
        if self.job.environment and not self.host.approves(self.job.environment):
            self.job.result = "waiting"
            return self.job
        assert context.text(self.spec["runs-on"]) == "ubuntu-latest"
        self.workspace.mkdir(parents=True)
        (self.place / "home").mkdir()
        self.place.joinpath("event.json").write_text(json.dumps(self.github["event"]))
        self._steps(self.spec["steps"], {}, root=self.workspace)
        self.job.result = "failure" if self.failed else "success"
        final = self._context({"steps": self.outputs})
        self.job.outputs = {name: final.text(text) for name, text in (self.spec.get("outputs") or {}).items()}
        return self.job

    def _context(self, names: Mapping[str, Any], *, success: bool | None = None) -> Context:
        fine = (not self.failed) if success is None else success
        known = {
            "github": self.github,
            "vars": dict(self.host.variables),
            "secrets": dict(self.host.secrets),
            "steps": self.outputs,
            "needs": {},
            "inputs": {},
        }
        functions: dict[str, Callable[..., Any]] = {
            "success": lambda: fine,
            "failure": lambda: not fine,
            "always": lambda: True,
            "cancelled": lambda: False,
            "hashFiles": lambda path: "a-sum" if (self.workspace / path).is_file() else "",
        }
        return Context({**known, **names}, functions)

    def _steps(self, steps: list[dict[str, Any]], inputs: Mapping[str, str], *, root: Path) -> None:
        for spec in steps:
            context = self._context({"inputs": dict(inputs)})
            name = str(spec.get("name") or spec.get("uses"))
            if not context.condition(str(spec.get("if", "success()"))):
                self.job.steps.append(Step(name, "skipped"))
                continue
            arguments = {key: context.text(value) for key, value in (spec.get("with") or {}).items()}
            if "run" in spec:
                self._execute(name, spec, context)
            elif spec["uses"].startswith("./"):
                action = yaml.safe_load((self.workspace / spec["uses"] / "action.yml").read_text())
                given = {
                    key: arguments.get(key, str(value.get("default", ""))) for key, value in action["inputs"].items()
                }
                assert arguments.keys() <= action["inputs"].keys()
                self._steps(action["runs"]["steps"], given, root=root)
            else:
                self._use(name, str(spec["uses"]).partition("@")[0], arguments)
                if "id" in spec:
                    self.outputs[spec["id"]] = {"outputs": {"artifact-id": str(len(self.host.forge.artifacts))}}

    def _execute(self, name: str, spec: dict[str, Any], context: Context) -> None:
        number = len(self.job.steps)
        files = {variable: self.place / f"{variable}-{number}" for variable in _FILES}
        for file in files.values():
            file.touch()
        script = self.place / f"step-{number}.sh"
        script.write_text(context.text(spec["run"]))
        # As the runner does: -o pipefail only where the shell is named.
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail"] if "shell" in spec else ["bash", "-e"]
        own = {key: context.text(value) for key, value in (spec.get("env") or {}).items()}
        done = subprocess.run(
            [*shell, script],
            cwd=self.workspace,
            env=self._runner_variables() | self.environment | own | {key: str(file) for key, file in files.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        outcome = "success" if done.returncode == 0 else f"failure, exit code {done.returncode}"
        self.failed = self.failed or done.returncode != 0
        self.job.steps.append(Step(name, outcome, done.stdout))
        self.job.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        self.environment |= _entries(files["GITHUB_ENV"].read_text())
        if "id" in spec:
            self.outputs[spec["id"]] = {"outputs": _entries(files["GITHUB_OUTPUT"].read_text())}

    def _runner_variables(self) -> dict[str, str]:
        return {
            "PATH": self.host.path,
            "HOME": str(self.place / "home"),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.host.forge.url,
            "GITHUB_SERVER_URL": "https://github.test",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": self.github["run_id"],
            "GITHUB_SHA": self.github["sha"],
            "GITHUB_REF": self.github["ref"],
            "GITHUB_EVENT_NAME": self.github["event_name"],
            "GITHUB_EVENT_PATH": str(self.place / "event.json"),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.place),
            # A runner has no metadata service; looking for it would leave loopback here.
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _use(self, name: str, action: str, arguments: Mapping[str, str]) -> None:
        artifacts = self.host.directory / f"run-{self.github['run_id']}" / "artifacts"
        if action == "actions/checkout":
            for path, text in self.host.commits[self.github["sha"]].items():
                file = self.workspace / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        elif action == "aws-actions/configure-aws-credentials":
            assert (self.spec.get("permissions") or {}).get("id-token") == "write", "no token without the permission"
            self.job.role = arguments["role-to-assume"]
            self.environment |= {
                "AWS_ACCESS_KEY_ID": self.host.access_key.id,
                "AWS_SECRET_ACCESS_KEY": self.host.access_key.secret,
                "AWS_REGION": arguments["aws-region"],
            }
        elif action == "hashicorp/setup-terraform":
            assert arguments["terraform_wrapper"] == "false"
        elif action == "actions/upload-artifact":
            directory = self.workspace / arguments["path"]
            if directory.is_file():
                (artifacts / arguments["name"]).mkdir(parents=True)
                shutil.copy(directory, artifacts / arguments["name"])
                self.job.steps.append(Step(name, "success"))
                return
            if not directory.is_dir() or not any(directory.iterdir()):
                self.failed = True
                self.job.steps.append(Step(name, "failure", f"no files at {directory}\n"))
                return
            shutil.copytree(directory, artifacts / arguments["name"], ignore=shutil.ignore_patterns(".*"))
            self.host.forge.keep(arguments["name"], directory, head=self.head)
        elif action == "actions/download-artifact":
            shutil.copytree(artifacts / arguments["name"], self.workspace / arguments["path"])
        else:
            assert action == "actions/setup-python", action
        self.job.steps.append(Step(name, "success"))


_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY", "GITHUB_PATH", "GITHUB_STATE")


def _entries(text: str) -> dict[str, str]:
    """Parse ``name=value``, and ``name<<delimiter`` with lines up to that delimiter."""
    found = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, equals, value = line.partition("=")
        if "<<" in name or not equals:
            name, _, delimiter = line.partition("<<")
            value = "\n".join(iter(lambda: next(lines), delimiter))
        found[name] = value
    return found


def _as_list(value: object) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
