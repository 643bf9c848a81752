"""The cost of a cluster before and after a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.load import parse_config
from pio_tf.infra.cost import HOURLY_USD, Cost, plan_cost, price_note
from tests.support.config_samples import text_with
from tests.support.plan_json import Json, change, machine, plan

if TYPE_CHECKING:
    from pio_tf.config.schema import Config


def config(**blocks: str) -> Config:
    return parse_config(text_with(**blocks), path=Path("/project/pio-tf.hcl"), environ={})


def after(*changes: Json, settings: Config | None = None) -> Cost:
    return plan_cost(settings or config(), plan(*changes))[1]


def created(*machines: Json) -> list[Json]:
    return [change("aws_instance", after=values) for values in machines]


def test_an_hour_is_the_sum_of_the_machines_and_a_month_of_stopped_ones_that_of_the_disks() -> None:
    cost = after(*created(machine("driver"), machine("worker-1", type="m5.large", gib=100)))
    assert cost.running_hourly_usd == pytest.approx(0.252 + 0.096)
    assert cost.stopped_monthly_usd == pytest.approx(150 * 0.08)
    assert cost.unknown == ()


def test_a_month_with_training_is_that_of_stopped_machines_and_so_many_hours_more() -> None:
    cost = after(*created(machine("driver")))
    assert cost.monthly_usd(0) == pytest.approx(4.0)
    assert cost.monthly_usd(100) == pytest.approx(4.0 + 25.2)


def test_an_elastic_ip_costs_every_hour_of_the_month() -> None:
    cost = after(*created(machine("driver")), change("aws_eip", after={}))
    assert cost.running_hourly_usd == pytest.approx(0.252)
    assert cost.stopped_monthly_usd == pytest.approx(4.0 + 3.65)


def test_an_idle_alarm_costs_every_month() -> None:
    alarms = [change("aws_cloudwatch_metric_alarm", after={}) for _ in range(3)]
    assert after(*created(machine("driver")), *alarms).stopped_monthly_usd == pytest.approx(4.0 + 0.3)


def test_public_addresses_of_the_subnet_cost_while_machines_run_and_not_where_an_elastic_ip_is() -> None:
    subnet = change("aws_subnet", after={"map_public_ip_on_launch": True})
    three = created(machine("driver"), machine("master"), machine("worker-1"))
    assert after(*three, subnet).running_hourly_usd == pytest.approx(3 * 0.252 + 3 * 0.005)
    assert after(*three, subnet, change("aws_eip", after={})).running_hourly_usd == pytest.approx(3 * 0.252 + 2 * 0.005)


def test_volumes_of_their_own_are_counted_once_though_their_machine_lists_them() -> None:
    disk = {"volume_id": "vol-1", "volume_type": "gp3", "volume_size": 200}
    cost = after(
        *created(machine("driver", ebs_block_device=[disk])),
        change("aws_ebs_volume", after={"id": "vol-1", "type": "gp3", "size": 200}),
    )
    assert cost.stopped_monthly_usd == pytest.approx(250 * 0.08)


@pytest.mark.parametrize(
    ("volume", "usd"),
    [
        ({"type": "gp3", "iops": 3000, "throughput": 125}, 8),
        ({"type": "gp3", "iops": 4000, "throughput": 225}, 8 + 1000 * 0.005 + 100 * 0.04),
        ({"type": "io1", "iops": 1000}, 12.5 + 65),
        ({"type": "io2", "iops": 70000}, 12.5 + 32000 * 0.065 + 32000 * 0.0455 + 6000 * 0.03185),
    ],
)
def test_iops_and_throughput_beyond_what_the_size_includes_cost_every_month(volume: Json, usd: float) -> None:
    assert after(change("aws_ebs_volume", after={"size": 100, **volume})).stopped_monthly_usd == pytest.approx(usd)


def test_before_and_after_are_those_of_the_change() -> None:
    document = plan(
        change("aws_instance", before=machine(type="r5.xlarge"), after=machine(type="r5.2xlarge")),
        change("aws_instance", after=machine("worker-2")),
    )
    before, later = plan_cost(config(), document)
    assert before.running_hourly_usd == pytest.approx(0.252)
    assert later.running_hourly_usd == pytest.approx(0.504 + 0.252)


def test_a_cluster_that_is_not_there_costs_nothing() -> None:
    assert plan_cost(config(), plan(*created(machine())))[0] == Cost(0.0, 0.0, ())


def test_a_price_that_is_not_known_is_unknown_and_not_zero() -> None:
    cost = after(*created(machine("driver"), machine("worker-1", type="x9.metal")))
    assert cost.running_hourly_usd is None
    assert cost.stopped_monthly_usd == pytest.approx(8.0)
    assert cost.monthly_usd(1) is None
    assert cost.unknown == ("instance type x9.metal",)


@pytest.mark.parametrize(
    ("disks", "unknown"),
    [
        ([{"volume_type": "standard", "volume_size": 50}], "standard disk of 50 GiB"),
        ([{"volume_type": "gp3"}], "gp3 disk of unknown size"),
        ([], "unknown disk of unknown size"),
    ],
)
def test_a_disk_without_a_price_is_unknown(disks: list[Json], unknown: str) -> None:
    cost = after(*created({**machine(), "root_block_device": disks}))
    assert cost.stopped_monthly_usd is None
    assert cost.unknown == (unknown,)


def test_prices_of_pio_tf_hcl_go_first() -> None:
    prices = 'guard {\n  hourly_prices = { "r5.xlarge" = 0.282, "x9.metal" = 99 }\n}\n'
    settings = config(guard=prices)
    assert after(*created(machine()), settings=settings).running_hourly_usd == pytest.approx(0.282)
    assert after(*created(machine(type="x9.metal")), settings=settings).running_hourly_usd == 99


def test_another_region_is_told_that_its_prices_differ() -> None:
    assert "of us-east-1, which differ from those of eu-west-1" in price_note(config())
    assert "differ" not in price_note(config(aws='aws {\n  region = "us-east-1"\n}\n'))


def test_prices_grow_with_the_size() -> None:
    sizes = ["nano", "micro", "small", "medium", "large", "xlarge"]
    for kind, price in HOURLY_USD.items():
        family, size = kind.split(".")
        larger = HOURLY_USD.get(f"{family}.{sizes[sizes.index(size) + 1]}") if size in sizes[:-1] else None
        larger = HOURLY_USD.get(f"{family}.2xlarge") if size == "xlarge" else larger
        assert larger is None or larger == pytest.approx(2 * price, rel=0.01), kind
