"""What an event costs PostgreSQL, and what a replica costs it that has nothing to do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.figures import CannotMeasure, Figure
from bench.inbox_database import Statement, Usage
from bench.postgres import Postgres, postgres
from bench.replicas import Replicas, Turn
from bench.rows import Effort, Row

ABOUT = """\
What scaling is planned with: see [Scaling](../explanation/scaling.md). Two routers under the load of *Several
replicas on PostgreSQL*, and the same at a tenth of that, 500 notifications a second: the less there is to do, the
fewer share a transaction.

- *Transactions* are those that write; *calls* are statements that were sent to PostgreSQL, counted by its
  extension `pg_stat_statements`, and each waits for its answer.
- *WAL* are the bytes of the write-ahead log, with the whole pages that it takes in after a checkpoint (one was made
  right before).
- *On the disk* are the tables with their indexes: an event of 480 bytes of JSON with one settled delivery.
- *Idle* is what a replica asks for that has nothing to do.
"""

_ROUTE = "{name: all, type: incomingMessageReceived, handler: nothing}"
