//! The HTTP edge, from the bytes of a request to the bytes of its answer, in front of scripted turns.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "support/schema.rs"]
mod schema;

#[path = "http/choices.rs"]
mod choices;
#[path = "http/guard.rs"]
mod guard;
#[path = "http/plain.rs"]
mod plain;
#[path = "http/requests.rs"]
mod requests;
#[path = "http/routes.rs"]
mod routes;
#[path = "http/script.rs"]
mod script;
#[path = "http/servers.rs"]
mod servers;
#[path = "http/stream.rs"]
mod stream;
#[path = "http/writer.rs"]
mod writer;
