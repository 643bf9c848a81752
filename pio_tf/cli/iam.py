"""``pio-tf iam``: the narrowest IAM policy for a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.cli.output import Rows
    from pio_tf.iam import Policy


@app.command()
def iam(
    role: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="ROLE",
            help="plan, apply, train, schedule, destroy, mirror or assume.",
            show_default="a table of them",
        ),
    ] = "",
    account: Annotated[
        str,
        typer.Option(
            "--account", metavar="ID", help="AWS account of the cluster.", show_default="aws.assume_role's, or any"
        ),
    ] = "",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write the narrowest IAM policy for a job. AWS is not asked."""
    import json as json_module

    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        policies = Cluster.load(config, reporter=terminal.reporter).iam(role, account=account)
        if role and not json:
            for note in policies[0].notes:
                terminal.say(f"note: {note}")
            terminal.write(json_module.dumps(policies[0].document, indent=2))
            return
        terminal.result(policy_rows(policies))


def policy_rows(policies: Sequence[Policy]) -> Rows:
    """One row a role; below, where the policies themselves are."""
    from pio_tf.cli.output import Rows

    return Rows(
        columns=("ROLE", "STATEMENTS", "ACTIONS", "FOR"),
        rows=tuple(
            (
                one.role.name,
                str(len(one.grants)),
                str(len({action for grant in one.grants for action in grant.makers})),
                ", ".join(one.role.commands),
            )
            for one in policies
        ),
        data={"version": 1, "roles": [_data(one) for one in policies]},
        closing="`pio-tf iam --for ROLE` writes its policy",
    )


def _data(policy: Policy) -> dict[str, object]:
    return {
        "role": policy.role.name,
        "commands": list(policy.role.commands),
        "account": policy.scope.account,
        "policy": policy.document,
        "calls": [
            {"action": action, "by": list(makers), "statement": grant.sid, "why": grant.why}
            for grant in policy.grants
            for action, makers in grant.makers.items()
        ],
        "notes": list(policy.notes),
    }
