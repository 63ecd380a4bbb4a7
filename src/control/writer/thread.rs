//! The writer's thread: it answers call after call, and begins again with its store when a bug ends it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::sync::mpsc;

use super::super::file::FileSpecs;
use super::super::handle::{ApplyError, CALLS_MAX, Handle, WriterCall};
use super::{StoreSlot, Writer, WriterStartError};
use crate::problem::chain;
use crate::supervise::{Part, panic_text};

impl Writer {
    /// Starts the thread. It ends, and closes the store, when the last handle is dropped; join it before exiting.
    ///
    /// # Errors
    /// [`WriterStartError`] when the system has no thread.
    pub fn start(self, part: Part) -> Result<(Handle, thread::JoinHandle<()>), WriterStartError> {
        let (calls, inbox) = mpsc::channel(CALLS_MAX);
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(move || self.run(inbox, &part))?;
        Ok((Handle(calls), thread))
    }

    /// Answers until the last handle is dropped. A bug that ends it costs the call that it had: it begins again with
    /// what is in the store, which may be one change more than is in force, if that was committed and not published.
    fn run(mut self, mut inbox: mpsc::Receiver<WriterCall>, part: &Part) {
        let mut ended = false;
        loop {
            let served = catch_unwind(AssertUnwindSafe(|| {
                if ended {
                    self.begin_again(part);
                }
                self.serve(&mut inbox, part);
            }));
            let Err(panic) = served else { return };
            let Some(pause) = part.ended(&panic_text(&*panic)) else { return };
            thread::sleep(pause);
            ended = true;
        }
    }

    /// Goes on from what is in the store: everything that was answered is.
    fn begin_again(&mut self, part: &Part) {
        // What is wrong with its files is told already.
        self.look_after_store().ok();
        if let Err(error) = self.read_again() {
            let error = chain(&error);
            tracing::error!(error, "cannot read the store again; changes are refused until it works");
        }
        part.runs_again();
    }

    fn read_again(&mut self) -> Result<(), ApplyError> {
        match std::mem::replace(&mut self.slot, StoreSlot::Unavailable) {
            StoreSlot::HandedOver => {
                self.slot = StoreSlot::HandedOver;
                Ok(())
            }
            // It cannot be opened a second time.
            StoreSlot::Owned(store) if store.is_in_memory() => {
                let specs = FileSpecs::in_force(&self.state);
                self.restore(*store, specs, None)
            }
            StoreSlot::Owned(store) => {
                drop(store);
                self.take_store_back()
            }
            StoreSlot::Unavailable => self.take_store_back(),
        }
    }

    fn serve(&mut self, inbox: &mut mpsc::Receiver<WriterCall>, part: &Part) {
        let next = |inbox: &mut mpsc::Receiver<WriterCall>| {
            part.idle();
            inbox.blocking_recv().inspect(|_| part.beat())
        };
        // The caller that asked may have gone; what was applied stays applied.
        while let Some(call) = next(inbox) {
            match call {
                WriterCall::Apply(request, answer) => drop(answer.send(self.apply(&request))),
                WriterCall::Revisions { before, limit, answer } => {
                    drop(answer.send(self.read(|store| store.revisions(before, limit))));
                }
                WriterCall::Revision(number, answer) => drop(answer.send(self.read(|store| store.revision(number)))),
                WriterCall::Rollouts(limit, answer) => drop(answer.send(self.read(|store| store.rollouts(limit)))),
                WriterCall::SloHours(services, answer) => {
                    drop(answer.send(self.read(|store| store.slo_hours(&services))));
                }
                WriterCall::KeepSloHours(rows, answer) => drop(answer.send(self.keep_slo_hours(&rows))),
                WriterCall::Facts(answer) => drop(answer.send(self.facts())),
                WriterCall::HandOver(answer) => {
                    // What is not on the files that the other process will open would be lost with this one's.
                    let secured = self.look_after_store();
                    if secured.is_ok() {
                        self.slot = StoreSlot::HandedOver;
                    }
                    answer.send(secured).ok();
                }
                WriterCall::LookAfterStore(answer) => {
                    // What is wrong is told already.
                    self.look_after_store().ok();
                    answer.send(()).ok();
                }
                WriterCall::TakeStoreBack(answer) => drop(answer.send(self.take_store_back())),
                WriterCall::ChaosRuns(limit, answer) => drop(answer.send(self.read(|store| store.chaos_runs(limit)))),
                WriterCall::KeepChaosRun(id, state, answer) => {
                    drop(answer.send(self.keep_chaos_run(id, state.as_deref())));
                }
                WriterCall::Faults(faults, answer) => drop(answer.send(self.set_faults(&faults))),
                WriterCall::CompileAgain(services, told) => {
                    self.compile_again(&services);
                    told.send(()).ok();
                }
                WriterCall::FleetNews(update, answer) => drop(answer.send(self.fleet_news(&update))),
                WriterCall::FleetApart(why, answer) => {
                    self.fleet_apart(why);
                    answer.send(()).ok();
                }
                WriterCall::FleetSeed(again, answer) => drop(answer.send(self.fleet_seed(again))),
                WriterCall::FleetStanding(answer) => drop(answer.send(self.fleet_standing())),
                WriterCall::Resolved(host, found, told) => {
                    self.resolved(&host, found);
                    told.send(()).ok();
                }
            }
        }
        // The last chance for what was acknowledged before its file was gone; an error is told.
        self.look_after_store().ok();
    }
}
