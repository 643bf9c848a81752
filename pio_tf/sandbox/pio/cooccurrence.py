"""A co-occurrence recommender with the log-likelihood ratio, on Spark, like the Universal Recommender.

For each indicator (a kind of event) it counts how many users with the primary event on item A have the indicator's
event on item B, and keeps the items B with the most surprising counts. The executors count the pairs. The rest is done
here, because loading and compiling Spark SQL would take ten times as long as the calculation.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark import SparkContext

LLR_DECIMALS = 6
"""Ratios are rounded, so that the order of correlators does not depend on the last bits of a sum."""


def x_log_x(count: int) -> float:
    """Return k ln k of a count, which is 0 for 0 and 1."""
    return count * math.log(count) if count else 0.0


def log_likelihood_ratio(*, both: int, first: int, second: int, users: int) -> float:
    """Return G2 of a 2x2 table of users: 2 (H(rows) + H(columns) - H(cells)) with H = N ln N - sum(k ln k), at least 0.

    T. Dunning, "Accurate Methods for the Statistics of Surprise and Coincidence", Computational Linguistics 19(1),
    1993, in the form with entropies of his "Surprise and Coincidence" (2008), which Apache Mahout also uses. The
    N ln N of two of the three entropies cancel; this is the sum of the rest.

    Args:
        both: users with both events.
        first: users with the first event, with or without the second.
        second: users with the second event, with or without the first.
        users: all users.
    """
    cells = x_log_x(both) + x_log_x(first - both) + x_log_x(second - both) + x_log_x(users - first - second + both)
    rows = x_log_x(first) + x_log_x(users - first)
    columns = x_log_x(second) + x_log_x(users - second)
    return max(0.0, 2 * (x_log_x(users) + cells - rows - columns))


def correlators(
    context: SparkContext,
    events: Sequence[tuple[str, str, str]],
    *,
    primary: str,
    limits: Mapping[str, int],
    partitions: int,
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the strongest correlators: by item and indicator, a list of item and llr (> 0), strongest first.

    Only users with a primary event count, as in the Universal Recommender. Ties are in the order of the items' names.

    Args:
        events: event, user and item of each.
        primary: the event to recommend for.
        limits: by indicator (which may be the primary event), how many correlators an item keeps.
        partitions: how many tasks count the pairs.
    """
    users: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for event, user, item in events:
        users[user].add((event, item))
    buyers = [found for found in users.values() if any(event == primary for event, _ in found)]
    indicators = frozenset(limits)

    # Nested, so that Spark sends the executors its code: they do not have this module.
    def pairs(found: set[tuple[str, str]]) -> Iterator[tuple[tuple[str, str, str], int]]:
        bought = [item for event, item in found if event == primary]
        for event, other in found:
            if event in indicators:
                for item in bought:
                    if (event, other) != (primary, item):
                        yield (event, item, other), 1

    both = context.parallelize(buyers, partitions).flatMap(pairs).reduceByKey(lambda one, more: one + more)
    counts = Counter(one for found in buyers for one in found)
    strongest: dict[str, dict[str, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
    for (indicator, item, other), count in both.collect():
        ratio = log_likelihood_ratio(
            both=count, first=counts[primary, item], second=counts[indicator, other], users=len(buyers)
        )
        llr = round(ratio, LLR_DECIMALS)
        if llr > 0:
            strongest[item][indicator].append((-llr, other))
    return {
        item: {
            indicator: [{"item": other, "llr": -llr} for llr, other in sorted(found[indicator])[:limit]]
            for indicator, limit in limits.items()
            if indicator in found
        }
        for item, found in strongest.items()
    }
