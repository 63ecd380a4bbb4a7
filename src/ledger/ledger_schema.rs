//! The format of the ledger's file, and its statements.
//!
//! Rows are state and no log: a user is one row for each trial, written over when it changes. A number of 64 bits
//! without a sign is stored with its highest bit turned around, so that SQLite has users in the order of their hashes,
//! and sums over rows are those over the state in memory.

/// What SQLite's `application_id` says of the file: "PtmE".
pub(super) const APPLICATION: i32 = 0x5074_6d45;

/// The format that this program writes.
pub(super) const FORMAT: i32 = 1;

pub(super) const CREATE: &str = "
BEGIN IMMEDIATE;
PRAGMA application_id = 1349807429;
PRAGMA user_version = 1;
CREATE TABLE trials (
    id          INTEGER PRIMARY KEY,
    experiment  TEXT NOT NULL,
    since       INTEGER NOT NULL,
    began_ms    INTEGER NOT NULL,
    ended_ms    INTEGER,
    turned_away INTEGER NOT NULL,
    first_event INTEGER NOT NULL,
    counted      INTEGER NOT NULL,
    repeated     INTEGER NOT NULL,
    no_metric    INTEGER NOT NULL,
    not_exposed  INTEGER NOT NULL,
    crossed      INTEGER NOT NULL,
    before       INTEGER NOT NULL,
    after        INTEGER NOT NULL,
    UNIQUE (experiment, since)
) STRICT;
CREATE TABLE metrics (
    trial     INTEGER NOT NULL REFERENCES trials (id),
    number    INTEGER NOT NULL,
    name      TEXT NOT NULL,
    measure   TEXT NOT NULL,
    better    TEXT NOT NULL,
    guardrail INTEGER NOT NULL,
    PRIMARY KEY (trial, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE shares (
    trial  INTEGER NOT NULL REFERENCES trials (id),
    number INTEGER NOT NULL,
    share  REAL NOT NULL,
    PRIMARY KEY (trial, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE users (
    trial    INTEGER NOT NULL REFERENCES trials (id),
    user     INTEGER NOT NULL,
    arm      INTEGER NOT NULL,
    crossed  INTEGER NOT NULL,
    share    INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    vals     BLOB NOT NULL,
    PRIMARY KEY (trial, user)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    trial  INTEGER NOT NULL REFERENCES trials (id),
    number INTEGER NOT NULL,
    event  INTEGER NOT NULL,
    PRIMARY KEY (trial, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE counts (
    trial   INTEGER PRIMARY KEY REFERENCES trials (id),
    seen    INTEGER NOT NULL,
    crossed INTEGER NOT NULL
) STRICT;
CREATE TABLE arm_users (
    trial INTEGER NOT NULL REFERENCES trials (id),
    share INTEGER NOT NULL,
    arm   INTEGER NOT NULL,
    users INTEGER NOT NULL,
    PRIMARY KEY (trial, share, arm)
) STRICT, WITHOUT ROWID;
CREATE TABLE arm_sums (
    trial     INTEGER NOT NULL REFERENCES trials (id),
    metric    INTEGER NOT NULL,
    share     INTEGER NOT NULL,
    arm       INTEGER NOT NULL,
    users     INTEGER NOT NULL,
    x         REAL NOT NULL,
    x_squares REAL NOT NULL,
    y         REAL NOT NULL,
    y_squares REAL NOT NULL,
    products  REAL NOT NULL,
    PRIMARY KEY (trial, metric, share, arm)
) STRICT, WITHOUT ROWID;
COMMIT;
";

/// What other replicas of a fleet have told. It came later: a program that does not know of it reads and writes the
/// rest.
pub(super) const ADD_OTHERS: &str = "
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS replicas (
    id      INTEGER PRIMARY KEY,
    replica TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS others (
    trial    INTEGER NOT NULL REFERENCES trials (id),
    user     INTEGER NOT NULL,
    replica  INTEGER NOT NULL REFERENCES replicas (id),
    arm      INTEGER NOT NULL,
    crossed  INTEGER NOT NULL,
    share    INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    vals     BLOB NOT NULL,
    PRIMARY KEY (trial, user, replica)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS other_totals (
    trial       INTEGER NOT NULL REFERENCES trials (id),
    replica     INTEGER NOT NULL REFERENCES replicas (id),
    turned_away INTEGER NOT NULL,
    counted     INTEGER NOT NULL,
    repeated    INTEGER NOT NULL,
    no_metric   INTEGER NOT NULL,
    not_exposed INTEGER NOT NULL,
    crossed     INTEGER NOT NULL,
    before      INTEGER NOT NULL,
    after       INTEGER NOT NULL,
    PRIMARY KEY (trial, replica)
) STRICT, WITHOUT ROWID;
COMMIT;
";

pub(super) const PUT_TRIAL: &str =
    "INSERT INTO trials (experiment, since, began_ms, ended_ms, turned_away, first_event,
        counted, repeated, no_metric, not_exposed, crossed, before, after)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (experiment, since) DO UPDATE SET ended_ms = excluded.ended_ms, turned_away = excluded.turned_away,
        first_event = excluded.first_event, counted = excluded.counted, repeated = excluded.repeated,
        no_metric = excluded.no_metric, not_exposed = excluded.not_exposed, crossed = excluded.crossed,
        before = excluded.before, after = excluded.after
    RETURNING id";
pub(super) const PUT_METRIC: &str =
    "INSERT OR REPLACE INTO metrics (trial, number, name, measure, better, guardrail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(super) const PUT_SHARE: &str = "INSERT OR REPLACE INTO shares (trial, number, share) VALUES (?1, ?2, ?3)";
pub(super) const PUT_USER: &str = "INSERT OR REPLACE INTO users (trial, user, arm, crossed, share, first_ms, vals) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const PUT_EVENT: &str = "INSERT OR REPLACE INTO events (trial, number, event) VALUES (?1, ?2, ?3)";
pub(super) const FORGET_EVENTS: &str = "DELETE FROM events WHERE trial = ?1 AND number < ?2";
pub(super) const END_OTHERS: &str = "UPDATE trials SET ended_ms = ?3
    WHERE ended_ms IS NULL AND experiment = ?1 AND since <> ?2";
pub(super) const RUNNING: &str = "SELECT experiment, since FROM trials WHERE ended_ms IS NULL";
pub(super) const END: &str = "UPDATE trials SET ended_ms = ?3 WHERE experiment = ?1 AND since = ?2";
/// Runs before this one whose users are kept still.
pub(super) const OLDER_WITH_USERS: &str = "SELECT id FROM trials WHERE experiment = ?1 AND since < ?2
    AND id NOT IN (SELECT trial FROM counts) ORDER BY since";
pub(super) const PUT_COUNTS: &str = "INSERT INTO counts (trial, seen, crossed) VALUES (?1, ?2, ?3)";
pub(super) const PUT_ARM_USERS: &str = "INSERT INTO arm_users (trial, share, arm, users) VALUES (?1, ?2, ?3, ?4)";
pub(super) const PUT_ARM_SUMS: &str = "INSERT INTO arm_sums
        (trial, metric, share, arm, users, x, x_squares, y, y_squares, products)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
pub(super) const FORGET_USERS: [&str; 3] = [
    "DELETE FROM users WHERE trial = ?1",
    "DELETE FROM events WHERE trial = ?1",
    "DELETE FROM others WHERE trial = ?1",
];
pub(super) const PUT_REPLICA: &str = "INSERT INTO replicas (replica) VALUES (?1) ON CONFLICT (replica) DO NOTHING";
pub(super) const REPLICA: &str = "SELECT id FROM replicas WHERE replica = ?1";
pub(super) const PUT_OTHER: &str = "INSERT OR REPLACE INTO others
        (trial, user, replica, arm, crossed, share, first_ms, vals)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(super) const PUT_OTHER_TOTALS: &str = "INSERT OR REPLACE INTO other_totals
        (trial, replica, turned_away, counted, repeated, no_metric, not_exposed, crossed, before, after)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

const TRIAL_COLUMNS: &str = "id, since, began_ms, ended_ms, turned_away, first_event,
    counted, repeated, no_metric, not_exposed, crossed, before, after";

pub(super) fn trials_of() -> String {
    format!("SELECT {TRIAL_COLUMNS} FROM trials WHERE experiment = ?1 ORDER BY since DESC")
}

pub(super) const METRICS: &str =
    "SELECT name, measure, better, guardrail FROM metrics WHERE trial = ?1 ORDER BY number";
pub(super) const SHARES: &str = "SELECT share FROM shares WHERE trial = ?1 ORDER BY number";
/// The rows of all replicas from this user on, this replica's own first of each user's.
pub(super) const ROWS_FROM: &str = "SELECT user, arm, crossed, share, first_ms, vals, 0 AS replica FROM users
        WHERE trial = ?1 AND user >= ?2
    UNION ALL SELECT user, arm, crossed, share, first_ms, vals, replica FROM others WHERE trial = ?1 AND user >= ?2
    ORDER BY user, replica";
pub(super) const TURNED_AWAY: &str = "SELECT turned_away
    + (SELECT coalesce(sum(turned_away), 0) FROM other_totals WHERE trial = ?1) FROM trials WHERE id = ?1";
pub(super) const OWN_USERS: &str = "SELECT user, arm, crossed, share, first_ms, vals FROM users
    WHERE trial = ?1 ORDER BY user";
pub(super) const OTHER_USERS: &str = "SELECT user, arm, crossed, share, first_ms, vals, replicas.replica
    FROM others JOIN replicas ON replicas.id = others.replica WHERE trial = ?1 ORDER BY user";
pub(super) const OTHER_TOTALS: &str = "SELECT replicas.replica, turned_away, counted, repeated, no_metric, not_exposed,
        crossed, before, after
    FROM other_totals JOIN replicas ON replicas.id = other_totals.replica WHERE trial = ?1";
pub(super) const EVENTS: &str = "SELECT event FROM events WHERE trial = ?1 ORDER BY number";
pub(super) const COUNTS: &str = "SELECT seen, crossed FROM counts WHERE trial = ?1";
pub(super) const ARM_USERS: &str = "SELECT share, arm, users FROM arm_users WHERE trial = ?1";
pub(super) const ARM_SUMS: &str = "SELECT metric, share, arm, users, x, x_squares, y, y_squares, products FROM arm_sums
    WHERE trial = ?1";
