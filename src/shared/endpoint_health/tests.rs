//! The states of an endpoint under every order of what can happen to it.

use proptest::prelude::*;

use super::*;

#[test]
fn one_probe_after_each_pause_until_it_answers() {
    let endpoint = EndpointHealth::default();
    assert!(endpoint.reachable(0) && endpoint.claim(0) && endpoint.claim(0));
    assert!(endpoint.refused(1_000, || "no".into()) && !endpoint.refused(1_100, String::new), "the first is news");
    assert!(!endpoint.reachable(5_099) && !endpoint.claim(5_099));
    endpoint.still_refuses(5_000);
    assert!(!endpoint.reachable(8_999) && !endpoint.claim(8_999), "somebody else has asked");
    assert_eq!(endpoint.status(8_999), HealthStatus::Paused { for_ms: 7_999, refusal: "no".into() });
    assert!(endpoint.reachable(9_000) && endpoint.claim(9_000), "nobody asks: the probe");
    assert!(!endpoint.claim(9_000), "only one probe");
    assert!(!endpoint.answered(9_001) && endpoint.is_paused(), "an old connection says nothing of new ones");
    assert!(endpoint.connected(9_000) && !endpoint.connected(9_000));
    assert!(endpoint.claim(9_000) && endpoint.claim(9_000));
}

#[test]
fn as_the_last_resort_one_request_in_a_while_tries() {
    let endpoint = EndpointHealth::default();
    assert!(endpoint.claim_last_resort(0) && endpoint.claim_last_resort(0), "not while it takes connections");
    endpoint.refused(1_000, String::new);
    assert!(!endpoint.claim_last_resort(1_009) && endpoint.claim_last_resort(1_010));
    assert!(!endpoint.claim_last_resort(1_010), "while one is under way");
    assert!(endpoint.claim_last_resort(1_020), "it hangs: the next one");
    for _ in 0..40 {
        endpoint.refused(2_000, String::new);
    }
    assert!(!endpoint.claim_last_resort(2_099) && endpoint.claim_last_resort(2_100), "no less often than that");
    endpoint.connected(2_101);
    endpoint.refused(3_000, String::new);
    assert!(endpoint.claim_last_resort(3_010), "it begins anew");
}

#[test]
fn an_ejection_ends_by_its_probe_and_doubles_until_forgiven() {
    let endpoint = EndpointHealth::default();
    assert_eq!(endpoint.eject(0, 100, 350), 100);
    assert!(!endpoint.answered(50), "an answer from before the ejection says nothing");
    assert!(!endpoint.end_probe(), "nor does a failure");
    assert!(!endpoint.claim(99) && endpoint.claim(100) && !endpoint.claim(100));
    assert!(endpoint.end_probe(), "the probe failed");
    assert_eq!(endpoint.eject(110, 100, 350), 200);
    assert_eq!(endpoint.status(200), HealthStatus::Ejected(110));
    assert!(endpoint.claim(310) && endpoint.answered(320) && !endpoint.is_out());
    assert_eq!(endpoint.eject(400, 100, 350), 350, "it has not been quiet: the rest goes on doubling, to its bound");
    assert!(endpoint.end_ejection(401));
    (0..5).for_each(|_| endpoint.forget_ejection());
    assert_eq!(endpoint.eject(500, 100, 350), 100);
}

#[test]
fn a_refused_probe_pauses_and_leaves_the_ejection() {
    let endpoint = EndpointHealth::default();
    endpoint.eject(0, 1_000, 9_000);
    assert!(endpoint.claim(1_000));
    endpoint.refused(1_001, String::new);
    assert!(!endpoint.reachable(2_000), "the longer one of the two");
    assert!(endpoint.connected(2_000) && endpoint.is_ejected());
    assert!(endpoint.claim(2_000) && endpoint.answered(2_001) && !endpoint.is_out());
}

