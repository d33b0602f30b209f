//! The Responses door, from the bytes of a request to the bytes of its answer, in front of scripted turns. Every object
//! and every event is checked against OpenAI's schema.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "responses/background.rs"]
mod background;
#[path = "responses/fields.rs"]
mod fields;
#[path = "responses/input.rs"]
mod input;
#[path = "responses/kept.rs"]
mod kept;
#[path = "responses/objects.rs"]
mod objects;
#[path = "responses/reasoning.rs"]
mod reasoning;
#[path = "responses/schema.rs"]
mod schema;
#[path = "responses/script.rs"]
mod script;
#[path = "responses/stored.rs"]
mod stored;
#[path = "responses/stream.rs"]
mod stream;
#[path = "responses/tools.rs"]
mod tools;
