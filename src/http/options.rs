//! The operator's settings for the edge.

use std::time::Duration;

use super::authorize::Keys;
use super::body_memory::BodyMemory;
use super::health::Health;
use super::models::Models;
use super::own_route::OwnRoutes;
use crate::chat::Abilities;
use crate::openai::responses::Responses;

/// The settings of an [`ApiService`](super::ApiService), whose builder methods describe them.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) abilities: Abilities,
    pub(crate) models: Models,
    pub(crate) health: Health,
    pub(crate) body_limit: usize,
    pub(crate) body_memory: BodyMemory,
    pub(crate) keep_alive: Duration,
    pub(crate) keys: Keys,
    pub(crate) own_routes: OwnRoutes,
    pub(crate) responses: Responses,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            abilities: Abilities::new(),
            models: Models::default(),
            health: Health::default(),
            body_limit: 32 * 1024 * 1024,
            body_memory: BodyMemory::default(),
            keep_alive: Duration::from_secs(15),
            keys: Keys::any(),
            own_routes: OwnRoutes::default(),
            responses: Responses::default(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        // API keys must not get into logs.
        f.debug_struct("Options")
            .field("abilities", &self.abilities)
            .field("models", &self.models)
            .field("body_limit", &self.body_limit)
            .field("body_memory", &self.body_memory)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}
