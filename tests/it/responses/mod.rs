//! The Responses door, from the bytes of a request to the bytes of its answer, in front of scripted turns. Every object
//! and every event is checked against OpenAI's schema.
mod background;
mod fields;
mod input;
mod kept;
mod objects;
mod reasoning;
mod schema;
mod script;
mod stored;
mod stream;
mod tools;
