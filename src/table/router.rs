//! From host and path to a service, in time that grows with the request's own labels and segments only.
//!
//! Exact hosts and the parents of wildcard hosts are hash maps; a request asks once for its host and once for each
//! parent domain, the longest first. Paths below a host are a tree by segments, so the longest prefix at a `/`
//! boundary falls out of one walk; the obvious list of prefixes, longest first, would cost a comparison a service.
//! A host whose own services do not answer a path leaves it to the wildcard hosts and those to the services of any
//! host: a catch-all service means what it says.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::spec::{HostPattern, PathPrefix};

/// The longest host that can match: 253 bytes is the most that a DNS name can have (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Finds services by host and path.
#[derive(Debug, Default)]
pub struct Router {
    exact: HashMap<Box<str>, PathTree>,
    below: HashMap<Box<str>, PathTree>,
    any: PathTree,
}

/// The paths of one host.
#[derive(Debug, Default)]
struct PathTree {
    service: Option<u32>,
    children: Children,
}

/// What is below one node of a [`PathTree`]. Nearly all nodes have few children, and a short list in one piece costs
/// half the cache misses of a map; a site with thousands of services on one host needs the map.
#[derive(Debug)]
enum Children {
    Few(Vec<(Box<str>, PathTree)>),
    Many(HashMap<Box<str>, PathTree>),
}

/// Up to so many children a list is faster than a map.
const FEW_CHILDREN_MAX: usize = 8;

impl Default for Children {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Router {
    /// Adds a service under all its hosts (none: any) and paths. Returns the service that already had one of these
    /// addresses, if any; the first stays.
    pub fn add(&mut self, hosts: &[HostPattern], paths: &[PathPrefix], service: u32) -> Option<u32> {
        let mut taken = None;
        for path in paths {
            if hosts.is_empty() {
                taken = taken.or(self.any.add(path, service));
            }
            for host in hosts {
                let tree = match host {
                    HostPattern::Exact(host) => tree(&mut self.exact, host),
                    HostPattern::Below(parent) => tree(&mut self.below, parent),
                };
                taken = taken.or(tree.add(path, service));
            }
        }
        taken
    }

    /// The service that answers `host` (in any case, without its port) and `path`.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<u32> {
        let mut lower = [0; HOST_BYTES_MAX];
        let host = lower_case(host, &mut lower).unwrap_or("");
        let exact = self.exact.get(host).and_then(|tree| tree.find(path));
        exact.or_else(|| self.find_below(host, path)).or_else(|| self.any.find(path))
    }

    fn find_below(&self, host: &str, path: &str) -> Option<u32> {
        if self.below.is_empty() {
            return None;
        }
        let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        parents.filter_map(|parent| self.below.get(parent)).find_map(|tree| tree.find(path))
    }
}

/// The paths of `host`, which has none yet if it is new.
fn tree<'a>(hosts: &'a mut HashMap<Box<str>, PathTree>, host: &str) -> &'a mut PathTree {
    match hosts.entry(host.into()) {
        Entry::Occupied(tree) => tree.into_mut(),
        Entry::Vacant(place) => place.insert(PathTree::default()),
    }
}

impl PathTree {
    fn add(&mut self, path: &PathPrefix, service: u32) -> Option<u32> {
        let mut node = self;
        for segment in path.segments() {
            node = node.children.child(segment);
        }
        let taken = node.service;
        node.service = taken.or(Some(service));
        taken
    }

    fn find(&self, path: &str) -> Option<u32> {
        let mut node = self;
        let mut found = node.service;
        if matches!(&node.children, Children::Few(list) if list.is_empty()) {
            return found;
        }
        for segment in path.strip_prefix('/')?.split('/') {
            match node.children.get(segment) {
                Some(child) => node = child,
                None => break,
            }
            found = node.service.or(found);
        }
        found
    }
}

impl Children {
    fn get(&self, segment: &str) -> Option<&PathTree> {
        match self {
            Self::Few(list) => list.iter().find(|(name, _)| **name == *segment).map(|(_, tree)| tree),
            Self::Many(map) => map.get(segment),
        }
    }

