//! The decision about the files of the store, from what was found. Pure: [`mend`](super::mend) finds and does.
//!
//! A pass goes from one finding to the next: each action either ends it or finds out more, and one that writes or opens
//! something makes the files be looked at once more. What was found to be overwritten stays so. In this order:
//!
//! | overwritten before | connection | files at the path | not acknowledged | contents | action |
//! | --- | --- | --- | --- | --- | --- |
//! | yes | | | | | refuse |
//! | no | | not looked at | | | look |
//! | no | closed | no folder, no database or another one | | | refuse: what was known of it is on no path |
//! | no | closed | ours, written, no log or another log | | | connect |
//! | no | kept, new | | yes | | take it out |
//! | no | kept, new | no folder, another database or log | no | | refuse; our log beside another database goes aside |
//! | no | kept, new | ours or written, by this transaction | no | | adopt |
//! | no | kept | ours, not edited | no | | go on |
//! | no | kept | ours, edited | no | not read | compare the state |
//! | no | kept | written | no | not read | compare everything |
//! | no | kept | no database | no | | make it anew |
//! | no | kept | no log | no | | make a new log |
//! | no | new | | no | not read | compare everything |
//! | no | kept, new | ours | no | ours | go on |
//! | no | kept, new | written | no | ours | adopt |
//! | no | new | no database, no log | no | ours | make it anew, make a new log |
//! | no | kept, new | | no | others', or unreadable | refuse from now on |
//!
//! What is *missing* is made anew with everything known: no file of others is harmed, and the next start goes on from
//! it. What was *replaced* is left alone and changes are refused: a backup that an operator has just put there must not
//! be written over, and a change that goes to a file without a name would be gone with this process.

use crate::database::place::PlaceFinding;

/// The connection to the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    /// It was opened with the store, or what it leads to was compared since.
    #[default]
    Kept,
    /// There is none: it had to be closed, and the next one could not be opened.
    Closed,
    /// It is another one, and what it leads to was not compared yet.
    New,
}

/// How what is in the database compares with what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// It is that.
    Same,
    /// It is sound, and something else.
    Other,
    /// It is no sound store.
    Unsound,
}

/// All that is known in a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Something has written over the database, in this pass or before.
    pub(super) overwritten: bool,
    /// A change that was not acknowledged is still in it.
    pub(super) unacknowledged: bool,
    pub(super) link: Link,
    /// What is at the path; none before it is looked at.
    pub(super) files: Option<PlaceFinding>,
    /// The log at the path is ours.
    pub(super) our_log: bool,
    /// Others have written through SQLite.
    pub(super) edited: bool,
    /// A transaction of ours has just been written.
    pub(super) just_written: bool,
    /// None before they are read.
    pub(super) contents: Option<Contents>,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is as it should be.
    Proceed,
    /// The same, and the files' numbers are remembered.
    Adopt,
    /// Find out what is at the path.
    Look,
    /// Open a connection again.
    Connect,
    /// Put back what a change has replaced that was not acknowledged.
    TakeOut,
    /// Compare all that is in force with what is in the database, by a new connection.
    CompareAll,
    /// Compare the state in force.
    CompareState,
    /// Write a new database with everything known.
    MakeAnew,
    /// Put the log that has no name into the database, and begin another one.
    RenewLog,
    /// Remember that the database is overwritten; our log must not be put into it by the next start.
    Forsake {
        /// Whether the log is moved away.
        log_aside: bool,
    },
    /// Write nothing.
    Refuse(Refusal),
}

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The database was written over.
    Overwritten,
    /// The folder is gone.
    NoFolder,
    /// The database is gone, and with it what was in it.
    Lost,
    /// Another database is there.
    OtherDatabase {
        /// Whether our log, which is beside it, is moved away.
        log_aside: bool,
    },
    /// Another log is there.
    OtherLog,
}

/// What is done next.
pub(super) fn decide(found: &Findings) -> Action {
    let Some(files) = found.files.filter(|_| !found.overwritten) else {
        return if found.overwritten { Action::Refuse(Refusal::Overwritten) } else { Action::Look };
    };
    match found.link {
        Link::Closed => reconnect(files),
        Link::Kept | Link::New if found.unacknowledged => Action::TakeOut,
        Link::Kept | Link::New => with_connection(found, files),
    }
}

/// Without a connection nothing can be made anew: only the database that was left can be gone back to.
fn reconnect(files: PlaceFinding) -> Action {
    match files {
        // A log may have come with a try that failed.
        PlaceFinding::Ours | PlaceFinding::Written | PlaceFinding::LogGone | PlaceFinding::OtherLog => Action::Connect,
        PlaceFinding::FolderGone => Action::Refuse(Refusal::NoFolder),
        PlaceFinding::Gone => Action::Refuse(Refusal::Lost),
        PlaceFinding::Other => Action::Refuse(Refusal::OtherDatabase { log_aside: false }),
    }
}

