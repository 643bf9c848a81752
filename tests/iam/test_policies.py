"""`pio-tf iam`: what the policies say for configurations of all kinds, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.cli.results.pipelines import IamResult
from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from pio_tf.iam import ROLES, policies
from tests.support.json_check import mistakes
from tests.support.shell import Project

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.iam import Policy

ACCOUNT = "123456789012"
ROLE_ARN = "arn:aws:iam::210987654321:role/pio-tf"
STATE = 'backend "s3" {\n  bucket = "states"\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, name="ur")


def policy(project: Project, role: str, account: str = "", **blocks: str) -> Policy:
    """Return the policy of a role for the cluster of these blocks."""
    (found,) = policies(load_config(project.write(**blocks), environ={}), role, account=account)
    return found


def resources(found: Policy, sid: str) -> list[str]:
    return list(statement(found, sid)["Resource"])


def statement(found: Policy, sid: str) -> dict[str, Any]:
    (one,) = [one for one in found.document["Statement"] if one["Sid"] == sid]
    return dict(one)


def sids(found: Policy) -> set[str]:
    return {one["Sid"] for one in found.document["Statement"]}


def test_the_document_alone_is_written_ready_for_iam(project: Project) -> None:
    project.write()
    done = project.run("iam", "--for", "train", "--account", ACCOUNT)
    document = json.loads(done.stdout)
    assert set(document) == {"Version", "Statement"}
    assert f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*" in done.stdout


def test_without_a_role_all_are_shown_with_what_they_are_for(project: Project) -> None:
    project.write()
    table = project.run("iam").stdout
    assert [line.split()[0] for line in table.splitlines()[1:6]] == ["plan", "apply", "train", "schedule", "destroy"]
    roles = json.loads(project.run("iam", "--json").stdout)["roles"]
    of_all = ["plan", "apply", "train", "schedule", "destroy", "init", "list", "cost", "boundary"]
    assert [one["role"] for one in roles] == of_all


def test_each_call_is_listed_with_who_makes_it(project: Project) -> None:
    project.write()
    (role,) = json.loads(project.run("iam", "--for", "apply", "--json").stdout)["roles"]
    calls = {(one["statement"], one["action"]): one for one in role["calls"]}
    assert calls["MakeMachines", "ec2:RunInstances"]["by"] == ["terraform"]
    assert calls["ChangeMachines", "ec2:StopInstances"]["by"] == ["terraform", "pio-tf"]
    assert calls["Look", "ec2:DescribeImages"]["by"] == ["terraform", "pio-tf"]
    assert calls["Look", "ec2:DescribeVolumesModifications"]["by"] == ["terraform"]
    assert {one["Sid"] for one in role["policy"]["Statement"]} == {one["statement"] for one in role["calls"]}


@pytest.mark.parametrize("options", [[], ["--for", "train"]])
def test_json_is_as_its_schema_says(project: Project, options: list[str]) -> None:
    project.write()
    result = json.loads(project.run("iam", *options, "--json").stdout)
    assert mistakes(result, IamResult) == []


def test_an_unknown_role_is_wrong_usage_and_the_roles_are_listed(project: Project) -> None:
    project.write()
    said = project.fails("iam", "--for", "admin", exit_code=2)
    assert "there is no role 'admin'" in said
    assert "plan, apply, train, schedule, destroy, mirror, engine, ssh, init, list, cost, assume" in said


def test_archives_of_engines_are_kept_at_one_place_only(project: Project) -> None:
    project.write()
    done = project.run("iam", "--for", "engine", "--archives", "s3://engines/ur")
    assert [(one["Action"], one["Resource"]) for one in json.loads(done.stdout)["Statement"]] == [
        (["s3:ListBucket"], ["arn:aws:s3:::engines"]),
        (["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::engines/ur/*"]),
    ]
    assert "--archives s3://bucket/prefix" in project.fails("iam", "--for", "engine", exit_code=2)
    wrong = project.fails("iam", "--for", "engine", "--archives", "engines", exit_code=2)
    assert "--archives 'engines' is no S3 address" in wrong


def test_without_an_account_arns_have_a_star_and_the_user_is_told(project: Project) -> None:
    project.write()
    done = project.run("iam", "--for", "train")
    assert "arn:aws:ec2:us-east-1:*:instance/*" in done.stdout
    assert "the account is unknown" in done.stderr
    assert "--account" in done.stderr
    assert "not known" not in project.run("iam", "--for", "train", "--account", ACCOUNT).stderr


@pytest.mark.parametrize("account", ["12345", "123456789o12", "arn:aws:iam::123456789012:root"])
def test_what_is_no_account_is_refused(project: Project, account: str) -> None:
    project.write()
    assert "is not an AWS account" in project.fails("iam", "--for", "plan", "--account", account, exit_code=2)


def test_the_account_of_the_role_that_is_assumed_is_known_and_no_other_is_taken(project: Project) -> None:
    aws = f'region = "us-east-1"\nassume_role {{\n  role_arn = "{ROLE_ARN}"\n}}'
    assert resources(policy(project, "train", aws=aws), "Power") == ["arn:aws:ec2:us-east-1:210987654321:instance/*"]
    with pytest.raises(ConfigError, match="account 210987654321, not 123456789012"):
        policy(project, "train", ACCOUNT, aws=aws)


def test_what_assumes_the_role_needs_that_alone(project: Project) -> None:
    aws = f'region = "us-east-1"\nassume_role {{\n  role_arn = "{ROLE_ARN}"\n}}'
    found = policy(project, "assume", aws=aws)
    assert found.document["Statement"] == [
        {"Sid": "AssumeRole", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": [ROLE_ARN]}
    ]
    assert any("--for assume" in note for note in policy(project, "plan", aws=aws).notes)


def test_where_nothing_is_assumed_that_is_said(project: Project) -> None:
    with pytest.raises(ConfigError, match="names no role to assume"):
        policy(project, "assume")


def test_the_state_is_its_object_and_its_lock_and_no_more(project: Project) -> None:
    found = policy(project, "plan", terraform=STATE + "}")
    assert resources(found, "ReadState") == ["arn:aws:s3:::states/pio-tf/ur/terraform.tfstate"]
    assert statement(found, "ReadState")["Action"] == ["s3:GetObject"]
    assert resources(found, "LockState") == ["arn:aws:s3:::states/pio-tf/ur/terraform.tfstate.tflock"]
    assert "WriteState" not in sids(found)
    assert "WriteState" in sids(policy(project, "apply", terraform=STATE + "}"))
    train = policy(project, "train", terraform=STATE + "}")
    assert resources(train, "KeepRuns") == ["arn:aws:s3:::states/pio-tf/ur/runs/*"]
    assert resources(train, "LockRuns") == ["arn:aws:s3:::states/pio-tf/ur/run.lock"]
    assert "LockState" not in sids(train), "training reads the state, and takes no lock"


def test_an_apply_takes_the_run_lock_and_writes_no_run(project: Project) -> None:
    found = policy(project, "apply", terraform=STATE + "}")
    assert resources(found, "LockRuns") == ["arn:aws:s3:::states/pio-tf/ur/run.lock"]
    assert resources(found, "FindRun") == ["arn:aws:s3:::states/pio-tf/ur/runs/*"]
    assert statement(found, "FindRun")["Action"] == ["s3:GetObject"]
    assert "LockRuns" not in sids(policy(project, "plan", terraform=STATE + "}"))


def test_calls_on_the_same_resources_are_one_statement_with_all_its_reasons(project: Project) -> None:
    found = policy(project, "apply", terraform=f'{STATE}kms_key_id = "ab"\n}}')
    assert statement(found, "UseKey")["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    (look,) = [grant for grant in found.grants if grant.sid == "Look"]
    assert look.why == (
        "Read what exists. Check that everything that pio-tf.hcl names exists and fits. Check whether a disk has grown."
    )


def test_a_local_state_needs_nothing_of_s3(project: Project) -> None:
    for role in ROLES[:5]:
        assert "s3:" not in json.dumps(policy(project, role.name).document)


def test_a_lock_in_a_table_is_that_table(project: Project) -> None:
    found = policy(project, "plan", ACCOUNT, terraform=STATE + 'region = "eu-west-1"\ndynamodb_table = "locks"\n}')
    assert resources(found, "LockTable") == [f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/locks"]
    assert "LockState" not in sids(found)


@pytest.mark.parametrize(
    ("key", "arn"),
    [
        ("arn:aws:kms:us-east-1:1:key/ab", "arn:aws:kms:us-east-1:1:key/ab"),
        ("ab-12", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/ab-12"),
        ("alias/states", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/*"),
    ],
)
def test_the_key_of_the_bucket_is_used_through_s3_alone(project: Project, key: str, arn: str) -> None:
    found = policy(project, "plan", ACCOUNT, terraform=f'{STATE}kms_key_id = "{key}"\n}}')
    assert resources(found, "UseKey") == [arn]
    conditions = statement(found, "UseKey")["Condition"]
    assert conditions["StringEquals"] == {"kms:ViaService": "s3.us-east-1.amazonaws.com"}
    alias = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": key}} if arn.endswith("*") else {}
    assert {name: value for name, value in conditions.items() if name != "StringEquals"} == alias


def test_the_key_of_the_disks_is_used_through_ec2_also_by_those_that_start_machines(project: Project) -> None:
    blocks = {"machines": 'kms_key_id = "alias/disks"', "schedule": 'timezone = "UTC"'}
    only = {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}
    for role in ("apply", "train", "boundary"):
        starts = statement(policy(project, role, ACCOUNT, **blocks), "StartWithDiskKey")
        assert starts["Action"] == ["kms:CreateGrant"]
        assert starts["Resource"] == [f"arn:aws:kms:us-east-1:{ACCOUNT}:key/*"]
        assert starts["Condition"] == {
            "Bool": {"kms:GrantIsForAWSResource": "true"},
            "StringEquals": only,
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/disks"},
        }
    encrypts = statement(policy(project, "apply", ACCOUNT, **blocks), "EncryptDisks")
    assert encrypts["Condition"]["StringEquals"] == only
    assert "EncryptDisks" not in sids(policy(project, "plan", ACCOUNT, **blocks))


@pytest.mark.parametrize(
    ("name", "arn", "owner"),
    [
        ("/aws/service/canonical/ubuntu/x/ami-id", "arn:aws:ssm:us-east-1::parameter/aws/service/", ["099720109477"]),
        ("/images/driver", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/images/driver", None),
    ],
)
def test_a_parameter_with_an_image_may_be_read_and_its_publishers_images_used(
    project: Project, name: str, arn: str, owner: list[str] | None
) -> None:
    machine = f'ami_parameter = "{name}"'
    found = policy(project, "apply", ACCOUNT, driver=f"{machine}\nallow_small_memory = true", spark=machine)
    (read,) = resources(found, "ReadImageIds")
    assert read.startswith(arn)
    conditions = statement(found, "ImagesOfOwner").get("Condition", {})
    assert conditions.get("StringEquals", {}).get("ec2:Owner") == owner


@pytest.mark.parametrize(
    ("reference", "sid", "arn"),
    [
        ('ssm("/pio/es")', "ReadParameters", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/pio/es"),
        ('ssm("es:3")', "ReadParameters", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/es"),
        (
            'ssm("arn:aws:ssm:us-east-1:1:parameter/a:7")',
            "ReadParameters",
            "arn:aws:ssm:us-east-1:1:parameter/a",
        ),
        (
            'secretsmanager("pio/es", "password")',
            "ReadSecrets",
            f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:pio/es-??????",
        ),
        (
            'secretsmanager("arn:aws:secretsmanager:us-east-1:1:secret:es-a1B2c3")',
            "ReadSecrets",
            "arn:aws:secretsmanager:us-east-1:1:secret:es-a1B2c3",
        ),
    ],
)
def test_passwords_are_read_by_those_who_train_and_these_passwords_only(
    project: Project, reference: str, sid: str, arn: str
) -> None:
    elasticsearch = f'hosts = ["es"]\nuser = "pio"\npassword = {reference}'
    found = policy(project, "train", ACCOUNT, elasticsearch=elasticsearch)
    assert resources(found, sid) == [arn]
    assert any("kms:Decrypt" in note for note in found.notes)
    assert sid not in sids(policy(project, "apply", ACCOUNT, elasticsearch=elasticsearch))


def test_uploads_go_to_the_cluster_s_own_place(project: Project) -> None:
    found = policy(project, "train", train='upload = "s3://kept/all/"')
    assert resources(found, "Upload") == ["arn:aws:s3:::kept/all/ur/*"]
    assert resources(found, "FindUploads") == ["arn:aws:s3:::kept"]


def test_messages_go_to_the_topic_of_the_notify_block(project: Project) -> None:
    topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:trainings"
    notify = f'sns_topic = "{topic}"\nwebhook = ssm("/webhook")'
    found = policy(project, "train", ACCOUNT, notify=notify)
    assert statement(found, "Notify")["Action"] == ["sns:Publish"]
    assert resources(found, "Notify") == [topic]
    assert resources(found, "ReadParameters") == [f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/webhook"]
    assert "Notify" not in sids(policy(project, "apply", ACCOUNT, notify=notify))


def test_rules_for_messages_about_the_deadline_send_to_that_topic_and_nowhere_else(project: Project) -> None:
    topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:trainings"
    found = policy(project, "apply", ACCOUNT, notify=f'sns_topic = "{topic}"')
    assert resources(found, "MakeRules") == [f"arn:aws:events:us-east-1:{ACCOUNT}:rule/pio-tf-ur-deadline*"]
    assert statement(found, "MakeRules")["Condition"] == {"ForAllValues:ArnEquals": {"events:TargetArn": [topic]}}
    without = policy(project, "apply", ACCOUNT, notify=f'sns_topic = "{topic}"\non = ["failed"]')
    assert not {"MakeRules", "LookAtRules"} & sids(without)


def test_machines_get_the_role_of_their_profile_and_its_name_is_noted(project: Project) -> None:
    found = policy(project, "apply", ACCOUNT, machines='instance_profile = "ours"')
    assert resources(found, "PassMachineRole") == [f"arn:aws:iam::{ACCOUNT}:role{path}/ours" for path in ("", "/*")]
    assert statement(found, "PassMachineRole")["Condition"] == {
        "StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}
    }
    assert any("a role named ours" in note for note in found.notes)
    assert not sids(policy(project, "apply", ACCOUNT)) & {"PassMachineRole", "CheckProfile"}


def test_sessions_of_systems_manager_go_to_the_cluster_s_machines_and_carry_ssh_alone(project: Project) -> None:
    found = policy(project, "ssh", ACCOUNT, ssh='key = "id_ed25519"\nvia = "ssm"')
    assert resources(found, "Session") == [f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*"]
    assert statement(found, "Session")["Condition"] == {
        "StringEquals": {"ssm:resourceTag/pio-tf:cluster": "ur"},
        "BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"},
    }
    assert resources(found, "SessionDocument") == ["arn:aws:ssm:us-east-1::document/AWS-StartSSHSession"]
    assert resources(found, "OwnSessions") == [f"arn:aws:ssm:us-east-1:{ACCOUNT}:session/${{aws:userid}}-*"]


@pytest.mark.parametrize(
    ("machines", "role"),
    [
        ("make_instance_profile = true", "pio-tf/pio-ec2-ur-us-east-1"),
        ('instance_profile = "ours"', "ours"),
        ("", None),
    ],
)
def test_the_way_through_systems_manager_may_ask_why_an_agent_is_silent(
    project: Project, machines: str, role: str | None
) -> None:
    ssh = 'key = "id_ed25519"\nvia = "ssm"'
    found = policy(project, "ssh", ACCOUNT, ssh=ssh, machines=machines)
    assert statement(found, "FindAgents")["Action"] == ["ec2:DescribeInstances", "ssm:DescribeInstanceInformation"]
    (setting,) = resources(found, "FindDefaultRole")
    assert setting.endswith(":servicesetting/ssm/managed-instance/default-ec2-instance-management-role")
    if role is None:
        assert "TryMachineRole" not in sids(found)
    else:
        assert resources(found, "TryMachineRole")[0] == f"arn:aws:iam::{ACCOUNT}:role/{role}"
        assert statement(found, "TryMachineRole")["Action"] == ["iam:SimulatePrincipalPolicy"]


def test_tunnels_of_instance_connect_go_to_the_ssh_port_alone(project: Project) -> None:
    found = policy(project, "ssh", ACCOUNT, ssh='key = "id_ed25519"\nvia = "instance-connect"')
    assert statement(found, "Tunnel")["Action"] == ["ec2-instance-connect:OpenTunnel"]
    assert resources(found, "Tunnel") == [f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance-connect-endpoint/*"]
    assert statement(found, "Tunnel")["Condition"] == {"NumericEquals": {"ec2-instance-connect:remotePort": "22"}}
    assert "FindEndpoints" in sids(found)


def test_a_driver_that_is_reached_without_aws_needs_no_policy_for_it(project: Project) -> None:
    with pytest.raises(ConfigError, match="connects to the driver without AWS"):
        policy(project, "ssh", ACCOUNT)


def test_types_that_the_guard_allows_are_those_that_may_be_started(project: Project) -> None:
    found = policy(project, "apply", guard='instance_types = ["m5.*"]')
    assert statement(found, "MakeMachines")["Condition"]["StringLike"] == {"ec2:InstanceType": ["m5.*"]}


def test_burstable_types_are_asked_for_their_credits(project: Project) -> None:
    asked = "ec2:DescribeInstanceCreditSpecifications"
    small = policy(project, "plan", spark='instance_type = "t3.xlarge"\nworkers = 1')
    assert asked in statement(small, "Look")["Action"]
    assert asked not in statement(policy(project, "plan"), "Look")["Action"]


def test_in_china_arns_and_addresses_are_china_s(project: Project) -> None:
    found = policy(project, "plan", aws='region = "cn-north-1"', terraform=STATE + 'kms_key_id = "ab"\n}')
    assert resources(found, "ReadState") == ["arn:aws-cn:s3:::states/pio-tf/ur/terraform.tfstate"]
    assert "s3.cn-north-1.amazonaws.com.cn" in json.dumps(found.document)


def test_every_policy_fits_into_a_role_and_names_no_statement_twice(project: Project) -> None:
    everything = {
        "network": 'cidr = "10.0.0.0/24"\npublic_ips = true\ndriver_eip = true\navailability_zone = "us-east-1a"',
        "elasticsearch": 'hosts = ["es"]\nuser = "pio"\npassword = ssm("/pio/es")',
        "terraform": f'{STATE}kms_key_id = "ab"\ndynamodb_table = "locks"\nuse_lockfile = true\n}}',
        "train": 'upload = "s3://uploads/pio"',
        "guard": 'instance_types = ["m5.*", "r5.*"]',
    }
    project.name = "a-name-that-is-as-long-as-names-of-clusters"[:40]
    for role in ROLES[:5]:
        found = policy(project, role.name, ACCOUNT, **everything)
        named = [grant.sid for grant in found.grants]
        assert len(named) == len(set(named)), role.name
        assert all(name.isalnum() for name in named)
        assert len("".join(json.dumps(found.document).split())) <= 10240, "IAM's limit"
    longer = policy(project, "apply", ACCOUNT, **everything, machines="make_instance_profile = true")
    assert any("attach its statements in 2 managed policies" in note for note in longer.notes)
    scratch = "scratch_volume {\n  gib = 20\n}"
    machines = 'make_instance_profile = true\nkms_key_id = "alias/disks"'
    longest = policy(
        project, "apply", ACCOUNT, **everything, machines=machines, spark=scratch, schedule='timezone = "UTC"'
    )
    assert any("attach its statements in 3 managed policies" in note for note in longest.notes)


def test_only_what_only_looks_is_allowed_on_everything(project: Project) -> None:
    for role in ROLES[:5]:
        for one in policy(project, role.name).document["Statement"]:
            if one["Resource"] == ["*"]:
                looks = ("ec2:Describe", "sts:GetCallerIdentity", "scheduler:ListSchedules")
                assert all(action.startswith(looks) for action in one["Action"])