    /// The child of this name, new if there is none.
    fn child(&mut self, segment: &str) -> &mut PathTree {
        if let Self::Few(list) = self
            && list.len() == FEW_CHILDREN_MAX
        {
            *self = Self::Many(list.drain(..).collect());
        }
        match self {
            Self::Many(map) => tree(map, segment),
            Self::Few(list) => {
                let known = list.iter().position(|(name, _)| **name == *segment);
                let index = known.unwrap_or_else(|| {
                    // Room for one: most lists never get a second, and there is a list for each host.
                    list.reserve_exact(1);
                    list.push((segment.into(), PathTree::default()));
                    list.len() - 1
                });
                &mut list[index].1
            }
        }
    }
}

/// The host in lower case and without the dot of a fully qualified name; `None` if it is longer than a name can be.
fn lower_case<'a>(host: &str, into: &'a mut [u8; HOST_BYTES_MAX]) -> Option<&'a str> {
    let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
    let into = into.get_mut(..host.len())?;
    for (to, from) in into.iter_mut().zip(host) {
        *to = from.to_ascii_lowercase();
    }
    std::str::from_utf8(into).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(services: &[(&[&str], &[&str])]) -> Router {
        let mut router = Router::default();
        for (index, (hosts, paths)) in services.iter().enumerate() {
            let hosts: Vec<_> = hosts
                .iter()
                .map(|host| match host.strip_prefix("*.") {
                    Some(parent) => HostPattern::Below(parent.into()),
                    None => HostPattern::Exact((*host).into()),
                })
                .collect();
            let paths: Vec<_> = paths.iter().map(|path| PathPrefix::new(path).expect("a path")).collect();
            assert_eq!(router.add(&hosts, &paths, u32::try_from(index).expect("few")), None);
        }
        router
    }

    #[test]
    fn the_longest_prefix_at_a_boundary_wins() {
        let router = router(&[(&[], &["/"]), (&[], &["/api"]), (&[], &["/api/v2/", "/x/y"])]);
        for (path, service) in [
            ("/", 0),
            ("/apis", 0),
            ("/api", 1),
            ("/api/", 1),
            ("/api/v", 1),
            ("/api/v2", 2),
            ("/api/v2/items", 2),
            ("//api", 0),
            ("/x", 0),
            ("/x/y/z", 2),
        ] {
            assert_eq!(router.find("any.example", path), Some(service), "{path}");
        }
    }

    #[test]
    fn many_paths_below_one_host_are_all_found() {
        let paths: Vec<_> = (0..40).flat_map(|n| [format!("/shop-{n}"), format!("/deep/{n}/er")]).collect();
        let mut router = Router::default();
        for (index, path) in (0..).zip(&paths) {
            assert_eq!(router.add(&[], &[PathPrefix::new(path).expect("a path")], index), None, "{path}");
        }
        for (index, path) in (0..).zip(&paths) {
            assert_eq!(router.find("h", path), Some(index), "{path}");
            assert_eq!(router.find("h", &format!("{path}/below")), Some(index), "{path}");
            assert_eq!(router.find("h", &format!("{path}x")), None, "{path}x");
        }
        assert_eq!(router.find("h", "/deep"), None);
    }

    #[test]
    fn hosts_exact_then_wildcard_then_any() {
        let router = router(&[
            (&["shop.example.com"], &["/"]),
            (&["*.example.com"], &["/"]),
            (&["*.eu.example.com"], &["/"]),
            (&["api.example.com"], &["/v1"]),
            (&[], &["/status"]),
        ]);
        for (host, path, service) in [
            ("shop.example.com", "/", Some(0)),
            ("SHOP.Example.COM.", "/status", Some(0)),
            ("www.example.com", "/", Some(1)),
            ("a.b.example.com", "/", Some(1)),
            ("a.eu.example.com", "/", Some(2)),
            ("api.example.com", "/v1/x", Some(3)),
            ("api.example.com", "/v2", Some(1)),
            ("example.com", "/", None),
            ("example.com", "/status", Some(4)),
            ("127.0.0.1", "/", None),
        ] {
            assert_eq!(router.find(host, path), service, "{host}{path}");
        }
        assert_eq!(router.find(&"a".repeat(300), "/status"), Some(4));
    }

    #[test]
    fn a_second_service_at_one_address_is_reported() {
        let mut router = router(&[(&["a.example"], &["/x"])]);
        let host = [HostPattern::Exact("a.example".into())];
        assert_eq!(router.add(&host, &[PathPrefix::new("/x/").expect("a path")], 7), Some(0));
        assert_eq!(router.find("a.example", "/x"), Some(0));
    }
}
