"""A seeded generator of a messy table, for tests and documentation: customers of a chain of stores.

It holds what real tables hold: an id, a time, a group (store), a sensitive attribute (gender), free
text, a column of many values (city), missing values, duplicate rows, and a drift over time. Two
columns can be learnt: `churned` (classes) and `spend` (numbers).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROWS = 2000
SEED = 0
STORES = 40
CITIES = 200
# From this share of the time on, incomes are higher and the plan weighs less on churn.
DRIFT_BEGINS = 0.7
PRAISE = ("friendly staff", "great choice", "quick delivery", "fair prices", "easy returns")
BLAME = ("long queues", "late delivery", "rude staff", "goods broken on arrival", "no refund")
OPENINGS = ("Overall I found", "As always there was", "This month I saw", "My family noticed")

Floats = NDArray[np.float64]


def sample_table(rows: int = ROWS, seed: int = SEED) -> pd.DataFrame:
    """Return the table; the same rows and seed give the same values.

    Args:
        rows: Number of rows, at least 1; one in a hundred repeats another.
        seed: Of every random choice.

    Returns:
        Columns customer_id, signup, store, city, gender, age, income, plan, visits, newsletter,
        rating, comment, spend and churned.
    """
    random = np.random.default_rng(seed)
    when = np.sort(random.uniform(0, 1, rows))
    late = when > DRIFT_BEGINS
    age = np.clip(random.normal(45, 15, rows), 18, 95).round()
    income = random.lognormal(10.3, 0.4, rows) * np.where(late, 1.25, 1.0)
    plan = random.choice(["basic", "plus", "family", "business"], rows, p=[0.5, 0.25, 0.15, 0.1])
    visits = random.poisson(np.where(plan == "basic", 4, 8))
    rating = np.clip(random.normal(3.5, 1, rows).round(), 1, 5)
    store = random.integers(0, STORES, rows)
    store_effect = random.normal(0, 0.4, STORES)[store]
    score = (
        1.2 * (3.5 - rating)
        - 0.25 * (visits - 5)
        + np.where(late, 0.4, 1.2) * (plan == "basic")
        - 0.02 * (age - 45)
        + store_effect
    )
    churned = random.uniform(size=rows) < 1 / (1 + np.exp(0.3 - score))
    spend = np.exp(
        0.6 * np.log(income / 30_000) + 0.06 * visits + 3.5 + random.normal(0, 0.3, rows)
    )
    hours = (when * 2 * 365 * 24).astype("int64")
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{number:06d}" for number in range(1, rows + 1)],
            "signup": pd.Timestamp("2023-01-01") + pd.to_timedelta(hours, unit="h"),
            "store": [f"store-{number:02d}" for number in store],
            "city": [f"city-{number:03d}" for number in _skewed(random, rows)],
            "gender": random.choice(["female", "male", "other"], rows, p=[0.5, 0.48, 0.02]),
            "age": age.astype("int64"),
            "income": income.round(2),
            "plan": plan,
            "visits": visits.astype("int64"),
            "newsletter": random.uniform(size=rows) < 0.3,
            "rating": rating,
            "comment": _comments(random, rating),
            "spend": spend.round(2),
            "churned": np.where(churned, "yes", "no"),
        }
    )
    return _make_messy(frame, random)


def _skewed(random: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """Draw cities of which a few are large and most are small."""
    share = 1 / np.arange(1, CITIES + 1)
    return random.choice(CITIES, rows, p=share / share.sum()).astype("int64")


def _comments(random: np.random.Generator, rating: Floats) -> list[str]:
    """Write a line of text per row that agrees with its rating."""
    first = random.integers(0, len(OPENINGS), len(rating))
    picks = random.integers(0, len(PRAISE), (len(rating), 2))
    numbers = random.integers(1, 1000, len(rating))
    comments = []
    for at, value in enumerate(rating):
        words = PRAISE if value > 3 else BLAME
        one, two = words[picks[at, 0]], words[picks[at, 1]]
        comments.append(f"{OPENINGS[first[at]]} {one} and {two} on order {numbers[at]}.")
    return comments


def _make_messy(frame: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Blank out values and repeat rows, the way that real tables come."""
    rows = len(frame)
    for name, share in {"income": 0.08, "rating": 0.05, "city": 0.03, "comment": 0.1}.items():
        frame[name] = frame[name].mask(random.uniform(size=rows) < share)
    # The nullable types keep whole numbers whole and yes/no what it is.
    frame["age"] = frame["age"].astype("Int64").mask(random.uniform(size=rows) < 0.06)
    newsletter = frame["newsletter"].astype("boolean")
    frame["newsletter"] = newsletter.mask(random.uniform(size=rows) < 0.04)
    repeated = random.integers(0, rows, rows // 100)
    target = random.integers(0, rows, rows // 100)
    order = np.arange(rows)
    order[target] = repeated
    return frame.iloc[order].reset_index(drop=True)
