"""The state in S3, its lock, and the runs beside it. A local state needs no permission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.iam.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.iam.scope import Scope
    from pio_tf.infra.backend.s3 import S3Backend

_ITEMS = ("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem")


def reads_state(scope: Scope) -> Iterator[Grant]:
    """What every command begins with: Terraform's outputs."""
    state = scope.state
    if state is None:
        return
    yield Grant(
        sid="FindState",
        why="Without it S3 says of an object that is not there that it is forbidden. Names only; it cannot be narrowed "
        "to the cluster's, since the question for an object has no prefix.",
        resources=(scope.bucket(state.bucket),),
        terraform=("s3:ListBucket",),
    )
    yield Grant(
        sid="ReadState",
        why="The state.",
        resources=(scope.bucket(state.bucket, state.key),),
        terraform=("s3:GetObject",),
    )
    yield from _key(scope, state, "ReadKey", "kms:Decrypt")


def locks_state(scope: Scope) -> Iterator[Grant]:
    """A plan takes the lock, too: it must not read a state that is being written."""
    state = scope.state
    if state is None:
        return
    if state.locks_by_object:
        yield Grant(
            sid="LockState",
            why="The lock, which is an object beside the state.",
            resources=(scope.bucket(state.bucket, state.lock_key),),
            terraform=("s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
        )
        yield from _key(scope, state, "LockKey", "kms:GenerateDataKey")
    table = state.arguments.get("dynamodb_table")
    if table:
        yield Grant(
            sid="LockTable",
            why="The lock, which is in a table of DynamoDB.",
            resources=(scope.arn("dynamodb", f"table/{table}", region=state.aws.region),),
            terraform=_ITEMS,
        )


def writes_state(scope: Scope) -> Iterator[Grant]:
    """An apply writes the state."""
    state = scope.state
    if state is None:
        return
    yield Grant(
        sid="WriteState",
        why="The state.",
        resources=(scope.bucket(state.bucket, state.key),),
        terraform=("s3:PutObject",),
    )


def keeps_runs(scope: Scope) -> Iterator[Grant]:
    """Records, logs and lock of runs."""
    state = scope.state
    if state is None:
        return
    yield Grant(
        sid="FindRuns",
        why="Which runs there are.",
        resources=(scope.bucket(state.bucket),),
        pio_tf=("s3:ListBucket",),
    )
    yield Grant(
        sid="KeepRuns",
        why="Records and logs of runs.",
        resources=(scope.bucket(state.bucket, f"{state.prefix}runs/*"),),
        pio_tf=("s3:GetObject", "s3:PutObject"),
    )
    yield Grant(
        sid="LockRuns",
        why="One training at a time.",
        resources=(scope.bucket(state.bucket, f"{state.prefix}run.lock"),),
        pio_tf=("s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
    )
    yield from _key(scope, state, "RunsKey", "kms:GenerateDataKey", ours=True)


def _key(scope: Scope, state: S3Backend, sid: str, action: str, *, ours: bool = False) -> Iterator[Grant]:
    """The backend's own key, if it names one."""
    name = str(state.arguments.get("kms_key_id") or "")
    if not name:
        return
    region = state.aws.region
    # A permission for an alias's ARN gives none for its key: that is known by the service that it is used through.
    alias = "alias/" in name
    arn = (
        name
        if name.startswith("arn:") and not alias
        else scope.arn("kms", f"key/{'*' if alias else name}", region=region)
    )
    yield Grant(
        sid=sid,
        why="The key that encrypts the bucket's objects (kms_key_id).",
        resources=(arn,),
        terraform=() if ours else (action,),
        pio_tf=(action,) if ours else (),
        conditions={"StringEquals": {"kms:ViaService": f"s3.{region}.{scope.domain}"}},
    )
