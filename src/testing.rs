//! The door for the tests and benches of this repository: what they use of the inside, and nothing else. It promises
//! nothing to anybody who links this crate.

pub mod admin {
    pub use crate::admin::{Access, AccessSettings, Address, Admin, BindError, Listener, Role, TokenFile, serve};
}
pub mod control {
    pub use crate::control::{ApplyError, Change, ChangeRequest, Fault, FaultKind, Handle, State, Store, Writer};
    pub mod change {
        pub use crate::control::change::{Action, Entry, History, PlanError, Planned, plan};
    }
    pub mod hold {
        pub use crate::control::hold::Desk;
    }
    pub mod publish {
        pub use crate::control::publish::Published;
    }
    pub mod store {
        pub use crate::control::store::{FORMAT, Header, Record, Store, StoreError};
    }
    pub mod upgrade {
        pub use crate::control::upgrade::channel;
    }
    pub mod watch {
        pub use crate::control::watch::{ConfigFacts, ConfigWatch, FileContent};
    }
}
pub mod endpoints {
    pub mod resolve {
        pub use crate::endpoints::resolve::Resolver;
    }
}
pub mod http1 {
    pub use crate::http1::{BodyDecoder, BodyLength, HeadLimits, Inbox, Piece, Request};
}
pub mod message {
    pub use crate::message::{Headers, Name};
    pub mod names {
        pub use crate::message::names::{CONTENT_LENGTH, FORWARDED, TRANSFER_ENCODING, X_FORWARDED_FOR};
    }
}
pub mod metrics {
    pub use crate::metrics::{Exporter, Sources};
    pub mod recent_rates {
        pub use crate::metrics::recent_rates::Live;
    }
}
pub mod outbound {
    pub mod notify {
        pub use crate::outbound::notify::notifier;
    }
    pub mod webhook {
        pub use crate::outbound::webhook::Poster;
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
            pub use crate::proxy::request::admit::{AdmitSettings, BodyFraming, Seen, admit};
            pub mod client {
                pub use crate::proxy::request::admit::client::behind;
            }
            pub mod host {
                pub use crate::proxy::request::admit::host::Host;
            }
        }
    }
}
pub mod release {
    pub mod director {
        pub use crate::release::director::{Director, Means};
    }
}
pub mod rollout {
    pub mod judge {
        pub use crate::rollout::judge::{
            Bake, Counts, EpochCounts, Evidence, Judge, JudgeSettings, Ruling, Share, Side, Sides,
        };
    }
}
pub mod stats {
    pub use crate::stats::{CodeClass, Refused, Registry, UpstreamFailure};
}
pub mod supervise {
    pub use crate::supervise::Part;
}
pub mod table {
    pub use crate::table::{
        Addresses, Candidate, Cause, Decision, EndpointAddress, HostPort, Name, RequestView, SLOTS, ServiceSpec, Slots,
        Table, Traffic, Weight, Weights, decide,
    };
    pub mod hash {
        pub use crate::table::hash::Salt;
    }
    pub mod key {
        pub use crate::table::key::OWN_COOKIE;
    }
    pub mod spec {
        pub use crate::table::spec::{
            Condition, HostPattern, KeySource, PathPrefix, Pattern, Policy, RuleSpec, Segment, VersionSpec,
        };
    }
}
