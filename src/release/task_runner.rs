//! The runner of a rollout's tasks: each ends with an answer, within a time that is known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::task_error::TaskError;
use crate::control::publish::Published;
use crate::endpoints::probe::{Probe, ProbeSpec};
use crate::outbound::hook;
use crate::outbound::hook::HookSubject;
use crate::outbound::smoke;
use crate::outbound::webhook::{Delivery, WebhookClient};
use crate::problem::chain;
use crate::rollout::release::{Hook, Release, Shape, Webhook};
use crate::rollout::stage::{StageTask, TaskResult};
use crate::table::spec::VersionSpec;
use crate::table::{Name, Service};
use crate::tls::Clients;

/// Time between two looks at something that has to become so.
const LOOK: Duration = Duration::from_millis(100);

/// How long a TCP connection to an endpoint may take that has no other check.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a task works with.
#[derive(Clone, Debug)]
pub(crate) struct TaskRunner {
    /// The rollout's number.
    pub id: u64,
    /// How it is released.
    pub release: Arc<Release>,
    /// The table in force.
    pub published: Published,
    /// What TLS with endpoints comes to.
    pub clients: Arc<Clients>,
    /// Asks webhooks.
    pub webhook_client: WebhookClient,
    /// What a webhook is told.
    pub about: Value,
    /// The version that endpoints have, before this task.
    pub from: Name,
    /// The version that they are to have.
    pub to: Name,
    /// The services that are released.
    pub services: Vec<Name>,
    /// The endpoints of the batch that the task is about, with their services.
    pub places: Vec<(Name, SocketAddr)>,
    /// Whether this is the way back.
    pub back: bool,
    /// Why it must not be done.
    pub barred: Option<String>,
}

impl TaskRunner {
    /// Does it. An approval is not done here: an operator says so.
    pub(crate) async fn done(&self, task: StageTask) -> Option<TaskResult> {
        if let Some(why) = &self.barred {
            return Some(TaskResult::Failed(why.clone()));
        }
        let result = match task {
            StageTask::Approval => return None,
            StageTask::Webhook => self.gate().await,
            StageTask::Smoke => self.smoke().await,
            StageTask::Drain(_) => self.drained().await,
            StageTask::Upgrade(_) | StageTask::Downgrade(_) => self.hooked().await,
            StageTask::Verify(_) => self.verified().await,
            // The revision that began the task has done it.
            StageTask::Join(_) | StageTask::Return(_) => Ok(()),
        };
        Some(match result {
            Ok(()) => TaskResult::Done,
            Err(error) => TaskResult::Failed(chain(&error)),
        })
    }

    async fn gate(&self) -> Result<(), TaskError> {
        match &self.release.webhook {
            Some(webhook) => self.post(webhook, "gate", self.about.clone()).await,
            None => Err(TaskError::NoWebhook),
        }
    }

    async fn post(&self, webhook: &Webhook, event: &str, body: Value) -> Result<(), TaskError> {
        let about = self.places.first().filter(|_| event != "gate").map_or(String::new(), |(service, place)| {
            let place = body["endpoint"].as_str().map_or_else(|| place.to_string(), str::to_owned);
            format!("-{service}-{place}")
        });
        let id = format!("rollout-{}-{event}{about}", self.id);
        let delivery = Delivery { event, id: &id, body: Bytes::from(body.to_string()), secret: None };
        self.webhook_client.post(webhook, &delivery).await?;
        Ok(())
    }

    /// Asks all of the candidate's endpoints that take requests; a service in which there is none has not passed.
    async fn smoke(&self) -> Result<(), TaskError> {
        for service in &self.services {
            let spec = self.spec(service, &self.to)?;
            let endpoints = self.candidates(service);
            if endpoints.is_empty() {
                return Err(TaskError::NoEndpoint { service: service.clone(), version: self.to.clone() });
            }
            for address in endpoints {
                let checked = smoke::check(&self.release.smoke, address, &spec, &self.clients).await;
                let (service, version) = (service.clone(), self.to.clone());
                checked.map_err(|error| TaskError::OfVersion { service, version, source: Box::new(error) })?;
            }
        }
        Ok(())
    }

    fn candidates(&self, service: &Name) -> Vec<SocketAddr> {
        let table = self.published.load();
        let version = table.service_named(service).and_then(|service| service.version_named(&self.to));
        let endpoints = version.into_iter().flat_map(|version| &*version.endpoints);
        endpoints.filter(|endpoint| !endpoint.drained).map(|endpoint| endpoint.address).collect()
    }

