"""What AWS charges in us-east-1, USD: on-demand, Linux, shared tenancy. Other regions differ, most of them upwards.

Source: the price lists behind aws.amazon.com/ec2/pricing/on-demand, /ebs/pricing and /vpc/pricing, by way of public
tables made from them, compared with one another in November 2026. Taxes, discounts, traffic, extra IOPS and throughput,
and the CPU credits of t3 are not counted.
"""

from __future__ import annotations

REGION = "us-east-1"
AS_OF = "2026-11"

HOURLY_USD = {
    "m5.large": 0.096,
    "m5.xlarge": 0.192,
    "m5.2xlarge": 0.384,
    "m5.4xlarge": 0.768,
    "m5.8xlarge": 1.536,
    "m5.12xlarge": 2.304,
    "m5.16xlarge": 3.072,
    "m5.24xlarge": 4.608,
    "r3.large": 0.166,
    "r3.xlarge": 0.333,
    "r3.2xlarge": 0.665,
    "r3.4xlarge": 1.33,
    "r3.8xlarge": 2.66,
    "r4.large": 0.133,
    "r4.xlarge": 0.266,
    "r4.2xlarge": 0.532,
    "r4.4xlarge": 1.064,
    "r4.8xlarge": 2.128,
    "r4.16xlarge": 4.256,
    "r5.large": 0.126,
    "r5.xlarge": 0.252,
    "r5.2xlarge": 0.504,
    "r5.4xlarge": 1.008,
    "r5.8xlarge": 2.016,
    "r5.12xlarge": 3.024,
    "r5.16xlarge": 4.032,
    "r5.24xlarge": 6.048,
    "r5d.large": 0.144,
    "r5d.xlarge": 0.288,
    "r5d.2xlarge": 0.576,
    "r5d.4xlarge": 1.152,
    "r5d.8xlarge": 2.304,
    "r6i.large": 0.126,
    "r6i.xlarge": 0.252,
    "r6i.2xlarge": 0.504,
    "r6i.4xlarge": 1.008,
    "r6i.8xlarge": 2.016,
    "r6i.12xlarge": 3.024,
    "r6i.16xlarge": 4.032,
    "r6i.24xlarge": 6.048,
    "r6i.32xlarge": 8.064,
    "r7i.large": 0.1323,
    "r7i.xlarge": 0.2646,
    "r7i.2xlarge": 0.5292,
    "r7i.4xlarge": 1.0584,
    "r7i.8xlarge": 2.1168,
    "r7i.12xlarge": 3.1752,
    "r7i.16xlarge": 4.2336,
    "r7i.24xlarge": 6.3504,
    "r7i.48xlarge": 12.7008,
    "t3.nano": 0.0052,
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
    "t3.xlarge": 0.1664,
    "t3.2xlarge": 0.3328,
}
"""By instance type."""

GIB_MONTH_USD = {"gp2": 0.10, "gp3": 0.08, "sc1": 0.015, "st1": 0.045}
"""By volume type, whether the machine runs or not. io1, io2 and magnetic disks are charged by more than their size."""

ADDRESS_HOURLY_USD = 0.005
"""A public IPv4 address, since February 2024: an Elastic IP always, another one while its machine runs."""

ALARM_MONTH_USD = 0.10
"""A CloudWatch alarm on one metric, whether its machine runs or not. An account's first ten are free: nobody knows here
which they are."""

HOURS_PER_MONTH = 730
"""As AWS's own estimates count."""
