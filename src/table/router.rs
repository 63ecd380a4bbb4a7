//! From host and path to a service, in time that grows with the request's own labels and segments only.
//!
//! Exact hosts and the parents of wildcard hosts are hash tables (see [`super::fast::hosts`]); a request asks once for
//! its host and once for each parent domain, the longest first. A host whose own services do not serve a path leaves
//! it to the wildcard hosts and those to the services of any host: a catch-all service means what it says.

use std::collections::{BTreeMap, HashMap};

use super::fast::hosts::Hosts;
use super::fast::paths::PathTree;
use super::spec::{HostPattern, PathPrefix};

/// The longest host that can match: 253 bytes is the most that a DNS name can have (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Finds services by host and path.
#[derive(Debug, Default)]
pub(crate) struct Router {
    exact: Hosts,
    below: Hosts,
    any: PathTree,
}

/// The addresses of services, from which a [`Router`] is built.
#[derive(Debug, Default)]
pub(crate) struct RouterBuilder<'a> {
    exact: HashMap<&'a str, Paths<'a>>,
    below: HashMap<&'a str, Paths<'a>>,
    any: PathTree,
}

/// The paths of one host.
type Paths<'a> = BTreeMap<&'a PathPrefix, u32>;

impl<'a> RouterBuilder<'a> {
    /// Adds a service under all its hosts (none: any) and paths. Returns the service that already had one of these
    /// addresses, if any; the first stays.
    pub(crate) fn add(&mut self, hosts: &'a [HostPattern], paths: &'a [PathPrefix], service: u32) -> Option<u32> {
        let mut taken = None;
        for path in paths {
            if hosts.is_empty() {
                taken = taken.or(self.any.add(path, service));
            }
        }
        for host in hosts {
            let known = match host {
                HostPattern::Exact(host) => self.exact.entry(host).or_default(),
                HostPattern::Below(parent) => self.below.entry(parent).or_default(),
            };
            for path in paths {
                let first = *known.entry(path).or_insert(service);
                taken = taken.or((first != service).then_some(first));
            }
        }
        taken
    }

    /// The router that finds them.
    #[must_use]
    pub(crate) fn router(self) -> Router {
        let built = |hosts: HashMap<&str, Paths<'_>>| Hosts::build(hosts.into_iter());
        Router { exact: built(self.exact), below: built(self.below), any: self.any }
    }
}

impl Router {
    /// The service that serves `host` (in any case, without its port) and `path`.
    #[must_use]
    pub(crate) fn find(&self, host: &str, path: impl AsRef<[u8]>) -> Option<u32> {
        let path = path.as_ref();
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        if host.len() > HOST_BYTES_MAX {
            return self.any.find(path);
        }
        let exact = self.exact.find(host, path);
        exact.or_else(|| self.find_below(host, path)).or_else(|| self.any.find(path))
    }

