//! `/v1/demo`: the game for the console, beside the proxy's own API and behind the same guard.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::sleep;

use super::game_course::GameDecision;
use super::game_runner::{GameAsk, GameEnds, GameError, GameOrder, GameStart};
use super::game_strategy::GameStrategy;
use super::game_view;
use crate::app::{EventSource, StreamCall};
use crate::cli::chain;
use crate::cli::demo::bug::Bug;

/// The largest body of a start.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// Streams at a time.
const STREAMS_MAX: usize = 16;

/// The longest silence of a stream.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What the calls have in common.
#[derive(Clone, Debug)]
struct GameDesk {
    asks: Sender<GameAsk>,
    told: watch::Receiver<Arc<str>>,
    streams: Arc<Semaphore>,
}

/// The calls, and the other ends of what they hear and say.
pub(crate) struct GameApi {
    /// The calls.
    pub(crate) router: Router,
    /// Where orders go.
    pub(crate) asks: Sender<GameAsk>,
    /// For the thread that plays.
    pub(crate) ends: GameEnds,
}

impl GameApi {
    /// The calls of a game that does not run yet.
    pub(crate) fn new() -> Self {
        let (asks, asked) = mpsc::channel();
        let (tell, told) = watch::channel(Arc::from("{}"));
        let desk = GameDesk { asks: asks.clone(), told, streams: Arc::new(Semaphore::new(STREAMS_MAX)) };
        let router = Router::new()
            .route("/", get(async || json_text(&game_view::offer().to_string())))
            .route("/game", get(show).post(start).delete(quit))
            .route("/game/events", get(events))
            .route("/game/{decision}", post(decide))
            .fallback(async || refusal(StatusCode::NOT_FOUND, "no_resource", "there is nothing of the game here"))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(desk);
        Self { router, asks, ends: GameEnds { asks: asked, told: tell } }
    }
}

/// The body of a start.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StartGameBody {
    strategy: Option<String>,
    bug: Option<String>,
    seed: Option<u32>,
}

impl StartGameBody {
    /// Which game it asks for; a word that is none of those wanted.
    fn game(&self) -> Result<GameStart, UnknownWord> {
        let known = |found: &str, key, wanted: Vec<&'static str>| UnknownWord { key, found: found.to_owned(), wanted };
        let strategy = self.strategy.as_deref().unwrap_or("hand");
        let strategies = || GameStrategy::ALL.map(GameStrategy::word).to_vec();
        let strategy = GameStrategy::of_word(strategy).ok_or_else(|| known(strategy, "strategy", strategies()))?;
        let bugs = || Bug::ALL.map(Bug::word).to_vec();
        let bug = |word: &str| Bug::of_word(word).ok_or_else(|| known(word, "bug", bugs()));
        let bug = self.bug.as_deref().map(bug).transpose()?;
        Ok(GameStart { strategy, bug, seed: self.seed.unwrap_or_else(rand::random) })
    }
}

/// A word that is not known.
#[derive(Debug, thiserror::Error)]
#[error("{key}: found {found:?}, want one of {}", .wanted.join(", "))]
struct UnknownWord {
    key: &'static str,
    found: String,
    wanted: Vec<&'static str>,
}

async fn show(State(desk): State<GameDesk>) -> Response {
    desk.told_now()
}

async fn start(State(desk): State<GameDesk>, body: Bytes) -> Response {
    let invalid = |detail: String| refusal(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &detail);
    let body: StartGameBody = if body.is_empty() {
        StartGameBody::default()
    } else {
        match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(error) => return invalid(format!("cannot read the body: {error}")),
        }
    };
    match body.game() {
        Ok(game) => desk.ask(GameOrder::Start(game)).await,
        Err(unknown) => invalid(unknown.to_string()),
    }
}

async fn quit(State(desk): State<GameDesk>) -> Response {
    desk.ask(GameOrder::Quit).await
}

async fn decide(State(desk): State<GameDesk>, Path(decision): Path<String>) -> Response {
    let decision = match &*decision {
        "next" => GameDecision::On,
        "back" => GameDecision::Back,
        "ship" => GameDecision::Ship,
        other => {
            let detail = format!("found {other:?}, want next, back or ship");
            return refusal(StatusCode::NOT_FOUND, "unknown", &detail);
        }
    };
    desk.ask(GameOrder::Decide(decision)).await
}

async fn events(State(desk): State<GameDesk>, call: StreamCall) -> Response {
    let Ok(permit) = Arc::clone(&desk.streams).try_acquire_owned() else {
        let detail = format!("found {STREAMS_MAX} open streams, want fewer; close one, or try again");
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", &detail);
    };
    let mut told = desk.told;
    told.mark_changed();
    call.respond(GameStream { told, _permit: permit })
}

impl GameDesk {
    /// Has an order carried out, and answers with what there is then.
    async fn ask(&self, order: GameOrder) -> Response {
        let (done, result) = oneshot::channel();
        let asked = self.asks.send(GameAsk { order, done });
        let result = match asked {
            Ok(()) => result.await.unwrap_or(Err(GameError::Gone)),
            Err(_) => Err(GameError::Gone),
        };
        match result {
            Ok(()) => self.told_now(),
            Err(error @ GameError::Refused(_)) => refusal(StatusCode::CONFLICT, "conflict", &error.to_string()),
            Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, "game_failed", &chain(&error)),
        }
    }

    fn told_now(&self) -> Response {
        json_text(&self.told.borrow())
    }
}

/// What there is, each time it is otherwise.
struct GameStream {
    told: watch::Receiver<Arc<str>>,
    _permit: OwnedSemaphorePermit,
}

impl EventSource for GameStream {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            changed = self.told.changed() => changed.ok()?,
            () = sleep(SILENCE_MAX) => return Some(Bytes::from_static(b":\n\n")),
        }
        let told = Arc::clone(&self.told.borrow_and_update());
        Some(format!("event: game\ndata: {told}\n\n").into())
    }
}

fn json_text(text: &str) -> Response {
    ([(CONTENT_TYPE, "application/json")], text.to_owned()).into_response()
}

/// A refusal in the form of the admin API (RFC 9457).
fn refusal(status: StatusCode, word: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let kind = format!("urn:pointsman:problem:{word}");
    let body = json!({ "type": kind, "title": title, "status": status.as_u16(), "detail": detail, "problems": [] });
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_names_what_it_wants_or_is_told_what_there_is() {
        let read = |text: &str| serde_json::from_str::<StartGameBody>(text).unwrap().game();
        let game = read(r#"{"strategy": "rolling", "bug": "wrong-page", "seed": 7}"#).unwrap();
        let wanted = GameStart { strategy: GameStrategy::Rolling, bug: Some(Bug::WrongPage), seed: 7 };
        assert_eq!(game, wanted);
        let plain = read("{}").unwrap();
        assert_eq!((plain.strategy, plain.bug), (GameStrategy::Hand, None));
        let error = read(r#"{"bug": "worm"}"#).unwrap_err().to_string();
        assert_eq!(error, "bug: found \"worm\", want one of errors, latency, leak, wrong-page, crash, none");
        let error = read(r#"{"strategy": "hope"}"#).unwrap_err().to_string();
        assert_eq!(error, "strategy: found \"hope\", want one of hand, canary, blue_green, rolling, flag");
    }
}
