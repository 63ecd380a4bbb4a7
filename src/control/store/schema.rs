//! The tables, and every statement that is run on them.
//!
//! Splits are stored as the text of their runs (`v2*10000 v1*90000`), so that an operator can read them in the SQLite
//! shell, and only for the services that a revision changed: the split of a service at revision N is its youngest row
//! up to N.

/// Marks a database as ours ("Poin" in ASCII).
pub(crate) const APPLICATION: i32 = 0x506f_696e;

/// The format that this program reads and writes.
pub const FORMAT: i32 = 2;

/// Makes an empty database ours. One transaction: a half-made store cannot be found.
pub(crate) const CREATE: &str = "
BEGIN IMMEDIATE;
PRAGMA application_id = 1349478766;
PRAGMA user_version = 2;
CREATE TABLE revisions (
    number   INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    author   TEXT NOT NULL,
    reason   TEXT,
    action   TEXT NOT NULL,
    restores INTEGER REFERENCES revisions (number)
) STRICT;
CREATE TABLE traffic (
    service  TEXT NOT NULL,
    revision INTEGER NOT NULL REFERENCES revisions (number),
    salt     TEXT NOT NULL,
    runs     TEXT NOT NULL,
    PRIMARY KEY (service, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX traffic_of_revision ON traffic (revision);
CREATE TABLE endpoint_changes (
    revision INTEGER NOT NULL REFERENCES revisions (number),
    service  TEXT NOT NULL,
    version  TEXT NOT NULL,
    address  TEXT NOT NULL,
    drained  INTEGER NOT NULL,
    PRIMARY KEY (revision, service, version, address)
) STRICT, WITHOUT ROWID;
CREATE TABLE drained (
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (service, version, address)
) STRICT, WITHOUT ROWID;
CREATE TABLE intent (
    service TEXT PRIMARY KEY,
    split   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE rollouts (
    id    INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE forced (
    revision INTEGER PRIMARY KEY,
    against  TEXT NOT NULL
) STRICT;
COMMIT;
";

/// What a store of this format may lack: earlier programs made none, and do not mind one. So nothing may refer to it,
/// and it refers to nothing.
pub(crate) const ADD_FORCED: &str = "
CREATE TABLE IF NOT EXISTS forced (
    revision INTEGER PRIMARY KEY,
    against  TEXT NOT NULL
) STRICT;
";

/// Makes a store of format 1, which knew no rollouts, one of format 2.
pub(crate) const FROM_1_TO_2: &str = "
BEGIN IMMEDIATE;
PRAGMA user_version = 2;
CREATE TABLE rollouts (
    id    INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;
COMMIT;
";

pub(crate) const PUT_REVISION: &str =
    "INSERT INTO revisions (number, at_ms, author, reason, action, restores) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(crate) const PUT_FORCED: &str = "INSERT INTO forced (revision, against) VALUES (?1, ?2)";
pub(crate) const FORGET_FORCED: &str = "DELETE FROM forced WHERE revision = ?1";
pub(crate) const FORCED: &str = "SELECT against FROM forced WHERE revision = ?1";
pub(crate) const HAS_FORCED: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'forced'";
pub(crate) const PUT_SPLIT: &str = "INSERT INTO traffic (revision, service, salt, runs) VALUES (?1, ?2, ?3, ?4)";
pub(crate) const PUT_ENDPOINT_CHANGE: &str =
    "INSERT INTO endpoint_changes (revision, service, version, address, drained) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const CLEAR_DRAINED: &str = "DELETE FROM drained WHERE service = ?1";
pub(crate) const PUT_DRAINED: &str = "INSERT INTO drained (service, version, address) VALUES (?1, ?2, ?3)";
pub(crate) const PUT_INTENT: &str = "INSERT INTO intent (service, split) VALUES (?1, ?2)
    ON CONFLICT (service) DO UPDATE SET split = excluded.split";

pub(crate) const PUT_ROLLOUT: &str = "INSERT INTO rollouts (id, state) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state";
pub(crate) const HAS_ROLLOUTS: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'rollouts'";
pub(crate) const ROLLOUTS: &str = "SELECT id, state FROM rollouts ORDER BY id DESC LIMIT ?1";

pub(crate) const COUNT_REVISIONS: &str = "SELECT count(*) FROM revisions";
pub(crate) const LAST_REVISION: &str = "SELECT coalesce(max(number), 0) FROM revisions";
/// With `max`, SQLite takes the other columns from the row of the maximum (a documented guarantee).
pub(crate) const LAST_SPLITS: &str = "SELECT service, salt, runs, max(revision) FROM traffic GROUP BY service";
pub(crate) const DRAINED: &str = "SELECT service, version, address FROM drained";
pub(crate) const INTENT: &str = "SELECT service, split FROM intent";
pub(crate) const DRAINED_OF: &str = "SELECT version, address FROM drained WHERE service = ?1";
pub(crate) const INTENT_OF: &str = "SELECT split FROM intent WHERE service = ?1";
pub(crate) const ROLLOUT_STATE: &str = "SELECT state FROM rollouts WHERE id = ?1";
/// In this order: the others refer to the revision.
pub(crate) const FORGET_REVISION: [&str; 4] = [
    FORGET_FORCED,
    "DELETE FROM traffic WHERE revision = ?1",
    "DELETE FROM endpoint_changes WHERE revision = ?1",
    "DELETE FROM revisions WHERE number = ?1",
];
pub(crate) const FORGET_INTENT: &str = "DELETE FROM intent WHERE service = ?1";
pub(crate) const FORGET_ROLLOUT: &str = "DELETE FROM rollouts WHERE id = ?1";
pub(crate) const ENTRIES: &str =
    "SELECT t.revision, r.restores FROM traffic t JOIN revisions r ON r.number = t.revision
    WHERE t.service = ?1 ORDER BY t.revision";
pub(crate) const SPLIT_AT: &str =
    "SELECT salt, runs FROM traffic WHERE service = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";
pub(crate) const REVISIONS: &str = "SELECT number, at_ms, author, reason, action, restores FROM revisions
    WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
pub(crate) const SPLITS_OF: &str = "SELECT service, salt, runs FROM traffic WHERE revision = ?1 ORDER BY service";
pub(crate) const ENDPOINT_CHANGES_OF: &str = "SELECT service, version, address, drained FROM endpoint_changes
    WHERE revision = ?1 ORDER BY service, version, address";
