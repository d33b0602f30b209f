//! The HTTP edge, from the bytes of a request to the bytes of its answer, in front of scripted turns.

mod bodies;
mod choices;
mod cursor;
mod guard;
mod observe;
mod plain;
mod requests;
mod routes;
mod servers;
mod stream;
mod writer;
