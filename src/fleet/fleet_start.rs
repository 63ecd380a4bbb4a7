//! What a replica finds when it starts, before it serves anybody.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::runtime::Runtime;

use super::etcd_client::{EtcdClient, EtcdError};
use super::etcd_port::{self, EtcdPort, LeaderMark};
use super::etcd_words;
use super::fleet_keys::{FleetKeys, FleetMember};
use crate::config::FleetConfig;
use crate::control::Store;
use crate::control::fleet::fleet_link::{FleetBegin, FleetFound, FleetLink};
use crate::control::store::StoreError;

/// What the keeper of a fleet goes on from.
#[derive(Debug)]
pub(crate) struct FleetJoined {
    pub(super) config: Arc<FleetConfig>,
    pub(super) name: String,
    pub(super) replica: String,
    pub(super) leader: LeaderMark,
}

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum FleetStartError {
    /// It has nothing to serve by, and nothing to ask.
    #[error("{0}; this replica has nothing of the fleet yet, and what its own file says may be long outdated there")]
    Unreachable(String),
    /// There is another one of this name.
    #[error(
        "found another replica named {name} in the fleet (its admin API: {address}), want one of each name; set fleet.name"
    )]
    Name {
        /// The name.
        name: String,
        /// Where the other one is.
        address: String,
    },
    /// The host has no name that can be one of a replica.
    #[error("found the host name {0:?}, want letters, digits and any of ._- in a replica's name; set fleet.name")]
    HostName(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing to wait with.
    #[error("cannot wait for etcd")]
    Io(#[from] std::io::Error),
}

/// What the writer begins with, and what the keeper goes on from; both none without a fleet.
///
/// # Errors
/// [`FleetStartError`] when this replica must not start.
pub(crate) fn look_if_any(
    config: Option<&Arc<FleetConfig>>,
    store: &mut Store,
    runtime: &Runtime,
) -> Result<(Option<FleetBegin>, Option<FleetJoined>), FleetStartError> {
    Ok(config.map(|config| look(config, store, runtime)).transpose()?.unzip())
}

/// Looks at the fleet, for as long as its members take to answer.
///
/// # Errors
/// [`FleetStartError`] when this replica must not start.
fn look(
    config: &Arc<FleetConfig>,
    store: &mut Store,
    runtime: &Runtime,
) -> Result<(FleetBegin, FleetJoined), FleetStartError> {
    let name = match &config.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let replica = store.replica(&format!("{:032x}", rand::random::<u128>()))?;
    let (mark, revision) = (store.fleet_mark()?, store.load()?.revision);
    let is_new = mark.fleet.is_empty();
    let (mut client, keys) = (EtcdClient::new(config), FleetKeys::below(&config.prefix));
    let looked = runtime.block_on(async {
        if let Some(other) = namesake(&mut client, &keys, &name, &replica).await.map_err(|error| error.to_string())? {
            return Ok(Err(other));
        }
        // One that comes from elsewhere knows no revision of the fleet.
        etcd_port::read(&mut client, &keys, if is_new { 0 } else { revision })
            .await
            .map(Ok)
            .map_err(|error| error.to_string())
    });
    let found = match looked {
        Ok(Err(other)) => {
            let address = other.address.unwrap_or_else(|| "it does not say where".to_owned());
            return Err(FleetStartError::Name { name, address });
        }
        Ok(Ok(Some(update))) => FleetFound::News(Box::new(update)),
        Ok(Ok(None)) if is_new => FleetFound::Nothing,
        Ok(Ok(None)) => FleetFound::Apart(gone(&config.prefix)),
        Err(why) if is_new => return Err(FleetStartError::Unreachable(why)),
        Err(why) => {
            tracing::warn!(problem = why, "the fleet cannot be asked, what was in force stays in force");
            FleetFound::Apart(why)
        }
    };
    let leader = Arc::new(AtomicU64::new(0));
    let port = EtcdPort::new(config, Arc::clone(&leader))?;
    let begin = FleetBegin { link: FleetLink::new(Box::new(port), name.clone()), found };
    Ok((begin, FleetJoined { config: Arc::clone(config), name, replica, leader }))
}

/// What is said of a document that is not there any more.
pub(super) fn gone(prefix: &str) -> String {
    format!(
        "found no shared state below {prefix} in etcd, in which this replica was; `pointsman fleet restore` puts this \
         replica's state there, on the replica that has the most"
    )
}

/// Another replica of this name that is live.
async fn namesake(
    client: &mut EtcdClient,
    keys: &FleetKeys,
    name: &str,
    replica: &str,
) -> Result<Option<FleetMember>, EtcdError> {
    let found = client.range(&etcd_words::one(&keys.member(name))).await?;
    let member = found.kvs.first().and_then(|pair| serde_json::from_str::<FleetMember>(&pair.value).ok());
    Ok(member.filter(|member| member.replica != replica))
}

/// The name of this host.
fn host_name() -> Result<String, FleetStartError> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(known) { Err(FleetStartError::HostName(name)) } else { Ok(name) }
}
