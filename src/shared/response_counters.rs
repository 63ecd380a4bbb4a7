//! How many responses of each class there were, by version and share.

use serde::{Deserialize, Serialize};

use super::additive::additive;
use super::canary_clients::ClientNumber;
use super::count::Count;
use super::response_class::{CLASSES, ClassSet, ObservedResponse, ResponseClass};
use super::sightings::{Testimony, TestimonyTeller};
use super::slot_set::SlotSet;
use super::usual_responses::UsualResponses;

/// What a request says of the responses of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseOutcome {
    /// Whether the plan asks for responses to such requests.
    pub is_asked: bool,
    /// Whether lengths and types say something: not of a `HEAD`.
    pub has_body: bool,
    /// What was seen of the response; none if there was none, or the attempt failed.
    pub observed: Option<ObservedResponse>,
}

impl ResponseOutcome {
    /// Of a request that is not asked for.
    pub(crate) const NONE: Self = Self { is_asked: false, has_body: false, observed: None };
}

/// One worker's counters of a version.
#[derive(Debug, Default)]
pub(crate) struct ClassCounters {
    asked: Count,
    compared: Count,
    by_class: [Count; CLASSES],
    counted: [Count; CLASSES],
}

/// Judged requests of a version, by the classes that their responses are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTotals {
    /// Those that the plan asks for.
    pub asked: u64,
    /// Those of them that could be compared with what the baseline usually sends.
    pub compared: u64,
    /// By class, all of them.
    pub by_class: [u64; CLASSES],
    /// By class, those that are evidence: the first of each user and client.
    pub counted: [u64; CLASSES],
}

/// What the counters of all shares have in common.
#[derive(Debug)]
pub(crate) struct ResponseStats {
    pub(crate) usual: UsualResponses,
    /// Slots that were counted, by class; none where no slot is.
    slots: Vec<SlotSet>,
    /// Clients that were counted, each class at a place of its own.
    clients: SlotSet,
}

/// Who asks, where a user is one draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// The slot of the key.
    pub slot: u32,
    /// The address, unless many are behind it.
    pub client: Option<ClientNumber>,
}

impl Asker {
    /// Whether it is the first time in this set, for an outcome of this kind; always, where many are behind an address.
    pub(crate) fn is_first_of_client(self, clients: &SlotSet, kind: usize) -> bool {
        self.client.is_none_or(|client| clients.first(client.place(kind)))
    }
}

impl ResponseStats {
    pub(crate) fn new(workers: usize, per_key: bool) -> Self {
        let slots = if per_key { CLASSES } else { 0 };
        Self {
            usual: UsualResponses::new(workers),
            slots: (0..slots).map(|_| SlotSet::default()).collect(),
            clients: SlotSet::default(),
        }
    }

    /// Counts a request; `asker` is who asks if he is one draw.
    pub(crate) fn count(
        &self,
        counters: &ClassCounters,
        outcome: &ResponseOutcome,
        asker: Option<Asker>,
        teller: TestimonyTeller<'_>,
    ) {
        if !outcome.is_asked {
            return;
        }
        let by_usual = outcome.has_body && self.usual.is_known();
        counters.asked.add(1);
        counters.compared.add(u64::from(by_usual));
        let observed = outcome.observed.as_ref();
        for class in observed.map_or(ClassSet::default(), |seen| self.usual.classes(seen, by_usual)).iter() {
            counters.by_class[class.index()].add(1);
            let is_first = asker.is_none_or(|asker| self.is_first(class, asker));
            let (counted, slot) = (&counters.counted[class.index()], asker.map(|asker| asker.slot));
            teller.count_first(counted, Testimony::Class(class.index()), slot, is_first);
        }
    }

    /// Remembers what the baseline has sent.
    pub(crate) fn learn(&self, worker: usize, outcome: &ResponseOutcome) {
        if let Some(observed) = outcome.observed.filter(|_| outcome.is_asked && outcome.has_body) {
            self.usual.learn(worker, &observed);
        }
    }

    /// Notes what a user of another replica has got; whether it is for the first time.
    pub(crate) fn testify(&self, class: usize, slot: u32) -> bool {
        self.slots.get(class).is_some_and(|slots| slots.first(slot))
    }

    fn is_first(&self, class: ResponseClass, asker: Asker) -> bool {
        asker.is_first_of_client(&self.clients, class.index())
            && self.slots.get(class.index()).is_some_and(|slots| slots.first(asker.slot))
    }
}

additive!(ClassTotals, of ClassCounters { asked, compared, by_class, counted });

impl ClassTotals {
    /// Responses that were asked whether they are in `class`.
    #[must_use]
    pub fn asked_for(&self, class: ResponseClass) -> u64 {
        if class.needs_usual() { self.compared } else { self.asked }
    }
}