#[test]
fn checks_have_the_last_word() {
    let endpoint = EndpointHealth::default();
    assert!(endpoint.mark_unhealthy("status 500".into()) && !endpoint.mark_unhealthy("status 503".into()));
    assert_eq!(endpoint.status(0), HealthStatus::Unhealthy("status 503".into()));
    assert!(!endpoint.reachable(1 << 40) && !endpoint.claim(1 << 40), "no request is spent on a probe");
    assert!(!endpoint.connected(5) && !endpoint.answered(5) && endpoint.is_out());
    endpoint.refused(10, String::new);
    endpoint.eject(10, 100_000, 100_000);
    endpoint.mark_healthy(20);
    assert_eq!(endpoint.status(20), HealthStatus::Healthy);
    assert_eq!(endpoint.eject(30, 100, 900), 100, "the ejection before is forgotten");
    endpoint.mark_unhealthy("status 500".into());
    endpoint.unchecked(40);
    assert!(endpoint.is_ejected() && endpoint.is_last_resort());
}

#[test]
fn warmth_grows_from_a_tenth() {
    let endpoint = EndpointHealth::default();
    assert_eq!(endpoint.warmth(7, 1_000), WARM, "an endpoint of the start is warm");
    endpoint.refused(0, String::new);
    endpoint.connected(1_000);
    let grown: Vec<_> =
        [1_000, 1_050, 1_500, 1_999, 2_000, 9_000].iter().map(|now| endpoint.warmth(*now, 1_000)).collect();
    assert_eq!(grown, [100, 100, 500, 999, 1_000, 1_000]);
    assert_eq!(endpoint.warmth(1_000, 0), WARM);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Refused,
    StillRefuses,
    Connected,
    Answered,
    Completed,
    Fault,
    Eject,
    EndEjection,
    ForgetEjection,
    MarkUnhealthy,
    MarkHealthy,
    Unchecked,
    Claim,
}

fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    prop::sample::select(vec![
        Refused,
        StillRefuses,
        Connected,
        Answered,
        Completed,
        Fault,
        Eject,
        EndEjection,
        ForgetEjection,
        MarkUnhealthy,
        MarkHealthy,
        Unchecked,
        Claim,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: what is out of rotation has a reason that is shown, an unhealthy endpoint
    /// gets no request, at most one request is let through in a rest, and nothing stays out for ever by itself.
    #[test]
    fn any_history_leaves_a_consistent_state(events in prop::collection::vec((event(), 0..400u64), 1..200)) {
        let endpoint = EndpointHealth::default();
        let (mut now, mut unhealthy) = (0, false);
        for (event, passed) in events {
            now += passed;
            match event {
                Event::Refused => drop(endpoint.refused(now, String::new)),
                Event::StillRefuses => endpoint.still_refuses(now),
                Event::Connected => drop(endpoint.connected(now)),
                Event::Answered => drop(endpoint.answered(now)),
                Event::Completed => endpoint.completed(),
                Event::Fault => drop(endpoint.fault()),
                Event::Eject => drop(endpoint.eject(now, 100, 1_000)),
                Event::EndEjection => drop(endpoint.end_ejection(now)),
                Event::ForgetEjection => endpoint.forget_ejection(),
                Event::MarkUnhealthy => {
                    endpoint.mark_unhealthy("status 500".into());
                    unhealthy = true;
                }
                Event::MarkHealthy => {
                    prop_assert_eq!(endpoint.mark_healthy(now), unhealthy);
                    unhealthy = false;
                }
                Event::Unchecked => {
                    endpoint.unchecked(now);
                    unhealthy = false;
                }
                Event::Claim => {
                    let out = endpoint.is_out();
                    prop_assert!(!(endpoint.claim(now) && out && endpoint.claim(now)), "two probes at one time");
                }
            }
            prop_assert_eq!(endpoint.is_out(), endpoint.status(now) != HealthStatus::Healthy);
            prop_assert_eq!(matches!(endpoint.status(now), HealthStatus::Unhealthy(_)), unhealthy);
            prop_assert!(!unhealthy || !endpoint.reachable(now));
            // The longest rest, or the longest pause after it.
            prop_assert!(unhealthy || endpoint.reachable(now + PAUSE_MS.max(1_000)));
            prop_assert_eq!(unhealthy, !endpoint.is_last_resort());
        }
    }
}
