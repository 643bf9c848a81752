"""What must be set up in a CI system before its pipeline works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pio_tf.infra.root_module import public_key_file

if TYPE_CHECKING:
    from pio_tf.ci.pipeline import Choices, System
    from pio_tf.config.schema import Config


@dataclass(frozen=True)
class Need:
    """Something to set up before a pipeline works.

    Args:
        where: ``repository variable``, ``environment``, ….
    """

    name: str
    where: str
    what: str


_GITHUB_VARIABLE, _GITHUB_SECRET = "repository variable", "repository secret"
_GITLAB_VARIABLE = "CI/CD variable"


def find_needs(system: System, config: Config, choices: Choices) -> tuple[Need, ...]:
    """What must be set up, in the order in which one does it."""
    found: list[Need] = []
    if config.terraform.backend is None and system != "cron":
        found.append(
            Need(
                "terraform.backend",
                config.path.name,
                "the state is a file on this computer, where no job finds it: `pio-tf init --backend` makes a bucket",
            )
        )
    return (*found, *_OF_SYSTEM[system](config, choices))


def _github(config: Config, choices: Choices) -> list[Need]:
    return [
        *_roles(_GITHUB_VARIABLE, choices, train="and the reaper; may last 6 hours"),
        *_public_key(_GITHUB_VARIABLE, config),
        Need("PIO_TF_SSH_KEY", _GITHUB_SECRET, "the private key, ssh.key"),
        Need("PIO_TF_KNOWN_HOSTS", _GITHUB_VARIABLE, _KNOWN_HOSTS.format(name=config.cluster.name)),
        Need("production", "environment", f"of plans that were reviewed: deployments from {choices.branch} only"),
        Need(
            "production-replanned",
            "environment",
            "of plans that were made anew after the merge: the same, and required reviewers",
        ),
        _RUNNER,
    ]


def _gitlab(config: Config, choices: Choices) -> list[Need]:
    return [
        *_roles(_GITLAB_VARIABLE, choices, train="and the reaper"),
        *_public_key(_GITLAB_VARIABLE, config),
        Need("PIO_TF_SSH_KEY", f"{_GITLAB_VARIABLE}, protected", "the private key, ssh.key"),
        Need("PIO_TF_KNOWN_HOSTS", _GITLAB_VARIABLE, _KNOWN_HOSTS.format(name=config.cluster.name)),
        Need(
            "PIO_TF_GITLAB_TOKEN", f"{_GITLAB_VARIABLE}, masked", "a project access token with the scope api: comments"
        ),
        Need("production", "protected environment", "who may apply"),
        Need("PIO_TF_JOB=train", "pipeline schedule", f"{choices.schedule}, on {choices.branch}"),
        Need("PIO_TF_JOB=reap", "pipeline schedule", f"*/30 * * * *, on {choices.branch}"),
    ]


def _jenkins(_config: Config, choices: Choices) -> list[Need]:
    return [
        Need(
            "pio-tf", "label of agents", "with Python, bash, and an instance profile (or aws.assume_role in pio-tf.hcl)"
        ),
        Need("pio-tf-ssh-key", "credentials, secret text", "the private key, ssh.key"),
        Need("pio-tf-comments", "credentials, secret text", "a token of GitHub or GitLab that may comment"),
        Need("Jenkinsfile", "multibranch pipeline", f"plans of pull requests, and what is applied on {choices.branch}"),
        Need("Jenkinsfile.train", "pipeline", "the training"),
        Need("Jenkinsfile.reap", "pipeline", "the reaper"),
    ]


def _cron(_config: Config, _choices: Choices) -> list[Need]:
    return [
        Need("pio-tf", "this computer", "on the PATH of pio-tf-job, with AWS credentials for the user of the crontab"),
        Need("pio-tf.crontab", "crontab", "(crontab -l; cat pio-tf.crontab) | crontab -"),
        Need("MAILTO", "crontab", "who is told of a job that failed"),
    ]


_OF_SYSTEM = {"github": _github, "gitlab": _gitlab, "jenkins": _jenkins, "cron": _cron}
_KNOWN_HOSTS = "optional: what .pio-tf/{name}/known_hosts has, so that no machine is trusted on first use"
_RUNNER = Need(
    "PIO_TF_RUNNER",
    _GITHUB_VARIABLE,
    "optional: the label of runners of your own, where GitHub's cannot reach the driver over SSH",
)


def _roles(where: str, choices: Choices, *, train: str) -> list[Need]:
    if choices.role:
        return [
            Need(choices.role, "IAM role", f"of every job, trusting this repository's tokens; for training {train}")
        ]
    return [
        Need("PIO_TF_PLAN_ROLE", where, "ARN of the role that plans; it only reads"),
        Need("PIO_TF_APPLY_ROLE", where, "ARN of the role that applies"),
        Need("PIO_TF_TRAIN_ROLE", where, f"ARN of the role of training {train}"),
    ]


def _public_key(where: str, config: Config) -> list[Need]:
    name = public_key_file(config).name
    if config.ssh.key_pair is not None:
        return []
    return [Need("PIO_TF_SSH_PUBLIC_KEY", where, f"the public key, {name}; not needed where that file is committed")]
