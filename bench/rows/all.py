"""Every row, in the order of the report."""

from __future__ import annotations

from bench.rows import backlog, isolation, rate, start, webhook

ROWS = [webhook.ROW, rate.ROW, backlog.ROW, isolation.ROW, start.ROW]