    /// Waits until nothing is in flight. After its time it goes on: one client that reads slowly must not stop a
    /// release.
    async fn drained(&self) -> Result<(), TaskError> {
        let limit = match &self.release.shape {
            Shape::Rolling(shape) => shape.drain_timeout,
            Shape::Canary(_) | Shape::BlueGreen { .. } => Duration::ZERO,
        };
        let begun = Instant::now();
        // Requests that were decided before the drain may not be counted at their endpoint yet.
        sleep(LOOK).await;
        while self.in_flight() > 0 && begun.elapsed() < limit {
            sleep(LOOK).await;
        }
        let left = self.in_flight();
        if left > 0 {
            tracing::warn!(
                rollout = self.id,
                in_flight = left,
                ?limit,
                "drained endpoints still have requests; going on"
            );
        }
        Ok(())
    }

    fn in_flight(&self) -> u32 {
        let table = self.published.load();
        let versions = self.places.iter().filter_map(|(service, address)| {
            let service = table.service_named(service)?;
            Some(service.versions.iter().flat_map(|version| &*version.endpoints).filter(|e| e.address == *address))
        });
        versions.flatten().map(|endpoint| endpoint.stats.in_flight()).sum()
    }

    async fn hooked(&self) -> Result<(), TaskError> {
        let Shape::Rolling(shape) = &self.release.shape else { return Err(TaskError::NoHooks) };
        let hook = match &shape.rollback {
            Some(rollback) if self.back => rollback,
            _ => &shape.upgrade,
        };
        // Side by side; those that are left are ended when the task is.
        let mut hooks = JoinSet::new();
        for (service, endpoint) in self.places.clone() {
            let (runner, hook) = (self.clone(), hook.clone());
            hooks.spawn(async move { runner.hook(&hook, &service, endpoint).await });
        }
        let mut failed = Vec::new();
        while let Some(ended) = hooks.join_next().await {
            failed.extend(ended.unwrap_or_else(|error| Err(TaskError::HookLost(error))).err());
        }
        if failed.is_empty() { Ok(()) } else { Err(TaskError::Several(failed)) }
    }

    async fn hook(&self, hook: &Hook, service: &Name, endpoint: SocketAddr) -> Result<(), TaskError> {
        let subject = HookSubject { service: service.clone(), from: self.from.clone(), to: self.to.clone(), endpoint };
        let of_endpoint =
            |error: TaskError| TaskError::OfEndpoint { service: service.clone(), endpoint, source: Box::new(error) };
        match hook {
            Hook::Command { arguments, timeout } => {
                let output =
                    hook::run(arguments, *timeout, &subject).await.map_err(|error| of_endpoint(error.into()))?;
                tracing::info!(rollout = self.id, %service, %endpoint, said = output.last, "the hook is done");
                Ok(())
            }
            Hook::Webhook(webhook) => {
                let mut body = subject.json();
                body.insert("rollout".to_owned(), json!(self.id));
                self.post(webhook, if self.back { "undo" } else { "upgrade" }, Value::Object(body))
                    .await
                    .map_err(of_endpoint)
            }
            Hook::Acknowledge { timeout } => {
                sleep(*timeout).await;
                Err(of_endpoint(TaskError::NotAcknowledged(*timeout)))
            }
        }
    }

    /// Waits until every endpoint is well.
    async fn verified(&self) -> Result<(), TaskError> {
        let limit = match &self.release.shape {
            Shape::Rolling(shape) => shape.verify_timeout,
            Shape::Canary(_) | Shape::BlueGreen { .. } => Duration::ZERO,
        };
        let begun = Instant::now();
        for (service, address) in &self.places {
            while let Err(error) = self.well(service, *address).await {
                if begun.elapsed() >= limit {
                    let (service, endpoint, source) = (service.clone(), *address, Box::new(error));
                    return Err(TaskError::NotWell { service, endpoint, limit, source });
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn well(&self, service: &Name, address: SocketAddr) -> Result<(), TaskError> {
        let spec = self.spec(service, &self.to)?;
        if let Some(probe) = ProbeSpec::of(&spec) {
            let host = address.to_string().parse().map_err(|_never| TaskError::NoHost)?;
            let probe = Probe { address, host, spec: probe, clients: Arc::clone(&self.clients) };
            probe.ask().await?;
        } else {
            let connected = timeout(CONNECT_TIMEOUT, tokio::net::TcpStream::connect(address)).await;
            connected.map_err(|_late| TaskError::ConnectTimeout)??;
        }
        if self.back {
            // What only the new version can do must not keep the old one from coming back.
            return Ok(());
        }
        smoke::check(&self.release.smoke, address, &spec, &self.clients).await.map_err(Box::new)?;
        Ok(())
    }

    fn spec(&self, service: &Name, version: &Name) -> Result<VersionSpec, TaskError> {
        let table = self.published.load();
        let find = |service: &Service| service.spec.versions.iter().find(|spec| spec.name == *version).cloned();
        let found = table.service_named(service).and_then(find);
        found.ok_or_else(|| TaskError::NoVersion { service: service.clone(), version: version.clone() })
    }
}