fn with_connection(found: &Findings, files: PlaceFinding) -> Action {
    let compared = match found.contents {
        Some(Contents::Other | Contents::Unsound) => {
            return Action::Forsake { log_aside: files == PlaceFinding::Written };
        }
        Some(Contents::Same) => true,
        None => false,
    };
    let unknown = found.link == Link::New && !compared;
    match files {
        PlaceFinding::FolderGone => Action::Refuse(Refusal::NoFolder),
        PlaceFinding::Other => Action::Refuse(Refusal::OtherDatabase { log_aside: found.our_log }),
        PlaceFinding::OtherLog => Action::Refuse(Refusal::OtherLog),
        PlaceFinding::Ours | PlaceFinding::Written | PlaceFinding::Gone | PlaceFinding::LogGone if unknown => {
            Action::CompareAll
        }
        // Our own checkpoint writes to the database, too.
        PlaceFinding::Ours | PlaceFinding::Written if found.just_written => Action::Adopt,
        PlaceFinding::Ours if found.edited && !compared => Action::CompareState,
        PlaceFinding::Ours => Action::Proceed,
        PlaceFinding::Written if compared => Action::Adopt,
        PlaceFinding::Written => Action::CompareAll,
        PlaceFinding::Gone => Action::MakeAnew,
        PlaceFinding::LogGone => Action::RenewLog,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [PlaceFinding; 7] = [
        PlaceFinding::Ours,
        PlaceFinding::Written,
        PlaceFinding::Gone,
        PlaceFinding::FolderGone,
        PlaceFinding::Other,
        PlaceFinding::LogGone,
        PlaceFinding::OtherLog,
    ];
    const CONTENTS: [Option<Contents>; 4] =
        [None, Some(Contents::Same), Some(Contents::Other), Some(Contents::Unsound)];
    const BOTH: [bool; 2] = [false, true];

    /// Every combination of what can be found.
    fn all() -> Vec<Findings> {
        let mut all = vec![Findings::default()];
        let mut each = |change: &dyn Fn(Findings) -> Vec<Findings>| {
            all = std::mem::take(&mut all).into_iter().flat_map(change).collect();
        };
        each(&|found| BOTH.map(|overwritten| Findings { overwritten, ..found }).into());
        each(&|found| BOTH.map(|unacknowledged| Findings { unacknowledged, ..found }).into());
        each(&|found| [Link::Kept, Link::Closed, Link::New].map(|link| Findings { link, ..found }).into());
        each(&|found| FILES.map(Some).into_iter().chain([None]).map(|files| Findings { files, ..found }).collect());
        each(&|found| BOTH.map(|our_log| Findings { our_log, ..found }).into());
        each(&|found| BOTH.map(|edited| Findings { edited, ..found }).into());
        each(&|found| BOTH.map(|just_written| Findings { just_written, ..found }).into());
        each(&|found| CONTENTS.map(|contents| Findings { contents, ..found }).into());
        all
    }

    #[test]
    fn nothing_is_written_where_it_would_be_lost_or_do_harm() {
        let all = all();
        assert_eq!(all.len(), 2 * 2 * 3 * 8 * 2 * 2 * 2 * 4);
        for found in all {
            let action = decide(&found);
            let same = found.contents == Some(Contents::Same);
            let at = format!("{found:?}: {action:?}");
            if found.overwritten {
                assert_eq!(action, Action::Refuse(Refusal::Overwritten), "{at}");
                continue;
            }
            assert_eq!(action == Action::Look, found.files.is_none(), "{at}");
            match action {
                Action::Look => {}
                Action::Proceed | Action::Adopt => {
                    assert!(matches!(found.files, Some(PlaceFinding::Ours | PlaceFinding::Written)), "{at}");
                    assert!(!found.unacknowledged && found.link != Link::Closed, "{at}");
                    assert!(!matches!(found.contents, Some(Contents::Other | Contents::Unsound)), "{at}");
                    assert!(same || found.link == Link::Kept, "{at}");
                    let untouched = found.files == Some(PlaceFinding::Ours) && !found.edited;
                    assert!(same || untouched || found.just_written, "{at}");
                }
                // The connection has everything, and only that.
                Action::MakeAnew | Action::RenewLog => {
                    assert!(matches!(found.files, Some(PlaceFinding::Gone | PlaceFinding::LogGone)), "{at}");
                    assert!(!found.unacknowledged && (same || found.link == Link::Kept), "{at}");
                }
                Action::Connect => assert_eq!(found.link, Link::Closed, "{at}"),
                Action::TakeOut => assert!(found.unacknowledged && found.link != Link::Closed, "{at}"),
                Action::CompareAll | Action::CompareState => {
                    assert!(found.contents.is_none() && found.link != Link::Closed && !found.unacknowledged, "{at}");
                }
                Action::Forsake { .. } => {
                    assert!(matches!(found.contents, Some(Contents::Other | Contents::Unsound)), "{at}");
                }
                Action::Refuse(Refusal::OtherDatabase { log_aside }) => {
                    assert_eq!(found.files, Some(PlaceFinding::Other), "{at}");
                    assert!(!log_aside || found.our_log, "only our own log is moved: {at}");
                }
                Action::Refuse(Refusal::Lost) => assert_eq!(found.link, Link::Closed, "{at}"),
                Action::Refuse(Refusal::NoFolder) => assert_eq!(found.files, Some(PlaceFinding::FolderGone), "{at}"),
                Action::Refuse(Refusal::OtherLog) => assert_eq!(found.files, Some(PlaceFinding::OtherLog), "{at}"),
                Action::Refuse(Refusal::Overwritten) => panic!("{at}"),
            }
        }
    }

    /// What may be found after an action; none when it ends the pass.
    fn after(found: Findings, action: Action) -> Vec<Findings> {
        let looked = |found: Findings| FILES.map(|files| Findings { files: Some(files), ..found }).to_vec();
        let compared = [Contents::Same, Contents::Other, Contents::Unsound];
        match action {
            Action::Look => looked(found),
            Action::Connect => vec![Findings { link: Link::New, files: None, contents: None, ..found }],
            Action::TakeOut => vec![Findings { unacknowledged: false, files: None, ..found }],
            Action::CompareAll | Action::CompareState => {
                compared.map(|contents| Findings { contents: Some(contents), ..found }).into()
            }
            Action::Proceed
            | Action::Adopt
            | Action::MakeAnew
            | Action::RenewLog
            | Action::Forsake { .. }
            | Action::Refuse(_) => Vec::new(),
        }
    }

    #[test]
    fn every_pass_ends() {
        let mut open = all();
        for _ in 0..8 {
            open = open.into_iter().flat_map(|found| after(found, decide(&found))).collect();
            open.sort_unstable_by_key(|found| format!("{found:?}"));
            open.dedup();
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn each_line_of_the_table() {
        let ours = Findings { files: Some(PlaceFinding::Ours), ..Findings::default() };
        let at = |files| Findings { files: Some(files), ..ours };
        let new = |files, contents| Findings { link: Link::New, contents, ..at(files) };
        let closed = |files| Findings { link: Link::Closed, ..at(files) };
        let same = Some(Contents::Same);
        let refuse = Action::Refuse;
        let other = |log_aside| refuse(Refusal::OtherDatabase { log_aside });
        for (found, wanted) in [
            (Findings { overwritten: true, ..ours }, refuse(Refusal::Overwritten)),
            (Findings::default(), Action::Look),
            (closed(PlaceFinding::FolderGone), refuse(Refusal::NoFolder)),
            (closed(PlaceFinding::Gone), refuse(Refusal::Lost)),
            (closed(PlaceFinding::Other), other(false)),
            (closed(PlaceFinding::Ours), Action::Connect),
            (closed(PlaceFinding::Written), Action::Connect),
            (closed(PlaceFinding::LogGone), Action::Connect),
            (closed(PlaceFinding::OtherLog), Action::Connect),
            (Findings { unacknowledged: true, ..closed(PlaceFinding::LogGone) }, Action::Connect),
            (Findings { unacknowledged: true, ..at(PlaceFinding::Gone) }, Action::TakeOut),
            (at(PlaceFinding::FolderGone), refuse(Refusal::NoFolder)),
            (at(PlaceFinding::Other), other(false)),
            (Findings { our_log: true, ..at(PlaceFinding::Other) }, other(true)),
            (at(PlaceFinding::OtherLog), refuse(Refusal::OtherLog)),
            (Findings { just_written: true, ..ours }, Action::Adopt),
            (Findings { just_written: true, ..at(PlaceFinding::Written) }, Action::Adopt),
            (Findings { just_written: true, ..at(PlaceFinding::Gone) }, Action::MakeAnew),
            (ours, Action::Proceed),
            (Findings { edited: true, ..ours }, Action::CompareState),
            (at(PlaceFinding::Written), Action::CompareAll),
            (at(PlaceFinding::Gone), Action::MakeAnew),
            (at(PlaceFinding::LogGone), Action::RenewLog),
            (new(PlaceFinding::Ours, None), Action::CompareAll),
            (new(PlaceFinding::Ours, same), Action::Proceed),
            (new(PlaceFinding::Written, same), Action::Adopt),
            (new(PlaceFinding::Gone, None), Action::CompareAll),
            (new(PlaceFinding::Gone, same), Action::MakeAnew),
            (new(PlaceFinding::LogGone, same), Action::RenewLog),
            (Findings { edited: true, contents: same, ..ours }, Action::Proceed),
            (Findings { contents: same, ..at(PlaceFinding::Written) }, Action::Adopt),
            (Findings { contents: Some(Contents::Other), ..ours }, Action::Forsake { log_aside: false }),
            (
                Findings { contents: Some(Contents::Unsound), ..at(PlaceFinding::Written) },
                Action::Forsake { log_aside: true },
            ),
        ] {
            assert_eq!(decide(&found), wanted, "{found:?}");
        }
    }
}
