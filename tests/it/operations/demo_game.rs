//! The game of the demo, played by a script: a client of the API that releases v2 with each bug and does not look, and
//! the judge that makes the same release.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::event_stream::EventStream;
use crate::support::{Client, eventually, eventually_within};

/// The longest that both releases of a game may take on a busy machine.
const GAME_MAX: Duration = Duration::from_secs(90);

/// The longest that a call may take that moves traffic.
const CALL_MAX: Duration = Duration::from_secs(20);

/// A demo with hardly any users but those of the game.
struct Demo {
    child: Child,
    /// Read by the page that is printed; kept, or the demo would end for lack of a reader.
    _lines: Lines<BufReader<ChildStdout>>,
    admin: SocketAddr,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["demo", "--seed", "1", "--users", "10", "--rate", "5"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = lines.by_ref().map(Result::unwrap);
        let console = printed.find_map(|line| line.strip_prefix("console ").map(str::to_owned)).unwrap();
        let game = printed.find(|line| line.ends_with("/#/game")).unwrap();
        assert_eq!(game.trim(), format!("{console}#/game"));
        let admin = console.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        Self { child, _lines: lines, admin }
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (admin, length) = (self.admin, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n");
        let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        let answer = Client::to(self.admin).patient(CALL_MAX).ask(request);
        (answer.status, serde_json::from_str(&answer.text()).unwrap_or(Value::Null))
    }

    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    fn game(&self) -> Value {
        self.done("GET", "/v1/demo/game", &Value::Null)
    }

    fn ask(&self, decision: &str) -> Value {
        self.done("POST", &format!("/v1/demo/game/{decision}"), &Value::Null)
    }

    fn users_come(&self) {
        eventually("the users come", || self.game()["counts"]["requests"].as_u64().unwrap() >= 150);
    }

    /// What v2 of a service has, in per cent.
    fn share(&self, service: &str) -> f64 {
        let service = self.done("GET", &format!("/v1/services/{service}"), &Value::Null);
        service["versions"][1]["weight"].as_f64().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Releases v2 without a look at its users, lets the judge do the same, and hands back how it went.
fn ignored(bug: &str, strategy: &str) -> Value {
    let demo = Demo::start();
    let begun = demo.done("POST", "/v1/demo/game", &json!({ "bug": bug, "strategy": strategy, "seed": 7 }));
    assert_eq!((&begun["phase"], &begun["bug"], &begun["seed"]), (&json!("playing"), &Value::Null, &json!(7)));
    demo.users_come();
    if strategy == "hand" {
        let body = json!({ "v1": 50, "v2": 50, "reason": "looks fine" });
        demo.done("PUT", &format!("/v1/services/{}/split", begun["service"].as_str().unwrap()), &body);
    } else {
        assert_eq!(demo.ask("next")["share"], begun["next"]["share"]);
    }
    assert_eq!(demo.ask("ship")["phase"], "aftermath");
    eventually_within(GAME_MAX, "both releases are over", || {
        let game = demo.game();
        assert_eq!(game["trouble"], Value::Null, "{game}");
        game["phase"] == "over"
    });
    assert_eq!(demo.share(begun["service"].as_str().unwrap()), 0.0, "everything is back on v1");
    demo.game()
}

fn hurt(game: &Value, side: &str) -> u64 {
    game[side]["users_hurt"].as_u64().unwrap()
}

#[test]
fn who_ignores_the_bug_hurts_more_users_than_the_judge() {
    let games = [
        ("errors", "canary"),
        ("latency", "hand"),
        ("leak", "rolling"),
        ("wrong-page", "flag"),
        ("crash", "hand"),
        ("none", "canary"),
    ];
    let playing = games.map(|(bug, strategy)| thread::spawn(move || ignored(bug, strategy)));
    for ((bug, strategy), game) in games.into_iter().zip(playing) {
        let game = game.join().unwrap();
        let (hand, judge) = (&game["hand"], &game["judge"]);
        let told = format!("{bug} by {strategy}: {hand}\n{judge}\n{}", game["says"]);
        println!("{told}");
        assert_eq!(game["bug"]["bug"], bug, "{told}");
        assert_eq!((&hand["ending"], &hand["seconds_until_back"]), (&json!("shipped"), &Value::Null), "{told}");
        if bug == "none" {
            assert_eq!(judge["ending"], "completed", "{told}");
            continue;
        }
        assert_eq!(judge["ending"], "rolled_back", "{told}");
        assert!(hurt(&game, "hand") > hurt(&game, "judge"), "{told}");
        assert!(judge["seconds_until_back"].as_f64().is_some_and(|seconds| seconds < 40.0), "{told}");
    }
}

#[test]
fn a_blue_green_release_is_asked_for_its_pages_before_users_come() {
    let game = ignored("wrong-page", "blue_green");
    assert!(hurt(&game, "hand") > hurt(&game, "judge"), "{game}");
    assert_eq!((&game["judge"]["ending"], &game["judge"]["users_reached"]), (&json!("rolled_back"), &json!(0)));
    assert!(game["says"].as_str().unwrap().contains("status 404"), "{game}");
}

#[test]
fn a_player_goes_step_by_step_and_back_and_no_step_is_lost() {
    let demo = Demo::start();
    let offer = demo.done("GET", "/v1/demo", &Value::Null);
    for (strategy, service) in
        [("canary", "game"), ("rolling", "game-rolling"), ("blue_green", "game-blue-green"), ("flag", "game")]
    {
        let offered = offer["game"]["strategies"].as_array().unwrap();
        let steps = &offered.iter().find(|offered| offered["strategy"] == strategy).unwrap()["steps"];
        let begun = demo.done("POST", "/v1/demo/game", &json!({ "strategy": strategy, "bug": "none" }));
        assert_eq!(begun["service"], service);
        demo.users_come();
        for step in steps.as_array().unwrap() {
            let share = step.as_f64().unwrap();
            let game = demo.ask("next");
            assert_eq!(game["share"], *step);
            let users = game["dots"].as_str().unwrap().len() as f64;
            eventually("users are on v2", || {
                let found = demo.game()["counts"]["users_on_v2"].as_f64().unwrap() / users * 100.0;
                (found - share).abs() < 6.0
            });
        }
        let (status, problem) = demo.call("POST", "/v1/demo/game/next", &Value::Null);
        assert_eq!((status, problem["detail"].as_str().unwrap().contains("no further step")), (409, true));
        assert_eq!(demo.ask("back")["phase"], "going_back");
        eventually("the judge's turn, and the bug may be known", || demo.game()["bug"]["bug"] == "none");
        let game = demo.game();
        assert_eq!((&game["hand"]["ending"], &game["hand"]["users_hurt"].is_u64()), (&json!("went_back"), &true));
        assert!(game["hand"]["seconds_until_back"].as_f64().unwrap() > 0.0, "{game}");
        assert_eq!(demo.done("DELETE", "/v1/demo/game", &Value::Null)["phase"], "idle");
        assert_eq!(demo.share(service), 0.0);
    }
}

#[test]
fn the_game_is_followed_by_a_stream_and_refuses_what_makes_no_sense() {
    let demo = Demo::start();
    let refused = |method: &str, path: &str, body: Value| {
        let (status, problem) = demo.call(method, path, &body);
        let kind = problem["type"].as_str().unwrap_or_default().trim_start_matches("urn:pointsman:problem:").to_owned();
        (status, kind, problem["detail"].as_str().unwrap_or_default().to_owned())
    };
    let (status, kind, detail) = refused("POST", "/v1/demo/game", json!({ "bug": "worm" }));
    assert_eq!((status, kind.as_str()), (422, "invalid"));
    assert!(detail.starts_with("bug: found \"worm\", want one of errors, "), "{detail}");
    assert_eq!(refused("POST", "/v1/demo/game", json!({ "cheat": true })).0, 422);
    assert_eq!(refused("POST", "/v1/demo/game/ship", Value::Null).0, 409, "no game");
    assert_eq!(refused("POST", "/v1/demo/game/jump", Value::Null).0, 404);
    assert_eq!(refused("GET", "/v1/demo/other", Value::Null).1, "no_resource");
    assert_eq!(refused("POST", "/v1/demo/game", json!("x".repeat(10_000))).0, 413);
    let foreign = format!("POST /v1/demo/game HTTP/1.1\r\nHost: {}\r\nOrigin: http://evil.example\r\n\r\n", demo.admin);
    assert_eq!(Client::to(demo.admin).ask(foreign).status, 403, "a page of another site");

    let mut stream = EventStream::open(demo.admin, "/v1/demo/game/events", &[]);
    assert!(stream.part().unwrap().contains("\"phase\":\"idle\""));
    let drawn = demo.done("POST", "/v1/demo/game", &json!({ "seed": 3 }));
    assert_eq!((&drawn["bug"], &drawn["strategy"]), (&Value::Null, &json!("hand")));
    assert_eq!(refused("POST", "/v1/demo/game", json!({})).0, 409, "one at a time");
    let (status, _, detail) = refused("POST", "/v1/demo/game/next", Value::Null);
    assert!(status == 409 && detail.contains("by hand there are no steps"), "{detail}");
    let heard = (0..200).map_while(|_| stream.part()).find(|part| part.contains("\"dots\":\"") && part.contains('1'));
    let heard = heard.expect("dots");
    let data = heard.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let told: Value = serde_json::from_str(data).unwrap();
    assert_eq!(told["dots"].as_str().unwrap().len(), 400);
    assert!(data.len() < 2_000, "{} bytes for 400 users", data.len());
    demo.done("DELETE", "/v1/demo/game", &Value::Null);
}
