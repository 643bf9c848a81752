"""A co-occurrence recommender with the log-likelihood ratio, on Spark, like the Universal Recommender.

For each indicator (a kind of event) it counts how many users with the primary event on item A have the indicator's
event on item B, and keeps the items B with the most surprising counts. The executors count, the driver compares.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from java_spark import Spark  # type: ignore[import-not-found]  # it is beside this file

Correlators: TypeAlias = "dict[str, dict[str, list[dict[str, Any]]]]"
"""By item and indicator: the correlators as ``{"item": …, "llr": …}``, strongest first."""

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
    return max(0.0, 2.0 * (x_log_x(users) + cells - rows - columns))


def correlators(
    spark: Spark, events: Collection[tuple[str, str, str]], *, primary: str, limits: Mapping[str, int]
) -> Correlators:
    """Return the strongest correlators of each item, for each indicator.

    Only users with a primary event count, as in the Universal Recommender.

    Args:
        spark: the cluster that counts.
        events: event, user, item.
        primary: the event to recommend for.
        limits: by indicator (which may be the primary event), how many correlators an item keeps.
    """
    first = sorted({(user, item) for event, user, item in events if event == primary})
    buyers = {user: number for number, user in enumerate(dict(first))}
    second = sorted({(user, (event, item)) for event, user, item in events if event in limits and user in buyers})
    if not first or not second:
        return {}
    first_counts = Counter(item for _, item in first)
    second_counts = Counter(indication for _, indication in second)
    items, indications = list(first_counts), list(second_counts)
    counts = spark.count_pairs(_numbers(first, buyers, items), _numbers(second, buyers, indications))
    found: Correlators = {}
    for (one, other), both in counts.items():
        item, (indicator, correlator) = items[one], indications[other]
        ratio = log_likelihood_ratio(
            both=both, first=first_counts[item], second=second_counts[indications[other]], users=len(buyers)
        )
        if (indicator, correlator) != (primary, item) and (llr := round(ratio, LLR_DECIMALS)) > 0:
            found.setdefault(item, {}).setdefault(indicator, []).append({"item": correlator, "llr": llr})
    for by_indicator in found.values():
        for indicator, strongest in by_indicator.items():
            strongest.sort(key=lambda one: (-one["llr"], one["item"]))
            del strongest[limits[indicator] :]
    return found


def _numbers(
    pairs: list[tuple[str, Any]], buyers: Mapping[str, int], values: Collection[object]
) -> list[tuple[int, int]]:
    """Return users and values as numbers, which have the same form in Python and in Java."""
    numbers = {value: number for number, value in enumerate(values)}
    return [(buyers[user], numbers[value]) for user, value in pairs]
