"""CI pipelines, their jobs, and the IAM policies that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pio_tf.ci.prerequisites import Prerequisite
from pio_tf.cli.results.base import Columns, CommandResult, ResultData, Table

if TYPE_CHECKING:
    from pio_tf.ci.pipeline import System
    from pio_tf.iam import Policy


class PipelineFileData(ResultData):
    """A file of a pipeline."""

    path: str = Field(description="from the repository's root")
    content: str


class PipelineResult(CommandResult):
    """A pipeline."""

    ROWS = "needs"
    WRAPS = True
    COLUMNS: ClassVar[Columns] = {"TO BE SET UP": "name", "WHERE": "where", "WHAT": "what"}

    system: Literal["github", "gitlab", "jenkins", "cron"]
    written: bool = Field(description="false with `--stdout`")
    files: list[PipelineFileData]
    needs: list[Prerequisite]

    @classmethod
    def of(
        cls, system: System, files: Mapping[str, str], needs: Sequence[Prerequisite], *, written: bool
    ) -> PipelineResult:
        """Return the result of ``ci github`` and the like.

        Args:
            files: the text of each, by its path from the repository's root.
        """
        data = [{"path": path, "content": text} for path, text in files.items()]
        return cls.model_validate({"system": system, "written": written, "files": data, "needs": needs})

    def table(self) -> Table:
        return super().table() if self.written else Table()


class KeysResult(CommandResult):
    """The SSH keys of a job."""

    written: list[str] = Field(description="paths; without the files that had this content already")


class CommentResult(CommandResult):
    """The comment on a pull request."""

    comment: Literal["made", "changed"]


class CallData(ResultData):
    """A call that a policy allows."""

    action: str = Field(description="as IAM names it")
    by: list[Literal["terraform", "pio-tf"]] = Field(description="the programs that make it")
    statement: str = Field(description="its `Sid`")
    why: str


class RoleData(ResultData):
    """The policy for a role."""

    role: Literal[
        "plan", "apply", "train", "schedule", "destroy", "mirror", "ssh", "init", "list", "cost", "assume", "boundary"
    ]
    commands: list[str] = Field(description="the commands that the role is for")
    account: str = Field(description="twelve digits; `*`: unknown")
    policy: dict[str, Any] = Field(description="the document, as IAM takes it")
    calls: list[CallData]
    notes: list[str] = Field(description="notes that the document cannot express")


class IamResult(CommandResult):
    """Policies for a pipeline's jobs."""

    ROWS = "roles"
    WRAPS = True
    COLUMNS: ClassVar[Columns] = {
        "ROLE": "role",
        "STATEMENTS": lambda role: len(role.policy["Statement"]),
        "ACTIONS": lambda role: len({call.action for call in role.calls}),
        "FOR": "commands",
    }

    roles: list[RoleData] = Field(description="the one of `--for`, or all")

    @classmethod
    def of(cls, policies: Sequence[Policy]) -> IamResult:
        """Return the result of ``iam``."""
        return cls.model_validate({"roles": [_role(one) for one in policies]})

    def closing(self) -> str:
        return "`pio-tf iam --for ROLE` writes its policy"


def _role(policy: Policy) -> dict[str, object]:
    return {
        "role": policy.role.name,
        "commands": policy.role.commands,
        "account": policy.scope.account,
        "policy": policy.document,
        "calls": [
            {"action": action, "by": makers, "statement": grant.sid, "why": grant.why}
            for grant in policy.grants
            for action, makers in grant.makers.items()
        ],
        "notes": policy.notes,
    }
