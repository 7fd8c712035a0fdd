//! Collecting the facts: everything at once, each part with a limit of its own, so that a dead host costs seconds.
//!
//! Asks DNS for our own names, connects to our own addresses and fetches our own policy. Anybody else is told of us only
//! where the owner asked for it: block lists, the server of a domain that was named, the certificate authority of `[acme]`.

mod lookups;
mod machine;
mod world;

pub(in crate::cli) use machine::queue;

use super::checks;
use super::facts::{Certificate, Facts, Queue};
use super::finding::Finding;
use crate::cli::config::Config;
use crate::cli::dns::facts::Facts as Ours;
use crate::net::dns::Resolver;
use crate::net::https::Https;
use crate::net::{Leaf, authorities, distrust};
use crate::trust::signing::Keyring;
use std::path::Path;

/// With what is asked and looked at.
pub(in crate::cli) struct Sight {
    pub config: Config,
    pub keyring: Keyring,
    pub resolver: Resolver,
    pub https: Https,
}

/// What the owner allows to be asked of others.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Wishes {
    /// A domain on whose mail server port 25 is tried.
    pub way_out: Option<String>,
    /// Block lists that are told our addresses.
    pub block_lists: Vec<String>,
}

/// What is known of the server itself.
#[derive(Debug)]
pub(in crate::cli) struct Health {
    pub running: bool,
    /// What waits, or why the store cannot be used; neither where it was not looked at.
    pub queue: Option<Result<Queue, String>>,
}

impl Sight {
    /// The eyes of a server with this configuration.
    pub fn new(config: Config, keyring: Keyring, resolver: Resolver) -> anyhow::Result<Sight> {
        let queue = &config.queue;
        let believed = authorities(queue.extra_authorities())?;
        let https = Https::new(resolver.clone(), believed, queue.https_port, queue.extra_authorities().is_some())?;
        Ok(Sight { config, keyring, resolver, https })
    }

    /// Looks at everything and says what was found.
    pub async fn look(&self, health: Health, wishes: Wishes, now: i64) -> Vec<Finding> {
        let mut facts = self.facts(health, wishes, now).await;
        lookups::examine(&self.resolver, &mut facts, checks::all).await
    }

    async fn facts(&self, health: Health, wishes: Wishes, now: i64) -> Facts {
        let config = &self.config;
        let ours = Ours::collect(config, &self.keyring);
        let policy = config.mta_sts_policy().text();
        let (machine, clock_ahead_seconds, ports, way_out, policies) = tokio::join!(
            machine::collect(config),
            world::clock_ahead(self),
            world::ports(self, &ours),
            world::way_out(self, wishes.way_out.as_deref()),
            world::policies(self, &ours),
        );
        let (queue, store_problem) = match health.queue {
            Some(Ok(queue)) => (Some(queue), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        Facts {
            now,
            closed_network: config.queue.extra_authorities().is_some(),
            dns: super::answers::Answers::default(),
            machine: super::facts::Machine { running: health.running, clock_ahead_seconds, store_problem, ..machine },
            certificate: self.certificate(&ours.hostname, now),
            ours,
            ports,
            way_out,
            policy,
            policies,
            queue,
            block_lists: wishes.block_lists,
        }
    }

    fn certificate(&self, hostname: &str, now: i64) -> Certificate {
        let file = &self.config.tls.certificate_file;
        let automatic = self.config.acme.enabled;
        match Leaf::read(file) {
            Ok(leaf) => Certificate {
                problem: None,
                distrust: self.distrust(file, hostname, now),
                names: leaf.names,
                not_before: leaf.not_before,
                not_after: leaf.not_after,
                self_signed: leaf.self_signed,
                automatic,
            },
            Err(error) => Certificate {
                problem: Some(format!("{error:#}")),
                names: Vec::new(),
                not_before: 0,
                not_after: 0,
                self_signed: false,
                distrust: None,
                automatic,
            },
        }
    }

    fn distrust(&self, file: &Path, hostname: &str, now: i64) -> Option<String> {
        match authorities(self.config.queue.extra_authorities()) {
            Ok(believed) => distrust(file, hostname, believed, now),
            Err(error) => Some(format!("{error:#}")),
        }
    }
}
