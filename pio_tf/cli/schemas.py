"""What ``--json`` writes, for each command. docs/json.md is made of this.

The text beside a type says what the value is. Within a version, nothing goes away and no value changes its meaning;
there may be more.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

Version = Annotated[Literal[1], "of the schema"]
Machines = Annotated[list["MachineData"], "driver, master and workers"]


class ErrorData(TypedDict):
    """What went wrong."""

    what: Annotated[str, "what happened, in one sentence"]
    cause: Annotated[str, "why; empty where it is not known"]
    next_step: Annotated[str, "what to do about it"]
    exit_code: Annotated[int, "see [exit codes](commands.md#exit-codes)"]
    details: Annotated[dict[str, Any], "facts, as the error has them: machine, run, exit_status, file, problems, …"]


class ErrorResult(TypedDict):
    """An error of any command, on one line."""

    version: Version
    error: ErrorData


class MachineData(TypedDict):
    """A machine as EC2 has it."""

    name: Annotated[str, "`driver`, `master`, `worker-1`, …"]
    role: Literal["driver", "master", "worker"]
    instance_id: str
    instance_type: str
    state: Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]
    private_ip: str
    public_ip: Annotated[str | None, "null: it has none now"]
    since: Annotated[str | None, "ISO 8601: when it was last started, or stopped"]
    spot: Annotated[bool, "true: a Spot instance, which pio-tf did not make and does not start"]
    in_outputs: Annotated[bool, "false: it has the cluster's tags, but Terraform does not know it"]


class MachinesResult(TypedDict):
    """The machines, once they are started or stopped."""

    version: Version
    machines: Machines
    deadline: Annotated[str | None, "ISO 8601: when AWS stops them; null: no deadline was set"]


class ExtendResult(TypedDict):
    """The deadline of machines that run."""

    version: Version
    before: Annotated[str | None, "ISO 8601: what it was; null: there was none"]
    deadline: Annotated[str, "ISO 8601: what it is"]


class StatusMachineData(MachineData):
    """A machine, and whether Spark has it."""

    spark_alive: Annotated[bool | None, "whether Spark's master has this worker; null: not a worker, or not asked"]


class StatusResult(TypedDict):
    """The cluster now."""

    version: Version
    cluster: str
    created: Annotated[bool, "whether Terraform has outputs"]
    machines: list[StatusMachineData]
    run: Annotated[str | None, "the run that is active"]
    deadline: Annotated[str | None, "ISO 8601: when AWS stops the machines; null: none, or nothing runs"]


class OutputMachineData(TypedDict):
    """A machine as Terraform made it."""

    name: str
    role: Literal["driver", "master", "worker"]
    instance_id: str
    private_ip: str
    eip: Annotated[str | None, "its Elastic IP"]


class OutputResult(TypedDict):
    """Terraform's outputs."""

    version: Version
    cluster: str
    region: str
    machines: list[OutputMachineData]


class GenerateResult(TypedDict):
    """The stack, or the Packer template, that was written."""

    version: Version
    directory: str


class ChangeData(TypedDict):
    """What a plan does to one resource."""

    address: str
    type: str
    actions: Annotated[list[str], "Terraform's words: `create`, `update`, `delete`, …"]
    reasons: Annotated[list[str], "arguments that change"]
    machine: Annotated[str, "the machine that it is; empty: none"]


class PlanResult(TypedDict):
    """What `apply` would do."""

    version: Version
    has_changes: bool
    changes: list[ChangeData]
    directory: Annotated[str | None, "where the plan was kept"]


class DifferenceData(TypedDict):
    """An argument that is not as Terraform left it."""

    name: str
    before: Annotated[Any, "what Terraform left"]
    after: Annotated[Any, "what AWS has"]


class DriftData(TypedDict):
    """A resource that is not as Terraform left it."""

    address: str
    type: str
    machine: Annotated[str, "the machine that it is; empty: none"]
    change: Literal["changed", "gone"]
    differences: list[DifferenceData]


class DriftResult(TypedDict):
    """What was changed behind Terraform's back."""

    version: Version
    drift: bool
    resources: list[DriftData]


class RuleData(TypedDict):
    """A rule of the guard."""

    id: str
    name: str
    severity: str
    title: str
    why: str
    what_to_do: str
    waivable: bool
    waived: Annotated[str | None, "the reason; null: it is not waived"]


class RulesResult(TypedDict):
    """The guard's rules."""

    version: Version
    rules: list[RuleData]


class FindingData(TypedDict):
    """What breaks a rule."""

    rule: str
    name: str
    severity: str
    address: str
    message: str
    file: str
    line: int | None
    waived: Annotated[str | None, "the reason; null: the plan is refused for it"]


class WaiverData(TypedDict):
    """A rule that pio-tf.hcl waives."""

    rule: str
    reason: str
    line: int | None


