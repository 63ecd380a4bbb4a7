//! What is noted of a request on its way, for the objectives of its service.

/// See the file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ObjectiveNotes {
    /// Whether the response was a call of gRPC that failed by our side's fault.
    pub call_failed: bool,
    /// Whether the response has no end of its own: how long it took says nothing.
    pub is_endless: bool,
}
