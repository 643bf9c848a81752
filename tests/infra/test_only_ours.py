"""A state that names machines of others: nothing of them is changed or removed, by real Terraform on a local AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.errors import GuardRefused
from pio_tf.infra.foreign_resources import find_foreign_resources
from tests.support.deployments import deployment, existing_network
from tests.support.plan_json import change, plan
from tests.support.shell import ec2
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.sandbox.aws import LocalAws


CHANGES = ("Start", "Stop", "Terminate", "Delete", "Release", "Modify", "Create", "Run", "Disassociate", "Revoke")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, aws: LocalAws, mirror: Any) -> Site:  # noqa: ANN401 - a fixture
    """Make a cluster, and machines of others in its subnet."""
    site = Site(tmp_path_factory.mktemp("ours"), name="ours", url=aws.url, mirror=mirror)
    one = deployment(site.write(network=existing_network(aws.url, "127.77.44.0/24") + "first_host = 20"))
    one.apply(one.plan())
    return site


def another_machine(site: Site, tags: dict[str, str]) -> str:
    """Start a foreign machine that looks like the worker. Return its id."""
    ours = site.instances()["worker-1"]
    made = ec2(site.url).run_instances(
        ImageId=ours["ImageId"],
        InstanceType=ours["InstanceType"],
        SubnetId=ours["SubnetId"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}],
    )
    return str(made["Instances"][0]["InstanceId"])


@pytest.fixture(params=["another cluster's", "without our tag"])
def tampered(request: pytest.FixtureRequest, made: Site) -> Iterator[tuple[Site, str]]:
    """Replace the worker's id in the state by another machine's; yield that id. Restore the state afterwards."""
    tags = {"Name": "ours-worker-1", "pio-tf:machine": "worker-1", "pio-tf:role": "worker"}
    if request.param == "another cluster's":
        tags["pio-tf:cluster"] = "theirs"
    else:
        tags = {"Name": "database"}
    theirs = another_machine(made, tags)
    state = made.directory / ".pio-tf" / "ours" / "stack" / "terraform.tfstate"
    before = state.read_text()
    state.write_text(before.replace(made.instances()["worker-1"]["InstanceId"], theirs))
    assert theirs in state.read_text()
    yield made, theirs
    state.write_text(before)


def changes(aws: LocalAws) -> dict[tuple[str, str], int]:
    return {call: count for call, count in aws.calls.items() if call[1].startswith(CHANGES)}


def test_destroy_removes_nothing_when_the_state_names_another_machine(
    tampered: tuple[Site, str], aws: LocalAws
) -> None:
    site, theirs = tampered
    before = changes(aws)
    with pytest.raises(GuardRefused) as caught:
        deployment(site.write(network=_network(site))).destroy()
    assert theirs in caught.value.cause
    assert "`state rm ADDRESS`" in caught.value.next_step
    assert changes(aws) == before
    assert set(site.instances()) == {"driver", "master", "worker-1"}


def test_apply_takes_over_no_machine_of_others(tampered: tuple[Site, str], aws: LocalAws) -> None:
    site, theirs = tampered
    before = changes(aws)
    with pytest.raises(GuardRefused) as caught:
        deployment(site.write(network=_network(site))).plan()
    assert theirs in str(caught.value)
    assert changes(aws) == before


def test_apply_puts_back_a_tag_that_our_own_machine_has_lost(made: Site) -> None:
    worker = made.instances()["worker-1"]["InstanceId"]
    ec2(made.url).delete_tags(Resources=[worker], Tags=[{"Key": "pio-tf:cluster"}])
    assert "worker-1" not in made.instances()
    one = deployment(made.write(network=_network(made)))
    one.apply(one.plan())
    assert made.instances()["worker-1"]["InstanceId"] == worker


def _network(site: Site) -> str:
    found = site.instances()["driver"]
    return f'vpc_id = "{found["VpcId"]}"\nsubnet_id = "{found["SubnetId"]}"\nfirst_host = 20'


@pytest.mark.parametrize(("owner", "is_ours"), [("", True), ("ours", True), ("theirs", False)])
def test_an_import_takes_no_machine_of_another_cluster(owner: str, is_ours: bool) -> None:
    machine = {"id": "i-2", "tags": {"Name": "spark-driver", **({"pio-tf:cluster": owner} if owner else {})}}
    imported = change("aws_instance", "machine", before=machine, after=machine, actions=("no-op",))
    imported["change"]["importing"] = {"id": "i-2"}
    found = [foreign.id for foreign in find_foreign_resources(plan(imported), cluster="ours")]
    assert found == ([] if is_ours else ["i-2"])


@pytest.mark.parametrize(("value", "is_ours"), [("ours", True), ("theirs", False)])
def test_a_tag_goes_only_from_a_machine_that_carries_ours(value: str, is_ours: bool) -> None:
    tags = {"pio-tf:cluster": value, "pio-tf:role": "driver"}
    removed = [
        change("aws_ec2_tag", key, before={"id": f"i-2,{key}", "resource_id": "i-2", "key": key, "value": tags[key]})
        for key in tags
    ]
    found = [foreign.address for foreign in find_foreign_resources(plan(*removed), cluster="ours")]
    assert found == ([] if is_ours else [*tags])


OURS = {"id": "sg-1", "tags": {"pio-tf:cluster": "ours"}}


@pytest.mark.parametrize(
    ("before", "is_ours"),
    [
        ({"id": "rule-1", "security_group_id": "sg-1"}, True),
        ({"id": "rule-1", "security_group_id": "sg-2"}, False),
        ({"id": "x", "tags": {"pio-tf:cluster": "ours"}}, True),
        ({"id": "x", "tags": {"pio-tf:cluster": "theirs"}}, False),
        ({"id": "x", "tags": None, "tags_all": {"pio-tf:cluster": "ours"}}, True),
        ({"id": "x", "tags": {}}, False),
        ({"id": "alarm", "dimensions": {"InstanceId": "i-2"}, "tags": {"pio-tf:cluster": "theirs"}}, False),
        ({"id": "role:policy", "role": "sg-1"}, True),
        ({"id": "role:policy", "role": "admin"}, False),
    ],
)
def test_what_a_destruction_removes_has_our_tag_or_hangs_on_what_has_it(before: dict[str, Any], is_ours: bool) -> None:
    removed = plan(change("aws_security_group", "group", before=OURS), change("aws_thing", "thing", before=before))
    found = [foreign.address for foreign in find_foreign_resources(json.loads(json.dumps(removed)), cluster="ours")]
    assert found == ([] if is_ours else ["thing"])