class CostData(TypedDict):
    """What a cluster costs; null: not known."""

    running_hourly_usd: float | None
    stopped_monthly_usd: float | None
    monthly_usd: float | None
    unknown: Annotated[list[str], "what no price is known of"]


class CostChangeData(TypedDict):
    """Costs before and after the plan."""

    before: CostData
    after: CostData
    training_hours_per_month: float
    note: str


class GuardResult(TypedDict):
    """What the guard makes of a plan."""

    version: Version
    refused: bool
    findings: list[FindingData]
    waivers: list[WaiverData]
    cost: CostChangeData


class DestroyResult(TypedDict):
    """The cluster that is gone."""

    version: Version
    cluster: str
    destroyed: Literal[True]


class ClientData(TypedDict):
    """Who began a run."""

    owner: str
    host: str
    pid: int
    since: Annotated[str, "ISO 8601"]


class ProofData(TypedDict):
    """What tells whether there is a model."""

    name: str
    held: Annotated[bool | None, "null: it could not be asked"]
    detail: str


class RunResult(TypedDict):
    """A run. Times are seconds since 1970 by the driver's clock, null where it has not come to that."""

    version: Version
    id: str
    cluster: str
    client: ClientData
    command: Annotated[str, "without secrets"]
    engine_dir: str
    machines: Annotated[list[str], "name, type and id of each"]
    absent: Annotated[list[str], "workers that took no part: AWS had no capacity for them"]
    pio_tf: Annotated[str, "the version of pio-tf that began it"]
    state: Literal["running", "succeeded", "failed", "cancelled", "lost", "unknown"]
    started: float | None
    ended: float | None
    seconds: Annotated[float | None, "from its start to its end"]
    exit_status: Annotated[int | None, "of `pio train`"]
    cancelled_by: str
    cause: Annotated[str, "of a failure"]
    model: Annotated[str, "the index, or the engine instance, that it made; empty: not known"]
    proofs: list[ProofData]
    ui_port: Annotated[int, "of Spark's page on the driver; 0: not known"]
    log_bytes: int
    deadline: Annotated[
        str | None, "ISO 8601: when AWS was to stop the machines, when the run began; null: no deadline"
    ]


class RunsResult(TypedDict):
    """The runs, oldest first."""

    version: Version
    runs: list[RunResult]


class LogLine(TypedDict):
    """A line of a run's log: one object a line of output."""

    version: Version
    line: str


class CheckData(TypedDict):
    """A check."""

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str
    next_step: str


class ChecksResult(TypedDict):
    """What the checks have found."""

    version: Version
    checks: list[CheckData]


class PageData(TypedDict):
    """A page of Spark's."""

    name: str
    url: Annotated[str, "on this computer"]
    host: str
    port: int
    answers: bool


class PagesResult(TypedDict):
    """The pages that are brought here. Written when they are; the command goes on until it is ended."""

    version: Version
    pages: list[PageData]


class HostKeyData(TypedDict):
    """A pinned host key."""

    machine: Annotated[str | None, "null: Terraform does not know it"]
    id: Annotated[str, "the instance"]
    type: str
    fingerprint: str
    learned: Annotated[str, "how it came to be pinned"]


class HostKeysResult(TypedDict):
    """The pinned host keys."""

    version: Version
    file: str
    host_keys: list[HostKeyData]


class AcceptResult(TypedDict):
    """The host key that is pinned now."""

    version: Version
    machine: str
    fingerprint: str
    changed: Annotated[bool, "false: it was pinned before"]


class FileData(TypedDict):
    """A file for the driver."""

    name: str
    path: str
    content: Annotated[str, "with stars in place of passwords"]


class FilesResult(TypedDict):
    """The files that pio-tf writes to the driver."""

    version: Version
    files: list[FileData]


class PutData(TypedDict):
    """What became of a file."""

    name: str
    path: str
    changed: Annotated[bool, "whether it was written; else it was right already"]
    kept: Annotated[str | None, "where a file of somebody else's was put aside"]


class FetchedData(TypedDict):
    """An archive in the mirror's directory."""

    name: str
    version: str
    path: str
    sha512: str
    fetched: Annotated[bool, "false: it was there already"]
    pin: Annotated[str | None, "the option of pio-tf.hcl that pins it; null: it is pinned"]


class FetchResult(TypedDict):
    """The mirror's directory."""

    version: Version
    files: list[FetchedData]


class PushedData(TypedDict):
    """An archive in the bucket."""

    name: str
    version: str
    url: str
    pushed: Annotated[bool, "false: it was there already"]


class MirrorPushResult(TypedDict):
    """The mirror's bucket."""

    version: Version
    files: list[PushedData]


class PreparedData(TypedDict):
    """A machine that is as pio-tf.hcl asks for."""

    name: str
    versions: Annotated[dict[str, str], "what is in use there: `spark`, `java`, `hadoop`, `hbase`, `pio`, …"]


