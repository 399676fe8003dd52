"""From a source to typed, split rows: readers, schema, keys, the split. Rarely edited."""

from collections.abc import Sequence

from ..core.registry import SOURCES

SOURCES.add(
    file=".data.sources:fetch_file",
    http=".data.sources:fetch_http",
    https=".data.sources:fetch_http",
    s3=".data.sources:fetch_bucket",
    gs=".data.sources:fetch_bucket",
    sqlite=".data.sources:fetch_sql",
    postgresql=".data.sources:fetch_sql",
    mysql=".data.sources:fetch_sql",
    mariadb=".data.sources:fetch_sql",
    mssql=".data.sources:fetch_sql",
    oracle=".data.sources:fetch_sql",
    duckdb=".data.sources:fetch_sql",
    snowflake=".data.sources:fetch_sql",
    sklearn=".data.sources:fetch_sklearn",
    example=".data.sources:fetch_example",
    sample=".data.sources:fetch_sample",
)


def is_feature(roles: Sequence[str], parts: Sequence[str] | None) -> bool:
    """Tell whether a model may use a column.

    Args:
        roles: Of `data.schema.ROLES`.
        parts: What it may get of a time; None or nothing where it is not to use it.
    """
    unseen = {"target", "id", "group", "ignore", "weight", *(() if parts else ("time",))}
    return not unseen & set(roles)
