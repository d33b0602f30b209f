//! What the proxy itself costs: added latency, deltas a second, memory, CPU. On the stand-in CLI, which costs next to
//! nothing, so that what is seen is the proxy.
//!
//! The server is a process of its own, this program again, so that its CPU time and memory are nobody else's.
//!
//! ```text
//! cargo build --release --example stand-in-cli && cargo bench --bench overhead
//! ```
//!
//! `PARTS=latency,doors,throughput,memory` picks parts, `SCALE` (1) multiplies how much is measured, `AT_ONCE=16` picks a
//! row of the latency's table, and `THREADS=1` measures latency on a server of one thread. `SERVER=PROGRAM` measures a reference server,
//! with its log and metrics, in place of a server of the library alone.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

mod bare;
mod client;
mod door;
mod doors;
mod figures;
mod latency;
mod memory;
mod passthrough;
mod procfs;
mod separate;
mod server;
mod throughput;

use std::path::PathBuf;

/// The longest line of a table of targets: what was measured, what is wanted, and whether that was reached.
fn verdict(value: f64, limit: f64, at_most: bool) -> String {
    let met = if at_most { value <= limit } else { value >= limit };
    (if met { "met" } else { "**not met**" }).to_owned()
}

fn main() {
    if separate::is_server() {
        return separate::serve();
    }
    let Some(stand_in) = stand_in() else { return };
    raise_file_limit();
    let parts = std::env::var("PARTS").unwrap_or_else(|_| "latency,doors,throughput,memory".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for part in parts.split(',') {
            match part {
                "latency" => latency::measure(&stand_in).await,
                "doors" => doors::measure(&stand_in).await,
                "throughput" => throughput::measure(&stand_in).await,
                "memory" => memory::measure(&stand_in).await,
                other => println!("there is no part {other:?}"),
            }
        }
    });
}

/// The stand-in CLI, built as this benchmark was.
fn stand_in() -> Option<PathBuf> {
    let this = std::env::current_exe().unwrap();
    // This is target/release/deps/overhead-HASH.
    let path = this.ancestors().nth(2).unwrap().join("examples/stand-in-cli");
    if !path.exists() {
        println!("There is no stand-in at {}. Build it: cargo build --release --example stand-in-cli", path.display());
        return None;
    }
    Some(path)
}

/// A thousand streams need a few thousand files in each process.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
