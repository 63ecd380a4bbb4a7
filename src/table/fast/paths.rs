//! The paths of one host that has many of them: a tree by segments, so that the longest prefix at a `/` boundary falls
//! out of one walk. The obvious list of prefixes, longest first, costs a comparison a service; hosts with few paths
//! have such a list nevertheless (see [`super::hosts`]), because it fits into one or two cache lines.

use std::collections::HashMap;

use crate::table::spec::PathPrefix;

/// A node: what serves here, and what is below.
#[derive(Debug, Default)]
pub(crate) struct PathTree {
    service: Option<u32>,
    children: HashMap<Box<[u8]>, Self>,
}

impl PathTree {
    /// Adds a service. Returns the one that was there already, if any; the first stays.
    pub(crate) fn add(&mut self, path: &PathPrefix, service: u32) -> Option<u32> {
        let mut node = self;
        for segment in path.segments() {
            node = node.children.entry(segment.as_bytes().into()).or_default();
        }
        let taken = node.service;
        node.service = taken.or(Some(service));
        taken
    }

    /// The service with the longest prefix of `path`. The root serves whatever the path looks like.
    pub(crate) fn find(&self, path: &[u8]) -> Option<u32> {
        let mut node = self;
        let mut found = node.service;
        if node.children.is_empty() {
            return found;
        }
        for segment in path.strip_prefix(b"/").into_iter().flat_map(|path| path.split(|byte| *byte == b'/')) {
            match node.children.get(segment) {
                Some(child) => node = child,
                None => break,
            }
            found = node.service.or(found);
        }
        found
    }
}
