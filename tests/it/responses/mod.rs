//! The Responses door, from the bytes of a request to the bytes of its answer, in front of scripted turns. Every object
//! and every event is checked against OpenAI's schema.
mod background;
mod client;
mod fields;
mod input;
mod kept;
mod objects;
mod reasoning;
mod stored;
mod stream;
mod tools;