class ProvisionResult(TypedDict):
    """The machines that were provisioned."""

    version: Version
    machines: list[PreparedData]


class PushResult(TypedDict):
    """The files on the driver."""

    version: Version
    files: list[PutData]


class InitResult(TypedDict):
    """The pio-tf.hcl that was written; with ``--backend`` it may have been there before."""

    version: Version
    file: str
    cluster: str
    bucket: str | None
    """The bucket of the state; null without ``--backend``."""


class ServicesData(TypedDict):
    """Host and ports of the sandbox's stand-ins."""

    host: str
    elasticsearch: int
    zookeeper: int
    namenode: int


class SandboxData(TypedDict):
    """A running sandbox."""

    url: str
    pid: int
    directory: str
    region: str
    profile: str
    credentials_file: str
    cli_config_file: str
    ssh_port: int
    ssh_user: str
    services: ServicesData
    log_file: str


class SandboxMachineData(TypedDict):
    """An instance of the sandbox, and the machine behind it."""

    cluster: str
    name: str
    role: str
    instance_id: str
    state: Annotated[str, "EC2's"]
    address: str
    power: Annotated[str, "the machine's: `on`, `off`, `starting`, `stopping`, `failed`"]
    error: str


class SandboxResult(TypedDict):
    """The sandbox."""

    version: Version
    state: Literal["running", "stopped", "crashed"]
    info: SandboxData | None
    machines: list[SandboxMachineData]


class SandboxStopResult(TypedDict):
    """The sandbox is not there any more."""

    version: Version
    stopped: Annotated[bool, "false: there was none"]


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


class CallData(TypedDict):
    """A call that a policy allows."""

    action: Annotated[str, "as IAM names it"]
    by: Annotated[list[Literal["terraform", "pio-tf"]], "who makes it"]
    statement: Annotated[str, "its `Sid`"]
    why: str


class RoleData(TypedDict):
    """The policy for a role."""

    role: Literal["plan", "apply", "train", "schedule", "destroy", "assume"]
    commands: Annotated[list[str], "what the role is for"]
    account: Annotated[str, "twelve digits; `*`: not known"]
    policy: Annotated[dict[str, Any], "the document, as IAM takes it"]
    calls: list[CallData]
    notes: Annotated[list[str], "what the document cannot say"]


class IamResult(TypedDict):
    """Policies for a pipeline's jobs."""

    version: Version
    roles: Annotated[list[RoleData], "the one of `--for`, or all"]


RESULTS: dict[str, type] = {
    "init": InitResult,
    "generate": GenerateResult,
    "plan": PlanResult,
    "guard": GuardResult,
    "guard --list": RulesResult,
    "iam": IamResult,
    "apply": OutputResult,
    "drift": DriftResult,
    "output": OutputResult,
    "destroy": DestroyResult,
    "up": MachinesResult,
    "down": MachinesResult,
    "extend": ExtendResult,
    "status": StatusResult,
    "check": ChecksResult,
    "train": RunResult,
    "runs": RunsResult,
    "logs": LogLine,
    "cancel": RunResult,
    "config show": FilesResult,
    "config push": PushResult,
    "provision": ProvisionResult,
    "mirror fetch": FetchResult,
    "mirror push": MirrorPushResult,
    "ui": PagesResult,
    "host-keys": HostKeysResult,
    "host-keys accept": AcceptResult,
    "ci github": PipelineResult,
    "ci gitlab": PipelineResult,
    "ci jenkins": PipelineResult,
    "ci cron": PipelineResult,
    "ci keys": KeysResult,
    "ci comment": CommentResult,
    "ci reviewed": ReviewedResult,
    "sandbox start": SandboxResult,
    "sandbox status": SandboxResult,
    "sandbox stop": SandboxStopResult,
}
"""The result of each command. `ssh` has none: its output is that of the shell."""
OUTPUTS: dict[str, dict[str, str]] = {
    "plan": {"has-changes": "`true` or `false`"},
    "guard": {"refused": "`true` or `false`"},
    "drift": {"drift": "`true` or `false`"},
    "status": {
        "state": "`running`, `stopped`, …; `mixed`; `none`: no machines",
        "run": "the run that is active",
        "deadline": "when AWS stops the machines",
    },
    "up": {"state": "as for `status`", "deadline": "as for `status`"},
    "extend": {"deadline": "as for `status`"},
    "down": {"state": "as for `status`", "deadline": "empty: nobody counts on one any more"},
    "ci reviewed": {
        "reviewed": "`true`: the plan of the pull request; `false`: a new one",
        "has-changes": "`true` or `false`",
    },
    "check": {"failed": "names of the checks that failed, with commas"},
    "train": {"run": "its id", "state": "the run's", "model": "index or engine instance; empty: not known"},
    "cancel": {"run": "its id", "state": "the run's", "model": "as for `train`"},
}
"""What a command hands on in ``$GITHUB_OUTPUT``, beside ``exit`` and ``error``."""
