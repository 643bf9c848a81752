"""The names that progress gives to Terraform's resources."""

from __future__ import annotations

import pytest

from pio_tf.cli.resource_names import resource_name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("module.driver.module.machine.aws_instance.this", "driver"),
        ("module.spark_cluster.module.master.aws_instance.this", "master"),
        ('module.spark_cluster.module.worker["worker-1"].aws_instance.this', "worker-1"),
        ("module.driver.aws_eip.this[0]", "driver's EIP"),
        (
            'module.spark_cluster.module.worker["worker-2"].aws_cloudwatch_metric_alarm.idle[0]',
            "worker-2's alarm idle",
        ),
        ("module.network.aws_vpc.this[0]", "VPC"),
        ("module.failsafe.aws_iam_role_policy.deadline[0]", "IAM role policy deadline"),
        ('module.security.aws_security_group_rule.ssh["10.1.0.0/16"]', "security group rule ssh 10.1.0.0/16"),
        ("aws_key_pair.this[0]", "key pair"),
        ("aws_instance.by_a_user", "instance by_a_user"),
        ("data.aws_ami.this", "data.aws_ami.this"),
        ("null_resource.x", "null_resource.x"),
        ("", ""),
    ],
)
def test_a_resource_has_the_name_of_its_machine_or_kind(address: str, name: str) -> None:
    assert resource_name(address) == name
