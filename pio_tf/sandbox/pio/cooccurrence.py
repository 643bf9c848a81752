"""A co-occurrence recommender with the log-likelihood ratio, on Spark, like the Universal Recommender.

For each indicator (a kind of event) it counts how many users with the primary event on item A have the indicator's
event on item B, and keeps the items B with the most surprising counts. It runs on executors without Python, because it
has only expressions, no Python functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

LLR_DECIMALS = 6
"""Ratios are rounded, so that the order of correlators does not depend on the last bits of a sum."""


def x_log_x(count: Column) -> Column:
    """Return k ln k of a count, which is 0 for 0 and 1."""
    return count * F.log(F.greatest(count, F.lit(1.0)))


def log_likelihood_ratio(*, both: Column, first: Column, second: Column, users: Column) -> Column:
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
    return F.greatest(F.lit(0.0), F.lit(2.0) * (x_log_x(users) + cells - rows - columns))


def correlators(events: DataFrame, *, primary: str, limits: Mapping[str, int]) -> DataFrame:
    """Return the strongest correlators of each item, for each indicator.

    Only users with a primary event count, as in the Universal Recommender.

    Args:
        events: columns event, user, item.
        primary: the event to recommend for.
        limits: by indicator (which may be the primary event), how many correlators an item keeps.

    Returns:
        Columns indicator, item, correlator, llr (> 0) and rank (from 1; strongest first, ties by name).
    """
    distinct = events.select("event", "user", "item").distinct()
    first = distinct.where(F.col("event") == primary).select("user", "item")
    second = (
        distinct.where(F.col("event").isin(*limits))
        .select("user", F.col("event").alias("indicator"), F.col("item").alias("correlator"))
        .join(first.select("user").distinct(), "user")
    )
    users = first.agg(F.countDistinct("user").cast("double").alias("users"))
    first_counts = first.groupBy("item").agg(_count("first_count"))
    second_counts = second.groupBy("indicator", "correlator").agg(_count("second_count"))
    both = (
        first.join(second, "user")
        .where((F.col("indicator") != primary) | (F.col("item") != F.col("correlator")))
        .groupBy("indicator", "item", "correlator")
        .agg(_count("both"))
    )
    ratio = log_likelihood_ratio(
        both=F.col("both"), first=F.col("first_count"), second=F.col("second_count"), users=F.col("users")
    )
    strongest = Window.partitionBy("indicator", "item").orderBy(F.col("llr").desc(), F.col("correlator"))
    kept = F.lit(False)
    for indicator, limit in limits.items():
        kept = kept | ((F.col("indicator") == indicator) & (F.col("rank") <= limit))
    return (
        both.join(F.broadcast(first_counts), "item")
        .join(F.broadcast(second_counts), ["indicator", "correlator"])
        .crossJoin(F.broadcast(users))
        .select("indicator", "item", "correlator", F.round(ratio, LLR_DECIMALS).alias("llr"))
        .where(F.col("llr") > 0)
        .withColumn("rank", F.row_number().over(strongest))
        .where(kept)
    )


def _count(name: str) -> Column:
    """Return the number of rows, as a double for the logarithms."""
    return F.count("*").cast("double").alias(name)
