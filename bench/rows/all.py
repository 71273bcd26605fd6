"""Every row, in the order of the report."""

from __future__ import annotations

from bench.rows import (
    backlog,
    database,
    isolation,
    polling,
    rate,
    rate_postgres,
    replicas,
    retention,
    stages,
    start,
    webhook,
)

ROWS = [
    webhook.ROW,
    stages.ROW,
    rate.ROW,
    polling.ROW,
    backlog.ROW,
    retention.ROW,
    isolation.ROW,
    replicas.ROW,
    rate_postgres.ROW,
    database.ROW,
    start.ROW,
]
