-- What handlers keep. A value is over at its time, whether its row is still there or not.
CREATE TABLE store (
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      BLOB NOT NULL,
    expires_at INTEGER,                     -- NULL: kept until it is deleted
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;

CREATE INDEX store_expiring ON store (expires_at) WHERE expires_at IS NOT NULL;
