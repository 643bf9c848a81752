"""AWS's price list, as its API answers: a product for each type in a region, and further ones without a price."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.support.places import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass
class PriceListServer:
    """A server of prices.

    Args:
        prices: USD by region and type.
    """

    prices: Mapping[tuple[str, str], float]
    asked: list[dict[str, str]] = field(default_factory=list)
    """The filters of each request."""
    status: int = 200

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Yield the address."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
                assert request["ServiceCode"] == "AmazonEC2"
                assert {one["Type"] for one in request["Filters"]} == {"TERM_MATCH"}
                answer = json.dumps({"PriceList": server.products(request["Filters"])}).encode()
                self.send_response(server.status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        with serving(Handler) as url:
            yield url

    def products(self, filters: list[dict[str, str]]) -> list[str]:
        """Return the products that AWS would: strings of JSON."""
        wanted = {one["Field"]: one["Value"] for one in filters}
        self.asked.append(wanted)
        kind = wanted.get("instanceType") or wanted["volumeApiName"]
        usd = self.prices.get((wanted["regionCode"], kind))
        reserved: dict[str, Any] = {"product": {"sku": "R"}, "terms": {"Reserved": {}}}
        return [json.dumps(one) for one in ([] if usd is None else [reserved, _product(usd)])]


def _product(usd: float) -> dict[str, Any]:
    dimension = {"unit": "Hrs", "beginRange": "0", "endRange": "Inf", "pricePerUnit": {"USD": f"{usd:.10f}"}}
    term = {"sku": "S", "offerTermCode": "JRTCKXETXF", "priceDimensions": {"S.JRTCKXETXF.6YS6EN2CT7": dimension}}
    return {"product": {"sku": "S"}, "serviceCode": "AmazonEC2", "terms": {"OnDemand": {"S.JRTCKXETXF": term}}}
