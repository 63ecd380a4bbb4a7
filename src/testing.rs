//! The door for the tests and benches of this repository: what they use of the inside, and nothing else. It promises
//! nothing to anybody who links this crate.

pub mod admin {
    pub use crate::admin::access::{Access, AccessSettings, Address};
    pub use crate::admin::listen::{AdminBindError, AdminListener};
    pub use crate::admin::{AdminApi, AdminServer, ExperimentSources};
    pub use crate::tokens::{AccessRole, AccessToken};
    pub mod upgrade_calls {
        pub use crate::admin::upgrade_calls::channel;
    }
}
pub mod control {
    pub use crate::control::change::Change;
    pub use crate::control::experiment_change::ExperimentChange;
    pub use crate::control::experiment_states::ExperimentStates;
    pub use crate::control::file::FileSpecs;
    pub use crate::control::flag_change::FlagChange;
    pub use crate::control::handle::{ApplyError, ChangeRequest, Handle, OntoDead};
    pub use crate::control::planned::State;
    pub use crate::control::rollback::RollbackScope;
    pub use crate::control::service_intent::ServiceIntent;
    pub use crate::control::store::Store;
    pub use crate::control::writer::Writer;
    pub mod change {
        pub use crate::control::change::plan;
        pub use crate::control::planned::{Action, Entry, History, PlanError, Planned};
    }
    pub mod experiment_difference {
        pub use crate::control::experiment_difference::{ExperimentDifference, RunEnd};
    }
    pub mod clock {
        pub use crate::control::clock::Clock;
    }
    pub mod hold {
        pub use crate::control::hold_registry::HoldRegistry;
    }
    pub mod publish {
        pub use crate::control::publish::Published;
    }
    pub mod store {
        pub use crate::control::store::error::StoreError;
        pub use crate::control::store::schema::FORMAT;
        pub use crate::control::store::{FlagRecord, Header, Record, Store};
    }
    pub mod watch {
        pub use crate::control::watch::{ConfigFacts, ConfigSource, ConfigSourceDeps, ConfigText, FileContent};
    }
}
pub mod experiment {
    pub use crate::experiment::estimate::Measure;
    pub use crate::experiment::metric_result::{Better, ExperimentFinding, MetricPlan, MetricResult, ShareSums};
    pub use crate::experiment::metric_sums::MetricSums;
    pub use crate::experiment::sample_ratio::SampleRatio;
    pub use crate::shared::per_arm::PerArm;
    pub use crate::shared::probability::Probability;
}
pub mod files {
    pub use crate::files::reload::Reloader;
}
pub mod flagd {
    pub use crate::flagd::datum::Datum;
    pub use crate::flagd::flag_context::FlagContext;
    pub use crate::flagd::flag_file::{FlagFile, parse};
    pub use crate::flagd::fractional_version::FractionalVersion;
    pub use crate::flagd::imported_flag::{ImportedFlag, ImportedVariant, Resolution, ResolutionCause};
}
pub mod flags {
    pub use crate::flags::user::RequestUser;
}
pub mod http1 {
    pub use crate::http1::body::{BodyDecoder, Piece};
    pub use crate::http1::head::{BodyLength, HeadLimits, Request};
    pub use crate::http1::read_buf::ReadBuf;
}
pub mod message {
    pub use crate::message::headers::Headers;
    pub use crate::message::known_headers::KnownHeader;
    pub mod known_headers {
        use crate::message::known_headers;
        use crate::message::known_headers::KnownHeader;

