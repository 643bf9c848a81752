"""The result of each command."""

from __future__ import annotations

from pio_tf.cli.schemas.access import AcceptResult, HostKeysResult, PagesResult
from pio_tf.cli.schemas.ci import CommentResult, KeysResult, PipelineResult, ReviewedResult
from pio_tf.cli.schemas.guard import GuardResult, RulesResult
from pio_tf.cli.schemas.iam import IamResult
from pio_tf.cli.schemas.machines import ExtendResult, MachinesResult, StatusResult
from pio_tf.cli.schemas.runs import ChecksResult, LogLine, RunResult, RunsResult
from pio_tf.cli.schemas.sandbox import SandboxResult, SandboxStopResult
from pio_tf.cli.schemas.software import FetchResult, FilesResult, MirrorPushResult, ProvisionResult, PushResult
from pio_tf.cli.schemas.stack import DestroyResult, DriftResult, GenerateResult, InitResult, OutputResult, PlanResult

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
