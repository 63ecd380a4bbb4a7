//! A mirror of a table, ready for decisions: what its definition, its traffic and its counters come to.

use std::sync::Arc;

use super::compile_error::{CompileError, position};
use super::spec::ServiceSpec;
use super::spec::mirror::MirrorSpec;
use super::traffic::Traffic;
use super::weights::Weight;
use crate::shared::mirror_stats::MirrorStats;
use crate::stats::Registry;

/// The mirror of a service, while any of its requests are copied.
#[derive(Debug)]
pub struct ActiveMirror {
    /// Which requests are copied, and what is compared.
    pub spec: Arc<MirrorSpec>,
    /// Index of the version that gets copies.
    pub to: u16,
    /// The part of the requests that is copied, above zero.
    pub share: Weight,
    /// What it has found.
    pub stats: Arc<MirrorStats>,
}

impl ActiveMirror {
    /// The mirror of a service under some traffic, if it has one.
    ///
    /// # Errors
    /// [`CompileError`] when the service has no such version.
    pub(crate) fn compile(
        spec: &ServiceSpec,
        traffic: &Traffic,
        registry: &Registry,
    ) -> Result<Option<Box<Self>>, CompileError> {
        let Some(share) = &traffic.mirror else { return Ok(None) };
        let to = position(spec, &share.to)?;
        let stats = registry.mirror(&spec.name, &share.to);
        Ok(Some(Box::new(Self { spec: spec.mirror_to(&share.to), to, share: share.share, stats })))
    }
}
