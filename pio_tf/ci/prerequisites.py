"""The settings that a CI system needs before its pipeline works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.infra.root_module import public_key_file
from pio_tf.version import __version__

if TYPE_CHECKING:
    from pio_tf.ci.pipeline import Choices, System
    from pio_tf.config.schema import Config


@dataclass(frozen=True)
class Prerequisite:
    """Something to set up before a pipeline works.

    Args:
        where: ``repository variable``, ``environment``, ….
    """

    name: str
    where: str
    what: str


def list_prerequisites(system: System, config: Config, choices: Choices) -> tuple[Prerequisite, ...]:
    """Return the prerequisites of a CI system, in the order in which users set them up."""
    rows = (*_backend(system, config), *_requirements(system), *_OF_SYSTEM[system](config, choices))
    return tuple(Prerequisite(*row) for row in rows)


_Rows = list[tuple[str, str, str]]
_VARIABLE, _SECRET, _GITLAB = "repository variable", "repository secret", "CI/CD variable"


def _backend(system: System, config: Config) -> _Rows:
    if config.terraform.backend is not None or system == "cron":
        return []
    what = "the state is a file on this computer, which no job can read: `pio-tf init --backend` makes a bucket"
    return [("terraform.backend", config.path.name, what)]


def _requirements(system: System) -> _Rows:
    if system == "cron":
        return []
    wanted = f"pio-tf[terraform]=={__version__}"
    what = (
        "the packages that jobs install, with hashes; commit it: "
        f"echo '{wanted}' | uv pip compile - --universal --generate-hashes -o pio-tf-requirements.txt"
    )
    return [("pio-tf-requirements.txt", "repository's root", what)]


def _github(config: Config, choices: Choices) -> _Rows:
    return [
        *_roles(_VARIABLE, choices, train="and the reaper; may last 6 hours"),
        *_keys(_VARIABLE, _SECRET, config),
        ("production", "environment", f"for plans that were reviewed: deployments from {choices.branch} only"),
        (
            "production-replanned",
            "environment",
            "for plans that pio-tf makes again after the merge: the same, and required reviewers",
        ),
        (
            "PIO_TF_RUNNER",
            _VARIABLE,
            "optional: the label of your own runners, if GitHub's cannot connect to the driver over SSH",
        ),
        (
            "PIO_TF_PLAN_RUNNER",
            _VARIABLE,
            "optional: the label of other runners for plans, which never have the private key",
        ),
    ]


def _gitlab(config: Config, choices: Choices) -> _Rows:
    return [
        *_roles(_GITLAB, choices, train="and the reaper"),
        *_keys(_GITLAB, f"{_GITLAB}, protected, scope production*", config),
        (
            "PIO_TF_GITLAB_TOKEN",
            f"{_GITLAB}, masked, scope pio-tf-comment",
            "a project access token with the scope api, for comments",
        ),
        ("production", "protected environment", "the users who may apply"),
        ("pio-tf", "tag of protected runners", "for jobs with the private key, which need SSH to the driver"),
        ("pio-tf-plan", "tag of other runners", "for plans, which never have the private key"),
        ("PIO_TF_JOB=train", "pipeline schedule", f"{choices.schedule}, on {choices.branch}"),
        ("PIO_TF_JOB=reap", "pipeline schedule", f"*/30 * * * *, on {choices.branch}"),
    ]


def _jenkins(config: Config, choices: Choices) -> _Rows:
    agents = "with Python, bash, and an instance profile (or aws.assume_role in pio-tf.hcl)"
    return [
        ("pio-tf", "label of agents", f"for jobs with the private key, {agents}"),
        ("pio-tf-plan", "label of other agents", f"for plans, {agents} that may only plan"),
        *_public_key("environment variable of Jenkins", config),
        ("pio-tf-ssh-key", "credentials, secret text", "the private key, ssh.key"),
        ("pio-tf-comments", "credentials, secret text", "a token of GitHub or GitLab that may comment"),
        ("Jenkinsfile", "multibranch pipeline", f"plans of pull requests, and applies them on {choices.branch}"),
        ("Jenkinsfile.train", "pipeline", "the training"),
        ("Jenkinsfile.reap", "pipeline", "the reaper"),
    ]


def _cron(_config: Config, _choices: Choices) -> _Rows:
    return [
        ("pio-tf", "this computer", "on the PATH of pio-tf-job, with AWS credentials for the user of the crontab"),
        ("pio-tf.crontab", "crontab", "(crontab -l; cat pio-tf.crontab) | crontab -"),
        ("MAILTO", "crontab", "the address for mails about failed jobs"),
    ]


_OF_SYSTEM = {"github": _github, "gitlab": _gitlab, "jenkins": _jenkins, "cron": _cron}


def _roles(where: str, choices: Choices, *, train: str) -> _Rows:
    if choices.role:
        return [(choices.role, "IAM role", f"of every job, trusting this repository's tokens; for training {train}")]
    return [
        ("PIO_TF_PLAN_ROLE", where, "ARN of the role for plans; it only reads"),
        ("PIO_TF_APPLY_ROLE", where, "ARN of the role for apply"),
        ("PIO_TF_TRAIN_ROLE", where, f"ARN of the role for training {train}"),
    ]


def _keys(variable: str, secret: str, config: Config) -> _Rows:
    file = f".pio-tf/{config.cluster.name}/known_hosts"
    known = f"optional: the content of {file}, for a bastion and for consoles without host keys"
    return [
        *_public_key(variable, config),
        ("PIO_TF_SSH_KEY", secret, "the private key, ssh.key"),
        ("PIO_TF_KNOWN_HOSTS", variable, known),
    ]


def _public_key(where: str, config: Config) -> _Rows:
    if config.ssh.key_pair is not None or config.adopted:  # Terraform makes no key pair
        return []
    what = f"the public key, {public_key_file(config).name}; not needed if that file is committed"
    return [("PIO_TF_SSH_PUBLIC_KEY", where, what)]
