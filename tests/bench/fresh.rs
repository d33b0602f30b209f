//! Fresh conversations, many at once: how many begin in a second, beside the most that this machine's CPUs allow.
//!
//! Starting the real CLI costs about 0.6 s of CPU, so that is what bounds them. The most is measured in the same run: as many
//! workers as there are CPUs drive the CLI over its pipes, each starting one when its last has answered. The server is asked
//! everything at once, and answers as its queue has it.
//!
//! ```text
//! cargo bench --bench fresh
//! ```
//!
//! `AT_ONCE=2,16,64` is how many at once, `ROUNDS` (1) how often, and `WARM` (0) how many processes are started beforehand on
//! either side. With `CHECK=1` the program fails where a target is missed.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

mod bare;
mod client;
mod door;
mod figures;
mod procfs;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bare::Bare;
use client::Conversation;
use figures::{Samples, setting, table};
use futures_util::future::join_all;
use procfs::{cpu_time_of_children, quiet};
use server::Server;
use support::messages_api::MessagesApi;
use tower_claude::cli::ClaudeCli;

const MODEL: &str = "opus";
const SYSTEM: &str = "You are terse.";

/// At least so much of what the bare protocol reaches.
const OF_BARE: f64 = 0.97;

/// What both are started with.
struct Cli {
    program: PathBuf,
    environment: Vec<(String, String)>,
    warm: usize,
}

#[derive(Default)]
struct Times {
    /// From the first question to the last answer.
    whole: Duration,
    /// Of each conversation to its first text.
    first: Samples,
    /// Of the CLI's processes, all of their life.
    cpu: Duration,
    /// The most places by which one came later than its turn.
    late: usize,
}

#[tokio::main]
async fn main() {
    let Some(program) = support::claude_bin::real_cli() else {
        println!("There is nothing to measure without the real CLI.");
        return;
    };
    let api = MessagesApi::start().await;
    let home = tempfile::tempdir().unwrap();
    let cli = Cli { program, environment: bare::environment(&api.url(), home.path()), warm: setting("WARM", 0) };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = std::env::var("AT_ONCE").unwrap_or_else(|_| "2,16,64".to_owned());
    // The program comes from the disk the first time.
    direct(&cli, 1, 1).await;
    let (mut rows, mut missed) = (Vec::new(), false);
    for conversations in at_once.split(',').map(|number| number.trim().parse::<usize>().unwrap()) {
        let (mut of_direct, mut of_server) = (Times::default(), Times::default());
        for round in 0..setting("ROUNDS", 1) {
            for directly in if round % 2 == 0 { [true, false] } else { [false, true] } {
                quiet().await;
                let before = cpu_time_of_children().await;
                let mut times = match directly {
                    true => direct(&cli, conversations, workers).await,
                    false => through_server(&cli, conversations).await,
                };
                times.cpu = cpu_time_of_children().await - before;
                if directly { of_direct.add(times) } else { of_server.add(times) }
            }
        }
        eprintln!("{conversations} at once: done");
        let rate = |times: &Times| times.first.len() as f64 / times.whole.as_secs_f64();
        let cpu = |times: &Times| format!("{:.2} s", times.cpu.as_secs_f64() / times.first.len() as f64);
        let ratio = rate(&of_server) / rate(&of_direct);
        missed |= ratio < OF_BARE;
        rows.push(vec![
            conversations.to_string(),
            format!("{:.2}", rate(&of_direct)),
            format!("{:.2}", rate(&of_server)),
            format!("{ratio:.3}"),
            format!("{:.1} s", of_server.first.quantile(0.5) / 1e3),
            format!("{:.1} s", of_server.first.quantile(0.99) / 1e3),
            format!("{:.1} s", of_direct.first.quantile(0.99) / 1e3),
            of_server.late.to_string(),
            cpu(&of_direct),
            cpu(&of_server),
            format!("≥ {OF_BARE}: {}", if ratio < OF_BARE { "**not met**" } else { "met" }),
        ]);
    }
    let head = [
        "at once",
        "bare, a second",
        "server, a second",
        "of bare",
        "p50",
        "p99",
        "p99 of bare",
        "most places late",
        "CPU each, bare",
        "CPU each, server",
        "target",
    ];
    table("Fresh conversations, to their first text", &head, &rows);
    if setting("CHECK", 0) == 1 && missed {
        std::process::exit(1);
    }
}

impl Times {
    fn add(&mut self, more: Times) {
        self.whole += more.whole;
        self.first.append(more.first);
        self.cpu += more.cpu;
        self.late = self.late.max(more.late);
    }

    /// Of conversations that began together, each with the time to its first text, in the order of their turns.
    fn of(whole: Duration, took: &[Duration]) -> Times {
        let place = |at: usize| took.iter().filter(|other| **other < took[at]).count();
        let late = (0..took.len()).map(|at| place(at).saturating_sub(at)).max().unwrap_or(0);
        let mut times = Times { whole, late, ..Times::default() };
        took.iter().for_each(|took| times.first.push(*took));
        times
    }
}

/// The bare protocol: so many workers, each with the next conversation as soon as it has answered one.
async fn direct(cli: &Cli, conversations: usize, workers: usize) -> Times {
    let warm: Vec<Bare> = (0..cli.warm).map(|_| Bare::start(&cli.program, &cli.environment)).collect();
    if cli.warm > 0 {
        quiet().await;
    }
    let (next, warm) = (AtomicUsize::new(0), std::sync::Mutex::new(warm));
    let began = Instant::now();
    let work = (0..workers).map(|_| async {
        let mut took = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= conversations {
                return took;
            }
            let started = warm.lock().unwrap().pop();
            let mut process = started.unwrap_or_else(|| Bare::start(&cli.program, &cli.environment));
            let question = bare::user(&format!("hello from {number}"));
            process.first_delta(&[bare::setup(MODEL, SYSTEM, None), question].concat()).await;
            took.push(began.elapsed());
            process.finish().await;
        }
    });
    let mut took: Vec<Duration> = join_all(work).await.into_iter().flatten().collect();
    took.sort();
    Times::of(began.elapsed(), &took)
}

async fn through_server(cli: &Cli, conversations: usize) -> Times {
    let server = start(&cli.program, cli).await;
    let open = (0..conversations).map(|_| Conversation::open(server.address, MODEL, SYSTEM, None));
    let mut opened = join_all(open).await;
    let began = Instant::now();
    let work = opened.iter_mut().enumerate().map(|(number, conversation)| async move {
        // So that the order in which they come is known.
        tokio::time::sleep(Duration::from_millis(2 * number as u64)).await;
        let answer = conversation.say(&format!("hello from {number}")).await;
        let took = began.elapsed();
        conversation.finish(answer).await;
        took
    });
    let took = join_all(work).await;
    Times::of(began.elapsed(), &took)
}

async fn start(program: &Path, cli: &Cli) -> Server {
    let builder = ClaudeCli::builder()
        .program(program)
        .warm_processes(cli.warm)
        .queue_limit(1000)
        .queue_timeout(Duration::from_secs(600));
    let builder = cli.environment.iter().fold(builder, |builder, (name, value)| builder.env(name, value));
    let server = Server::start(builder.build()).await;
    while client::health(server.address).await["processes"]["warm"] != cli.warm {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    quiet().await;
    server
}
