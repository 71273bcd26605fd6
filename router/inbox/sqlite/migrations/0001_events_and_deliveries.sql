-- Times are UTC, in microseconds since 1970.

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,        -- ascends in order of arrival
    id          TEXT    NOT NULL UNIQUE,
    key         BLOB    UNIQUE,             -- hash of the dedup key; NULL once the dedup window is over
    type        TEXT,
    instance    INTEGER,
    chat        TEXT,
    status      TEXT    NOT NULL,
    transport   TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    duplicates  INTEGER NOT NULL DEFAULT 0,
    changed     INTEGER NOT NULL DEFAULT 0,
    problems    TEXT,                       -- JSON: [[path, rule, message], …]
    body        BLOB    NOT NULL
);

CREATE TABLE deliveries (
    id             INTEGER PRIMARY KEY,     -- ascends in order of arrival
    event          INTEGER NOT NULL REFERENCES events (seq),
    route          TEXT    NOT NULL,
    lane           TEXT    NOT NULL,
    status         TEXT    NOT NULL DEFAULT 'pending',
    attempts       INTEGER NOT NULL DEFAULT 0,
    round_attempts INTEGER NOT NULL DEFAULT 0,  -- attempts since a person last retried it
    blocked        REAL    NOT NULL DEFAULT 0,  -- seconds for which it held up its lane in this round
    due_at         INTEGER,
    delay          REAL,                    -- seconds from the last attempt to due_at
    running_since  INTEGER,                 -- when the attempt that is shown as running began
    started_at     INTEGER,                 -- of the attempt that is done
    duration       REAL,                    -- of the attempt that is done, in seconds
    plugin         TEXT,                    -- of the attempt that is done
    settled_at     INTEGER,
    error          TEXT
);

CREATE INDEX deliveries_of_event ON deliveries (event);
CREATE INDEX deliveries_waiting ON deliveries (route, id, lane) WHERE status = 'pending';
CREATE INDEX deliveries_waiting_in_lane ON deliveries (route, lane, id) WHERE status = 'pending';
CREATE INDEX deliveries_running ON deliveries (id) WHERE status = 'running';
CREATE INDEX deliveries_dead ON deliveries (id) WHERE status = 'dead';

-- Attempts that failed; the one that is done stands in its delivery.
CREATE TABLE attempts (
    delivery   INTEGER NOT NULL REFERENCES deliveries (id),
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    duration   REAL    NOT NULL,
    outcome    TEXT    NOT NULL,
    error      TEXT,
    traceback  TEXT,
    plugin     TEXT,
    PRIMARY KEY (delivery, number)
) WITHOUT ROWID;

-- Lanes that an operator's command changed, for the running router to read again.
CREATE TABLE changes (
    seq   INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    lane  TEXT NOT NULL
);

-- One row: how often a router was started on the file, and whether the last one stopped in good order.
CREATE TABLE runs (
    started       INTEGER NOT NULL,
    ended_cleanly INTEGER NOT NULL
);
INSERT INTO runs (started, ended_cleanly) VALUES (0, TRUE);
