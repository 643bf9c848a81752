"""AWS's own price list: what an hour of an instance type and a month of a GiB cost in a region.

Source: the Price List Query API, GetProducts of the service AmazonEC2. It answers in a few regions only, for all of
them: docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from pio_tf.aws.errors import aws_errors

if TYPE_CHECKING:
    from pio_tf.fact_cache import FactCache

API_REGION = "us-east-1"
"""A region in which the API answers."""
KEPT_DAYS = 30
"""AWS changes the price of an instance type rarely, and then mostly downwards."""
_ON_DEMAND = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
"""The attributes of the one product of an instance type that machines of pio-tf are billed as."""
_Attributes = Mapping[str, str]


@dataclass(frozen=True, config=ConfigDict(allow_inf_nan=False, defer_build=True))
class PriceList:
    """Prices in a region, in USD: on demand, Linux, shared tenancy."""

    region: str
    read_on: date
    hourly: Mapping[str, float | None] = field(default_factory=dict)
    """Of an instance type; None: AWS was asked, and has none."""
    gib_month: Mapping[str, float | None] = field(default_factory=dict)
    """Of a volume type, likewise: ``gp3``."""

    @property
    def knows_any(self) -> bool:
        """Whether AWS was asked for a price."""
        return bool(self.hourly or self.gib_month)

    def lacks(self, instance_types: Iterable[str], volume_types: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return those of these types that AWS was not asked for."""
        return set(instance_types) - self.hourly.keys(), set(volume_types) - self.gib_month.keys()

    def with_(self, more: PriceList) -> PriceList:
        """Return both lists as one, as old as this one."""
        return replace(self, hourly={**self.hourly, **more.hourly}, gib_month={**self.gib_month, **more.gib_month})


_READER = TypeAdapter(PriceList)


class KeptPrices:
    """The prices in a region that a user's commands have read.

    Args:
        kept: what those commands keep.
    """

    def __init__(self, kept: FactCache, region: str) -> None:
        self._kept = kept
        self._region = region

    def read(self, today: date) -> PriceList | None:
        """Return the prices; None: there are none, or they are old."""
        with suppress(ValueError):
            found = _READER.validate_python(self._kept.read(f"prices-{self._region}", key=[self._region]))
            if timedelta() <= today - found.read_on <= timedelta(KEPT_DAYS):
                return found
        return None

    def write(self, prices: PriceList) -> None:
        """Keep the prices, if that is possible."""
        value = asdict(prices) | {"read_on": prices.read_on.isoformat()}
        self._kept.write(f"prices-{self._region}", value, key=[self._region])


def read_price_list(
    pricing: Any,  # noqa: ANN401 - botocore makes its methods
    region: str,
    today: date,
    *,
    instance_types: Iterable[str],
    volume_types: Iterable[str],
) -> PriceList:
    """Ask AWS for these prices, all at once.

    Args:
        pricing: a client of ``pricing`` in :data:`API_REGION`.

    Raises:
        AwsError: AWS can't be asked.
    """
    hours = {name: {**_ON_DEMAND, "instanceType": name} for name in instance_types}
    months = {name: {"productFamily": "Storage", "volumeApiName": name} for name in volume_types}

    def price(attributes: _Attributes) -> float | None:
        return next(_prices(pricing, {**attributes, "regionCode": region, "locationType": "AWS Region"}), None)

    with aws_errors("reading AWS's price list", service="pricing"), ThreadPoolExecutor() as threads:
        found = list(threads.map(price, (*hours.values(), *months.values())))
    return PriceList(
        region,
        today,
        hourly=dict(zip(hours, found[: len(hours)], strict=True)),
        gib_month=dict(zip(months, found[len(hours) :], strict=True)),
    )


def _prices(pricing: Any, attributes: _Attributes) -> Iterator[float]:  # noqa: ANN401
    """Yield the price of a unit of each product. Products such as reservations have none."""
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in attributes.items()]
    for text in pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]:
        for term in json.loads(text)["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                usd = float(dimension["pricePerUnit"].get("USD", 0))  # in China, the currency is CNY
                if usd:
                    yield usd