    fn find_below(&self, host: &[u8], path: &[u8]) -> Option<u32> {
        if self.below.is_empty() {
            return None;
        }
        let dots = (0..host.len()).filter(|at| host[*at] == b'.');
        dots.into_iter().find_map(|dot| self.below.find(&host[dot + 1..], path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> HostPattern {
        match text.strip_prefix("*.") {
            Some(parent) => HostPattern::Below(parent.into()),
            None => HostPattern::Exact(text.into()),
        }
    }

    fn path(text: &str) -> PathPrefix {
        PathPrefix::new(text).expect("a path")
    }

    fn router(services: &[(&[&str], &[&str])]) -> Router {
        let services = services.iter().map(|(hosts, paths)| {
            let (hosts, paths) = (hosts.iter().map(|text| host(text)), paths.iter().map(|text| path(text)));
            (hosts.collect::<Vec<_>>(), paths.collect::<Vec<_>>())
        });
        let (services, mut addresses) = (services.collect::<Vec<_>>(), RouterBuilder::default());
        for ((hosts, paths), number) in services.iter().zip(0..) {
            assert_eq!(addresses.add(hosts, paths, number), None);
        }
        addresses.router()
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
        let texts: Vec<_> = (0..40).flat_map(|n| [format!("/shop-{n}"), format!("/deep/{n}/er")]).collect();
        let (one, paths) = ([host("one")], texts.iter().map(|text| [path(text)]).collect::<Vec<_>>());
        let mut addresses = RouterBuilder::default();
        for (path, index) in paths.iter().zip(0..) {
            assert_eq!((addresses.add(&[], path, index), addresses.add(&one, path, index)), (None, None), "{path:?}");
        }
        let router = addresses.router();
        for (host, (index, path)) in
            ["h", "one"].iter().flat_map(|host| (0..).zip(&texts).map(move |path| (host, path)))
        {
            assert_eq!(router.find(host, path), Some(index), "{path}");
            assert_eq!(router.find(host, format!("{path}/below")), Some(index), "{path}");
            assert_eq!(router.find(host, format!("{path}x")), None, "{path}x");
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
        let (hosts, first, second) = ([vec![host("a.example")], Vec::new()], [path("/x")], [path("/x/")]);
        let mut addresses = RouterBuilder::default();
        for hosts in &hosts {
            assert_eq!(addresses.add(hosts, &first, 0), None);
            assert_eq!(addresses.add(hosts, &second, 7), Some(0));
        }
        assert_eq!(addresses.router().find("a.example", "/x"), Some(0));
    }

    /// The service of the longest prefix, found by looking at all; the first of equals.
    fn naive(services: &[(Vec<HostPattern>, Vec<PathPrefix>)], host: &str, path: &str) -> Option<u32> {
        let lower = host.to_ascii_lowercase();
        let host = lower.strip_suffix('.').unwrap_or(&lower);
        let best_of = |has_host: &dyn Fn(&[HostPattern]) -> bool| {
            let mut best: Option<(usize, u32)> = None;
            for (number, (_, paths)) in (0..).zip(services).filter(|(_, (hosts, _))| has_host(hosts)) {
                for prefix in paths.iter().map(PathPrefix::as_str) {
                    let below = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                    if below && best.is_none_or(|(longest, _)| prefix.len() > longest) {
                        best = Some((prefix.len(), number));
                    }
                }
            }
            best.map(|(_, number)| number)
        };
        let exact = best_of(&|hosts| hosts.contains(&HostPattern::Exact(host.into())));
        let parents = host.match_indices('.').map(|(dot, _)| HostPattern::Below(host[dot + 1..].into()));
        let below = || parents.into_iter().find_map(|parent| best_of(&|hosts| hosts.contains(&parent)));
        exact.or_else(below).or_else(|| best_of(&<[_]>::is_empty))
    }

    fn services() -> impl Strategy<Value = Vec<(Vec<HostPattern>, Vec<PathPrefix>)>> {
        let host = prop_oneof![
            "[ab]{1,2}(\\.[ab]{1,9})?".prop_map(|host| HostPattern::Exact(host.into())),
            "[ab]{1,2}".prop_map(|parent| HostPattern::Below(parent.into())),
        ];
        let path = "/([ab]{1,2}/|abababab/){0,3}".prop_map(|path| PathPrefix::new(&path).expect("a path"));
        let some = (prop::collection::vec(host, 0..3), prop::collection::vec(path, 1..5));
        prop::collection::vec(some, 0..20)
    }

    proptest! {
        #[test]
        fn a_naive_search_finds_the_same(
            services in services(),
            hosts in prop::collection::vec("[abAB]{1,2}(\\.[abAB]{1,9}){0,2}\\.?", 1..20),
            paths in prop::collection::vec("/([ab]{0,2}/|abababab/){0,4}[ab]{0,2}", 1..20),
        ) {
            let mut addresses = RouterBuilder::default();
            for ((hosts, paths), number) in services.iter().zip(0..) {
                addresses.add(hosts, paths, number);
            }
            let router = addresses.router();
            for (host, path) in hosts.iter().flat_map(|host| paths.iter().map(move |path| (host, path))) {
                prop_assert_eq!(router.find(host, path), naive(&services, host, path), "{}{}", host, path);
            }
        }
    }
}
