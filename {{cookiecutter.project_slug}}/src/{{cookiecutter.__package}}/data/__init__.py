"""From a source to typed, split rows: readers, schema, keys, the split. Rarely edited."""

from ..core.registry import SOURCES

SOURCES.update(
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
    sample=".data.sources:fetch_sample",
)
