//! The reference server under thousands of requests, with faults at every step: each answer is what was asked or a
//! well-formed failure in its time, no word of one conversation is in another, and afterwards all is as it was before.
//!
//! ```text
//! cargo bench --bench soak                        # 10,000 requests
//! REQUESTS=1000 SEED=7 cargo bench --bench soak   # fewer, and the faults of an earlier run
//! ```
//!
//! What each conversation does follows from the seed and its number alone; when the operating system runs what, and so
//! which process a signal meets, does not. `AT_ONCE` (12) is how many conversations are held at a time.
//!
//! | file | its idea |
//! |---|---|
//! | `draw` | chance, from a seed |
//! | `dialect` | Chat Completions, Responses and Messages: a conversation keeps to one of them |
//! | `talk` | a conversation: what is asked, and what clients do that they should not |
//! | `client` | one request, sent and read as well or as badly as was drawn |
//! | `judge` | whether an answer is right, a well-formed failure, or wrong |
//! | `nuisance` | signals to the processes that answer |
//! | `rest` | what the server holds, before and after |

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

#[path = "soak/client.rs"]
mod client;
#[path = "soak/dialect.rs"]
mod dialect;
#[path = "soak/draw.rs"]
mod draw;
#[path = "soak/judge.rs"]
mod judge;
#[path = "soak/nuisance.rs"]
mod nuisance;
#[path = "soak/rest.rs"]
mod rest;
#[path = "../support/mod.rs"]
mod support;
#[path = "soak/talk.rs"]
mod talk;

use std::collections::BTreeMap;
use std::fs::File;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use judge::Verdict;
use rustix::process::Signal;
use support::claude_bin::{stand_in, target_directory};
use support::server_process::{ServerProcess, example, settings};

/// How the server is run: small limits, so that all of them are met.
const SETTINGS: &str = r#"
port = 0
max-processes = 16
warm = 2
queue-limit = 32
queue-timeout = "4s"
idle-timeout = "3s"
body-limit = 1
first-token-timeout = "2s"
request-timeout = "6s"
tool-timeout = "4s"
unread-timeout = "1500ms"
upstream-retries = 1
"#;

/// The time that any request may take: in the queue, at a process, and some more, since all share few cores.
pub(crate) const LONGEST: Duration = Duration::from_secs(20);

/// How many of all answers must be right, for the rest to say anything.
const RIGHT_AT_LEAST: f64 = 0.4;

#[derive(Default)]
struct Tally {
    right: AtomicU64,
    /// Requests whose client went before the answer could be judged.
    left: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
    /// How the requests came by their processes.
    processes: Mutex<BTreeMap<String, u64>>,
    times: Mutex<Vec<Duration>>,
}

impl Tally {
    fn count(&self, what: &str, judged: client::Judged) {
        self.times.lock().unwrap().push(judged.took);
        if let Some(process) = judged.process {
            *self.processes.lock().unwrap().entry(process).or_default() += 1;
        }
        match judged.verdict {
            Verdict::Right => drop(self.right.fetch_add(1, Ordering::Relaxed)),
            Verdict::Left => drop(self.left.fetch_add(1, Ordering::Relaxed)),
            Verdict::Failed(code) => *self.failed.lock().unwrap().entry(code).or_default() += 1,
            Verdict::Wrong(why) => {
                println!("WRONG {what}: {why}");
                self.wrong.lock().unwrap().push(format!("{what}: {why}"));
            }
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn main() -> ExitCode {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("SEED", time.as_secs() * 1000 + u64::from(time.subsec_millis()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wrong = runtime.block_on(soak(number("REQUESTS", 10_000), seed, number("AT_ONCE", 12)));
    if wrong.is_empty() {
        println!("\nNothing was wrong.");
        return ExitCode::SUCCESS;
    }
    println!("\n{} things were wrong (SEED={seed}):", wrong.len());
    wrong.iter().take(50).for_each(|wrong| println!("- {wrong}"));
    ExitCode::FAILURE
}

async fn soak(requests: u64, seed: u64, at_once: u64) -> Vec<String> {
    println!("{requests} requests, {at_once} conversations at once, SEED={seed}");
    let log = target_directory().join("soak.log");
    let mut command = example("claude-max-api");
    let (_file, config) = settings(SETTINGS);
    command.args(config).env("CLAUDE_BIN", stand_in()).stderr(File::create(&log).unwrap());
    let server = Arc::new(ServerProcess::start(command).await);
    let tally = Arc::new(Tally::default());
    let mut wrong = Vec::new();

    let before = rest::at_rest(&server).await.unwrap_or_else(|why| panic!("it never came to rest: {why}"));
    let nuisance = tokio::spawn(nuisance::signals(server.pid(), draw::Draw::new(seed, u64::MAX)));
    let (began, peak) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let watching = tokio::spawn(rest::watch_memory(server.pid(), Arc::clone(&peak)));
    let (next, sent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let workers = (0..at_once).map(|_| {
        let (server, tally, next, sent) =
            (Arc::clone(&server), Arc::clone(&tally), Arc::clone(&next), Arc::clone(&sent));
        tokio::spawn(async move {
            while sent.load(Ordering::Relaxed) < requests {
                let talk = next.fetch_add(1, Ordering::Relaxed);
                talk::hold(&server, talk, draw::Draw::new(seed, talk), |what, judged| {
                    sent.fetch_add(1, Ordering::Relaxed);
                    tally.count(what, judged);
                })
                .await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        if let Err(panic) = worker.await {
            wrong.push(format!("a client met a fault of its own: {panic}"));
        }
    }
    let took = began.elapsed();
    nuisance.abort();
    watching.abort();
    let signals = nuisance::resume(server.pid());
    report(&tally, took, signals);

    match rest::at_rest(&server).await {
        Ok(after) => wrong.extend(before.compare(&after, peak.load(Ordering::Relaxed))),
        Err(why) => wrong.push(format!("it never came to rest: {why}")),
    }
    wrong.extend(rest::all_places_are_free(&server).await.err());
    let children = rest::children(server.pid());
    let server = Arc::into_inner(server).expect("all clients are gone");
    server.signal(Signal::TERM);
    let (status, _) = server.ended().await;
    if !status.success() {
        wrong.push(format!("it ended with {status}"));
    }
    wrong.extend(rest::gone(&children).await.err());
    let logged = std::fs::read_to_string(&log).unwrap();
    wrong.extend(logged.lines().filter(|line| line.contains("panic")).map(|line| format!("in the log: {line}")));

    wrong.extend(tally.wrong.lock().unwrap().drain(..));
    let (right, all) = (tally.right.load(Ordering::Relaxed), tally.times.lock().unwrap().len());
    if (right as f64) < RIGHT_AT_LEAST * all as f64 {
        wrong.push(format!("only {right} of {all} answers were right"));
    }
    wrong
}

fn report(tally: &Tally, took: Duration, signals: u64) {
    let mut times = std::mem::take(&mut *tally.times.lock().unwrap());
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64();
    println!(
        "{} requests in {:.1} s, {:.1} a second; p50 {:.3} s, p99 {:.2} s, longest {:.2} s; {signals} signals",
        times.len(),
        took.as_secs_f64(),
        times.len() as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0 - f64::EPSILON)
    );
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "right: {}; client gone: {}; processes: {:?}",
        load(&tally.right),
        load(&tally.left),
        tally.processes.lock().unwrap()
    );
    println!("failures, all well-formed: {:?}", tally.failed.lock().unwrap());
    *tally.times.lock().unwrap() = times;
}
