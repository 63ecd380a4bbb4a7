//! How the writer is told of the fleet.

use std::collections::BTreeSet;

use crate::control::handle::{ApplyError, Handle, WriterCall, WriterGone};

use crate::table::Name;

use super::fleet_link::{FleetRefusal, FleetStanding};
use super::fleet_port::FleetUpdate;

impl Handle {
    /// Makes the tables of services anew, so that the workers count for what the leader judges. No revision: the
    /// traffic stays what it is, and nothing is stored.
    ///
    /// # Errors
    /// [`WriterGone`] when the writer has ended.
    pub(crate) async fn compile_again(&self, services: BTreeSet<Name>) -> Result<(), WriterGone> {
        self.ask(|answer| WriterCall::CompileAgain(services, answer)).await
    }

    /// Puts in force what the other replicas have, and says where this one stands with it.
    ///
    /// # Errors
    /// [`FleetRefusal`] when it must not be followed.
    pub(crate) async fn fleet_news(
        &self,
        update: Box<FleetUpdate>,
    ) -> Result<Result<FleetStanding, FleetRefusal>, WriterGone> {
        self.ask(|answer| WriterCall::FleetNews(update, answer)).await
    }

    /// Says that the fleet cannot be asked, and why: changes are refused from now on.
    ///
    /// # Errors
    /// [`WriterGone`] when the writer has ended.
    pub(crate) async fn fleet_apart(&self, why: String) -> Result<(), WriterGone> {
        self.ask(|answer| WriterCall::FleetApart(why, answer)).await
    }

    /// Begins a fleet with what this replica has. With `again`, also if it was in one: its document was lost, or is
    /// older than what was acknowledged.
    ///
    /// # Errors
    /// [`ApplyError`] when it has not begun.
    pub(crate) async fn fleet_seed(&self, again: bool) -> Result<FleetStanding, ApplyError> {
        self.ask(|answer| WriterCall::FleetSeed(again, answer)).await?
    }

    /// Where this replica stands with the fleet.
    ///
    /// # Errors
    /// [`WriterGone`] when the writer has ended.
    pub(crate) async fn fleet_standing(&self) -> Result<FleetStanding, WriterGone> {
        self.ask(WriterCall::FleetStanding).await
    }
}
