//! The tables, and every statement that is run on them.
//!
//! Splits are stored as the text of their runs (`v2*10000 v1*90000`), mirrors beside them (`v3*10000`), so that an
//! operator can read them in the SQLite shell, and only for the services that a revision changed: the split of a
//! service at revision N is its youngest row up to N. The states of flags (`on;launch=on*10000 off*90000`) and the runs
//! of experiments (`on;since=12;share=40;of=0011223344556677;slots=0-40000`) are stored in the same way. Chaos runs are
//! stored like rollouts, and what objectives have counted by the hour, because budgets are asked for over 30 days.

/// Marks a database as ours ("Poin" in ASCII).
pub(crate) const APPLICATION: i32 = 0x506f_696e;

/// The format that this program reads and writes.
pub const FORMAT: i32 = 5;

/// Makes an empty database ours. One transaction: a half-made store cannot be found.
pub(crate) const CREATE: &str = "
BEGIN IMMEDIATE;
PRAGMA application_id = 1349478766;
PRAGMA user_version = 5;
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
    mirror   TEXT,
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
CREATE TABLE flag_states (
    flag            TEXT NOT NULL,
    revision        INTEGER NOT NULL REFERENCES revisions (number),
    state           TEXT NOT NULL,
    default_variant TEXT,
    followers       INTEGER,
    PRIMARY KEY (flag, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX flag_states_of_revision ON flag_states (revision);
CREATE TABLE flag_intent (
    flag  TEXT PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE experiment_runs (
    experiment TEXT NOT NULL,
    revision   INTEGER NOT NULL REFERENCES revisions (number),
    run        TEXT NOT NULL,
    moved      INTEGER,
    ended      TEXT,
    PRIMARY KEY (experiment, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX experiment_runs_of_revision ON experiment_runs (revision);
CREATE TABLE chaos_runs (
    id    INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE slo_hours (
    service        TEXT NOT NULL,
    hour           INTEGER NOT NULL,
    requests       INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    slow           INTEGER NOT NULL,
    fault_requests INTEGER NOT NULL,
    fault_failed   INTEGER NOT NULL,
    fault_slow     INTEGER NOT NULL,
    PRIMARY KEY (service, hour)
) STRICT, WITHOUT ROWID;
CREATE TABLE weight_notes (
    about TEXT PRIMARY KEY,
    note  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
COMMIT;
";

/// What a store of this format may lack: earlier programs made none, and do not mind one. So nothing may refer to it,
/// and it refers to nothing.
pub(crate) const ADD_MISSING: &str = "
CREATE TABLE IF NOT EXISTS forced (
    revision INTEGER PRIMARY KEY,
    against  TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS weight_notes (
    about TEXT PRIMARY KEY,
    note  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fleet (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    replica    TEXT NOT NULL,
    fleet      TEXT NOT NULL,
    generation INTEGER NOT NULL
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

/// Makes a store of format 2, which knew no flags, one of format 3. An earlier program must not go on with it: it would
/// make revisions that say nothing of flags, and start with those of its own file.
pub(crate) const FROM_2_TO_3: &str = "
BEGIN IMMEDIATE;
PRAGMA user_version = 3;
CREATE TABLE flag_states (
    flag            TEXT NOT NULL,
    revision        INTEGER NOT NULL REFERENCES revisions (number),
    state           TEXT NOT NULL,
    default_variant TEXT,
    followers       INTEGER,
    PRIMARY KEY (flag, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX flag_states_of_revision ON flag_states (revision);
CREATE TABLE flag_intent (
    flag  TEXT PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
COMMIT;
";

/// Makes a store of format 3, which knew no experiments, one of format 4. An earlier program must not go on with it: it
/// would let the users of a run go, and the next start of this one would take them back.
pub(crate) const FROM_3_TO_4: &str = "
BEGIN IMMEDIATE;
PRAGMA user_version = 4;
CREATE TABLE experiment_runs (
    experiment TEXT NOT NULL,
    revision   INTEGER NOT NULL REFERENCES revisions (number),
    run        TEXT NOT NULL,
    moved      INTEGER,
    ended      TEXT,
    PRIMARY KEY (experiment, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX experiment_runs_of_revision ON experiment_runs (revision);
COMMIT;
";

/// Makes a store of format 4, which knew no mirrors, chaos runs and budgets, one of format 5. An earlier program must
/// not go on with it: it would not undo what a chaos run has done to a host, and would forget mirrors.
pub(crate) const FROM_4_TO_5: &str = "
BEGIN IMMEDIATE;
PRAGMA user_version = 5;
ALTER TABLE traffic ADD COLUMN mirror TEXT;
CREATE TABLE chaos_runs (
    id    INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE slo_hours (
    service        TEXT NOT NULL,
    hour           INTEGER NOT NULL,
    requests       INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    slow           INTEGER NOT NULL,
    fault_requests INTEGER NOT NULL,
    fault_failed   INTEGER NOT NULL,
    fault_slow     INTEGER NOT NULL,
    PRIMARY KEY (service, hour)
) STRICT, WITHOUT ROWID;
COMMIT;
";

/// Stands before the table of a store of format 4 or less that can only be read, and so has no mirrors.
pub(crate) const WITHOUT_MIRRORS: &str =
    "CREATE TEMP VIEW traffic AS SELECT service, revision, salt, runs, NULL AS mirror FROM main.traffic";

pub(crate) const PUT_REVISION: &str =
    "INSERT INTO revisions (number, at_ms, author, reason, action, restores) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(crate) const PUT_FORCED: &str = "INSERT INTO forced (revision, against) VALUES (?1, ?2)";
pub(crate) const FORGET_FORCED: &str = "DELETE FROM forced WHERE revision = ?1";
pub(crate) const FORCED: &str = "SELECT against FROM forced WHERE revision = ?1";
pub(crate) const HAS_FORCED: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'forced'";
pub(crate) const PUT_SPLIT: &str = "INSERT INTO traffic (revision, service, salt, runs, mirror)
    VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const PUT_ENDPOINT_CHANGE: &str =
    "INSERT INTO endpoint_changes (revision, service, version, address, drained) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const CLEAR_DRAINED: &str = "DELETE FROM drained WHERE service = ?1";
pub(crate) const PUT_DRAINED: &str = "INSERT INTO drained (service, version, address) VALUES (?1, ?2, ?3)";
pub(crate) const PUT_INTENT: &str = "INSERT INTO intent (service, split) VALUES (?1, ?2)
    ON CONFLICT (service) DO UPDATE SET split = excluded.split";
pub(crate) const PUT_FLAG_STATE: &str =
    "INSERT INTO flag_states (revision, flag, state, default_variant, followers) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const PUT_FLAG_INTENT: &str = "INSERT INTO flag_intent (flag, state) VALUES (?1, ?2)
    ON CONFLICT (flag) DO UPDATE SET state = excluded.state";
pub(crate) const HAS_FLAGS: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'flag_states'";
pub(crate) const LAST_FLAG_STATES: &str = "SELECT flag, state, max(revision) FROM flag_states GROUP BY flag";
pub(crate) const FLAG_INTENT: &str = "SELECT flag, state FROM flag_intent";
pub(crate) const FLAG_INTENT_OF: &str = "SELECT state FROM flag_intent WHERE flag = ?1";
pub(crate) const FORGET_FLAG_INTENT: &str = "DELETE FROM flag_intent WHERE flag = ?1";
pub(crate) const FLAG_ENTRIES: &str =
    "SELECT f.revision, r.restores FROM flag_states f JOIN revisions r ON r.number = f.revision
    WHERE f.flag = ?1 ORDER BY f.revision";
pub(crate) const FLAG_AT: &str =
    "SELECT state FROM flag_states WHERE flag = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";
pub(crate) const FLAGS_OF: &str =
    "SELECT flag, state, default_variant, followers FROM flag_states WHERE revision = ?1 ORDER BY flag";

pub(crate) const PUT_EXPERIMENT_RUN: &str =
    "INSERT INTO experiment_runs (revision, experiment, run, moved, ended) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const HAS_EXPERIMENTS: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'experiment_runs'";
pub(crate) const LAST_EXPERIMENT_RUNS: &str =
    "SELECT experiment, run, max(revision) FROM experiment_runs GROUP BY experiment";
pub(crate) const EXPERIMENT_ENTRIES: &str =
    "SELECT e.revision, r.restores FROM experiment_runs e JOIN revisions r ON r.number = e.revision
    WHERE e.experiment = ?1 ORDER BY e.revision";
pub(crate) const EXPERIMENT_AT: &str =
    "SELECT run FROM experiment_runs WHERE experiment = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";
pub(crate) const EXPERIMENTS_OF: &str =
    "SELECT experiment, run, moved, ended FROM experiment_runs WHERE revision = ?1 ORDER BY experiment";

pub(crate) const PUT_ROLLOUT: &str = "INSERT INTO rollouts (id, state) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state";
pub(crate) const HAS_ROLLOUTS: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'rollouts'";
pub(crate) const ROLLOUTS: &str = "SELECT id, state FROM rollouts ORDER BY id DESC LIMIT ?1";

pub(crate) const HAS_SLO_HOURS: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'slo_hours'";
pub(crate) const SLO_HOURS: &str =
    "SELECT service, hour, requests, failed, slow, fault_requests, fault_failed, fault_slow FROM slo_hours
    WHERE service = ?1 ORDER BY hour";
pub(crate) const HAS_SLO_HOUR: &str = "SELECT 1 FROM slo_hours WHERE service = ?1 AND hour = ?2";
pub(crate) const PUT_SLO_HOUR: &str =
    "INSERT INTO slo_hours (service, hour, requests, failed, slow, fault_requests, fault_failed, fault_slow)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (service, hour) DO UPDATE SET requests = excluded.requests, failed = excluded.failed,
    slow = excluded.slow, fault_requests = excluded.fault_requests, fault_failed = excluded.fault_failed,
    fault_slow = excluded.fault_slow";
/// All but this number of the youngest.
pub(crate) const FORGET_SLO_HOURS: &str = "DELETE FROM slo_hours WHERE service = ?1 AND hour <=
    (SELECT hour FROM slo_hours WHERE service = ?1 ORDER BY hour DESC LIMIT 1 OFFSET ?2)";

pub(crate) const PUT_CHAOS_RUN: &str = "INSERT INTO chaos_runs (id, state) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state";
pub(crate) const FORGET_CHAOS_RUN: &str = "DELETE FROM chaos_runs WHERE id = ?1";
pub(crate) const HAS_CHAOS_RUNS: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'chaos_runs'";
pub(crate) const CHAOS_RUNS: &str = "SELECT id, state FROM chaos_runs ORDER BY id DESC LIMIT ?1";

pub(crate) const HAS_WEIGHT_NOTES: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'weight_notes'";
pub(crate) const WEIGHT_NOTES: &str = "SELECT about, note FROM weight_notes";
pub(crate) const WEIGHT_NOTE: &str = "SELECT note FROM weight_notes WHERE about = ?1";
pub(crate) const PUT_WEIGHT_NOTE: &str = "INSERT INTO weight_notes (about, note) VALUES (?1, ?2)
    ON CONFLICT (about) DO UPDATE SET note = excluded.note";
pub(crate) const FORGET_WEIGHT_NOTES: &str = "DELETE FROM weight_notes";
pub(crate) const FORGET_WEIGHT_NOTE: &str = "DELETE FROM weight_notes WHERE about = ?1";
pub(crate) const HAS_FLEET: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'fleet'";
pub(crate) const FLEET: &str = "SELECT fleet, generation FROM fleet";
pub(crate) const REPLICA: &str = "SELECT replica FROM fleet";
pub(crate) const PUT_REPLICA: &str = "INSERT INTO fleet (one, replica, fleet, generation) VALUES (1, ?1, '', 0)";
pub(crate) const PUT_FLEET: &str = "UPDATE fleet SET fleet = ?1, generation = ?2";
/// Everything that revisions are made of, and rollouts; not what objectives have counted.
pub(crate) const FORGET_ALL: &str = "
BEGIN IMMEDIATE;
DELETE FROM forced; DELETE FROM experiment_runs; DELETE FROM flag_states; DELETE FROM traffic;
DELETE FROM endpoint_changes; DELETE FROM drained; DELETE FROM intent; DELETE FROM flag_intent; DELETE FROM rollouts;
DELETE FROM weight_notes; DELETE FROM revisions;
COMMIT;
";
pub(crate) const HAS_REVISION: &str = "SELECT count(*) > 0 FROM revisions WHERE number = ?1";
/// These three write a row of revision `?1` where the youngest row up to it says something else, or there is none.
pub(crate) const PUT_LAST_SPLIT: &str = "INSERT OR REPLACE INTO traffic (revision, service, salt, runs, mirror)
    SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM
    (SELECT salt, runs, mirror FROM traffic WHERE service = ?2 AND revision <= ?1 ORDER BY revision DESC LIMIT 1)
    WHERE salt = ?3 AND runs = ?4 AND mirror IS ?5)";
pub(crate) const PUT_LAST_FLAG: &str = "INSERT OR REPLACE INTO flag_states (revision, flag, state)
    SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM
    (SELECT state FROM flag_states WHERE flag = ?2 AND revision <= ?1 ORDER BY revision DESC LIMIT 1)
    WHERE state = ?3)";
pub(crate) const PUT_LAST_RUN: &str = "INSERT OR REPLACE INTO experiment_runs (revision, experiment, run)
    SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM
    (SELECT run FROM experiment_runs WHERE experiment = ?2 AND revision <= ?1 ORDER BY revision DESC LIMIT 1)
    WHERE run = ?3)";

pub(crate) const COUNT_REVISIONS: &str = "SELECT count(*) FROM revisions";
pub(crate) const LAST_REVISION: &str = "SELECT coalesce(max(number), 0) FROM revisions";
/// With `max`, SQLite takes the other columns from the row of the maximum (a documented guarantee).
pub(crate) const LAST_SPLITS: &str = "SELECT service, salt, runs, mirror, max(revision) FROM traffic
    GROUP BY service";
pub(crate) const DRAINED: &str = "SELECT service, version, address FROM drained";
pub(crate) const INTENT: &str = "SELECT service, split FROM intent";
pub(crate) const DRAINED_OF: &str = "SELECT version, address FROM drained WHERE service = ?1";
pub(crate) const INTENT_OF: &str = "SELECT split FROM intent WHERE service = ?1";
pub(crate) const ROLLOUT_STATE: &str = "SELECT state FROM rollouts WHERE id = ?1";
/// In this order: the others refer to the revision.
pub(crate) const FORGET_REVISION: [&str; 6] = [
    FORGET_FORCED,
    "DELETE FROM experiment_runs WHERE revision = ?1",
    "DELETE FROM flag_states WHERE revision = ?1",
    "DELETE FROM traffic WHERE revision = ?1",
    "DELETE FROM endpoint_changes WHERE revision = ?1",
    "DELETE FROM revisions WHERE number = ?1",
];
pub(crate) const FORGET_INTENT: &str = "DELETE FROM intent WHERE service = ?1";
pub(crate) const FORGET_ROLLOUT: &str = "DELETE FROM rollouts WHERE id = ?1";
pub(crate) const ENTRIES: &str =
    "SELECT t.revision, r.restores FROM traffic t JOIN revisions r ON r.number = t.revision
    WHERE t.service = ?1 ORDER BY t.revision";
pub(crate) const SPLIT_AT: &str = "SELECT service, salt, runs, mirror FROM traffic WHERE service = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1";
pub(crate) const REVISIONS: &str = "SELECT number, at_ms, author, reason, action, restores FROM revisions
    WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
pub(crate) const SPLITS_OF: &str = "SELECT service, salt, runs, mirror FROM traffic WHERE revision = ?1
    ORDER BY service";
pub(crate) const ENDPOINT_CHANGES_OF: &str = "SELECT service, version, address, drained FROM endpoint_changes
    WHERE revision = ?1 ORDER BY service, version, address";
