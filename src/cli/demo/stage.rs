//! Everything that runs during the demo, put up and taken down: shops, proxy, users.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::DemoArgs;
use super::bug::Bug;
use super::game::game_api::GameApi;
use super::game::game_runner::GameThread;
use super::game::game_traffic::{self, GameTraffic};
use super::operator::{FLAG, Operator, SERVICE};
use super::pay_service::{self, PayShield};
use super::shop::Shop;
use super::shop_build::{ShopPace, ShopRecipe};
use super::shop_version::ShopVersion;
use super::tally::Tally;
use super::users::{Crowd, Users};
use super::view::Places;
use crate::app::{Bound, Options, RunError, StartError};
use crate::cli::client::CallError;
use crate::config;
use crate::problem::Problems;

/// The salt of the demo's service. A fixed one, so that anybody can compute which users a release will reach, and the
/// scripted walk does.
pub(crate) const SALT: &str = "pointsman-demo";

/// How long an answer of the shop usually takes.
const ANSWER: Duration = Duration::from_millis(5);

/// The demo, running.
#[derive(Debug)]
pub(crate) struct DemoStage {
    /// Who comes.
    pub(crate) crowd: Crowd,
    /// Where everything is.
    pub(crate) places: Places,
    /// Who moves the traffic.
    pub(crate) operator: Operator,
    tally: Arc<Mutex<Tally>>,
    begun: Instant,
    users: Users,
    game: Option<GameThread>,
    proxy: Proxy,
    shops: Vec<Shop>,
}

/// The proxy on its thread.
#[derive(Debug)]
struct Proxy {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

/// Why the demo does not start, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// No thread, port or descriptor left.
    #[error("cannot start the {part}")]
    Part {
        /// Of what.
        part: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The demo's own config.
    #[error("the demo's config has problems")]
    Config(#[from] Problems),
    /// The proxy did not start.
    #[error("cannot start the proxy")]
    Start(#[from] Box<StartError>),
    /// The proxy ended with an error.
    #[error("the proxy stopped")]
    Run(#[from] RunError),
    /// The proxy ended in a panic, which was printed.
    #[error("the proxy ended in a panic; please report it")]
    Panic,
    /// The proxy has no listener: its config names one.
    #[error("the proxy does not listen")]
    NoListener,
    /// The address of the admin API.
    #[error(transparent)]
    Admin(#[from] CallError),
}

impl DemoStage {
    /// Opens the shops, starts the proxy in front of them and lets the users come.
    ///
    /// # Errors
    /// [`StageError`] when a part does not start.
    pub(crate) fn set(args: &DemoArgs, seed: u32, shield: PayShield) -> Result<Self, StageError> {
        let failed = |part| move |source| StageError::Part { part, source };
        let recipe = ShopRecipe {
            bug: args.bug.unwrap_or(Bug::None),
            pace: ShopPace::Quick,
            all_requests: f64::from(args.rate),
            seed: u64::from(seed),
        };
        let open = |installed: &[ShopVersion]| Shop::open(installed, recipe).map_err(failed("shop"));
        let shops = ShopVersion::ALL.into_iter().map(|version| open(&[version; 2])).collect::<Result<Vec<_>, _>>()?;
        let game_shop = args.has_game().then(|| open(&game_traffic::installed())).transpose()?;
        let api = args.has_game().then(GameApi::new);
        let text =
            config_text(args, shield, &shops) + &game_shop.as_ref().map(game_traffic::config_text).unwrap_or_default();
        let config = config::parse(&text, Path::new("."))?;
        let extra_api = api.as_ref().map(|api| api.router.clone());
        let options = Options { in_memory: true, extra_api, ..Options::default() };
        let bound = Bound::bind(config, options).map_err(Box::new)?;
        let addresses = bound.addresses();
        let (_, target) = *addresses.listeners.first().ok_or(StageError::NoListener)?;
        let game = args.has_game();
        let places = Places { proxy: format!("http://{target}"), admin: addresses.admin_url(), game };
        let operator = Operator::new(&places.admin)?;
        let (stop, stopped) = oneshot::channel();
        let wait = async move { stopped.await.unwrap_or_default() };
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || bound.run(wait));
        let proxy = Proxy { stop, thread: thread.map_err(failed("proxy"))? };
        let game = api.zip(game_shop).map(|(api, shop)| {
            let traffic = GameTraffic::new(operator.clone(), shop);
            GameThread::start(traffic, target, api.asks, api.ends).map_err(failed("game"))
        });
        let game = game.transpose()?;
        let (users, rate) = (args.users, args.rate);
        let crowd = Crowd { target, host: None, answer: ANSWER, users, rate, pays: args.chaos, seed };
        let begun = Instant::now();
        let tally = Arc::new(Mutex::new(Tally::new(crowd.count(), begun)));
        let users = Users::arrive(crowd, &tally).map_err(failed("users"))?;
        Ok(Self { crowd, places, operator, tally, begun, users, game, proxy, shops })
    }

    /// The counts, for a moment.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sends the users home, then stops the proxy and the shops.
    ///
    /// # Errors
    /// [`StageError`] when the proxy did not end well.
    pub(crate) fn strike(self) -> Result<(), StageError> {
        self.users.leave();
        self.game.into_iter().for_each(GameThread::stop);
        // The proxy has ended already if it does not listen; its result says why.
        let _stopped = self.proxy.stop.send(());
        let result = self.proxy.thread.join();
        self.shops.into_iter().for_each(Shop::close);
        result.map_err(|_panic| StageError::Panic)?.map_err(StageError::from)
    }
}

/// The config of the demo, as anybody could write it.
fn config_text(args: &DemoArgs, pay: PayShield, shops: &[Shop]) -> String {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (listener, admin) = (loopback(args.port), loopback(args.admin_port));
    let versions = versions_text(SERVICE, shops);
    let pay = if args.chaos {
        pay_service::config_text(pay, SALT, &versions_text(pay_service::SERVICE, shops))
    } else {
        String::new()
    };
    // With a bug, users are shielded from it: that is how one would release.
    let shield = if args.bug.is_some() { "shield = true\n" } else { "" };
    let (listed, flag) = if args.flags || args.script {
        let rule = "{ name = \"launch\", serve = { on = 10, off = 90 } }";
        let flag = format!("[flags.{FLAG}]\nsalt = \"service:{SERVICE}\"\nrules = [{rule}]\n");
        (format!("flags = [\"{FLAG}\"]\n"), flag)
    } else {
        (String::new(), String::new())
    };
    format!(
        "[listeners.public]\naddress = \"{listener}\"\n[admin]\naddress = \"{admin}\"\n\
         [proxy]\nshutdown_timeout = \"1s\"\nrevision_header = true\n\
         [services.{SERVICE}]\nsticky = [\"header:x-user-id\"]\nsalt = \"{SALT}\"\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         {shield}{listed}{versions}{flag}{pay}"
    )
}

fn versions_text(service: &str, shops: &[Shop]) -> String {
    let versions = ShopVersion::ALL.into_iter().zip(shops).map(|(version, shop)| {
        let endpoints: Vec<_> = shop.endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
        format!("[services.{service}.versions.{version}]\nendpoints = [{}]\n", endpoints.join(", "))
    });
    versions.collect()
}