        /// The header `content-length`.
        pub const CONTENT_LENGTH: KnownHeader = known_headers::CONTENT_LENGTH;
        /// The header `forwarded`.
        pub const FORWARDED: KnownHeader = known_headers::FORWARDED;
        /// The header `transfer-encoding`.
        pub const TRANSFER_ENCODING: KnownHeader = known_headers::TRANSFER_ENCODING;
        /// The header `x-forwarded-for`.
        pub const X_FORWARDED_FOR: KnownHeader = known_headers::X_FORWARDED_FOR;
    }
}
pub mod metrics {
    pub use crate::metrics::{Exporter, Sources};
    pub mod recent_rates {
        pub use crate::metrics::recent_rates::RecentRates;
    }
}
pub mod outbound {
    pub mod notify {
        pub use crate::outbound::notify::notifier;
    }
    pub mod prometheus {
        pub use crate::outbound::prometheus::MetricsClient;
    }
    pub mod webhook {
        pub use crate::outbound::webhook::WebhookClient;
    }
}
pub mod proxy {
    pub mod accept {
        pub mod proxy_protocol {
            pub use crate::proxy::accept::proxy_protocol::{Parsed, V1_BYTES_MAX, V2_BYTES_MAX, parse};
        }
    }
    pub mod drain {
        pub use crate::proxy::drain::LAST_REQUEST_GRACE;
    }
    pub mod request {
        pub mod admit {
            pub use crate::proxy::request::admit::{AdmitSettings, BodyFraming, WireFacts, admit};
            pub mod client_address {
                pub use crate::proxy::request::admit::client_address::behind;
            }
            pub mod host {
                pub use crate::proxy::request::admit::host::Host;
            }
        }
    }
}
pub mod problem {
    pub use crate::problem::{Problem, ProblemKind};
}
pub mod release {
    pub mod controller {
        pub use crate::release::controller::{Deps, RolloutController};
    }
}
pub mod rollout {
    pub mod judge {
        pub use crate::rollout::judge::evidence::{CandidateShare, EpochCounts, Evidence, OutcomeCounts};
        pub use crate::rollout::judge::judge_settings::JudgeSettings;
        pub use crate::rollout::judge::per_version::{PerVersion, Side};
        pub use crate::rollout::judge::tick::Judge;
        pub use crate::rollout::judge::verdict::{Bake, JudgeDecision};
    }
}
pub mod slo {
    pub use crate::slo_keeper::keeper::SloKeeper;
    pub use crate::slo_keeper::slo_handle::SloHandle;
    pub use crate::stats::slo_counters::SloOutcome;
    pub use crate::table::spec::slo::{LatencyObjective, SloSpec};
}
pub mod stats {
    pub use crate::shared::fault_stats::{FaultSlice, FaultStats};
    pub use crate::stats::labels::{CodeClass, RejectReason, UpstreamFailure};
    pub use crate::stats::registry::Registry;
}
pub mod supervise {
    pub use crate::supervise::part::Part;
}
pub mod table {
    pub use crate::shared::name::Name;
    pub use crate::table::address::{EndpointAddress, HostPort};
    pub use crate::table::decide::{Candidate, Cause, Decision, decide};
    pub use crate::table::experiment_run::{ExperimentRun, Fingerprint};
    pub use crate::table::fault_table::FaultInForce;
    pub use crate::table::flag_state::FlagState;
    pub use crate::table::host_addresses::Addresses;
    pub use crate::table::request::{BearerClaims, RequestView};
    pub use crate::table::slot_ranges::SlotRanges;
    pub use crate::table::slots::Slots;
    pub use crate::table::spec::ServiceSpec;
    pub use crate::table::table::Table;
    pub use crate::table::traffic::{MirrorShare, Traffic};
    pub use crate::table::weights::{SLOTS, Weight, Weights};
    pub mod hash {
        pub use crate::table::hash::Salt;
    }
    pub mod key {
        pub use crate::table::key::OWN_COOKIE;
    }
    pub mod spec {
        pub mod mirror {
            pub use crate::table::spec::mirror::MirrorSpec;
        }
        pub mod experiment {
            pub use crate::table::spec::experiment::{AssignmentSpec, CountedRequests, ExperimentSubject};
        }
        pub mod fault {
            pub use crate::table::spec::fault::{FaultAbort, FaultKind, FaultTarget};
        }
        pub mod flag {
            pub use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FlagSpecs, Variant};
        }
        pub use crate::table::spec::version_range::VersionRange;
        pub use crate::table::spec::{
            Attribute, Condition, HostPattern, KeySource, PathPrefix, Pattern, Policy, RuleSpec, Segment, VersionSpec,
        };
    }
}
