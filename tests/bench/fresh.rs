//! Fresh conversations, many at once: how many begin in a second, beside the most that this machine's CPUs allow, and whether
//! they begin in fair order.
//!
//! Starting the real CLI costs about 0.6 s of CPU, so that is what bounds them. The most is measured in the same run: as many
//! workers as there are CPUs drive the CLI over its pipes, each starting one when its last has answered. The server is asked
//! everything at once, and answers as its queue has it. A second is one of a machine that has nothing else to do: of those that
//! pass, the share counts that other programs leave.
//!
//! Fair is who came first of the caller whose turn it is. The times of answers are given to the requests in that order, and what
//! each of them would have waited is compared with what it did. The second table has one caller ask everything at once, beside
//! another that asks once a second.
//!
//! ```text
//! cargo bench --bench fresh
//! ```
//!
//! `AT_ONCE=2,16,64` is how many at once. They are asked in `ROUNDS` (4) at least, in which either side is first in turn, and
//! in as many as it takes until there were `LEAST` (48): a virtual machine may be a tenth slower in one half minute than in the
//! next, so that a single round of 64 says little. `WARM` (0) is how many processes are started beforehand on either side, and
//! `CALLERS` (64) how many requests the two callers have together. With `CHECK=1` the program fails where a target is missed.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

mod bare;
mod client;
mod door;
mod figures;
#[path = "fresh/order.rs"]
mod order;
mod procfs;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bare::{Bare, Cli};
use client::Conversation;
use figures::{Samples, setting, table};
use futures_util::future::join_all;
use order::{Asked, fair};
use procfs::{Cpus, cpu_time_of_children, quiet};
use server::Server;
use support::messages_api::MessagesApi;

const MODEL: &str = "opus";
const SYSTEM: &str = "You are terse.";

/// At least so much of what the bare protocol reaches.
const OF_BARE: f64 = 0.97;

/// By how many answers the slowest of a hundred may come later than in fair order. Two are begun at once on two CPUs, and
/// either may be first; where two callers take turns, one more may have been let in before.
const LATER: f64 = 3.0;

/// How the second caller asks.
const EVERY: Duration = Duration::from_secs(1);

/// What both are started with, and how many processes each has ready.
struct Setup {
    cli: Cli,
    warm: usize,
}

/// What came of conversations that began together, or of several such runs.
#[derive(Default)]
struct Outcome {
    /// From the first question to the last answer.
    whole: Duration,
    /// The part of it that others left of the CPUs.
    left: Duration,
    asked: Vec<Asked>,
    /// Of each conversation to its first text, and what that would have been in fair order.
    first: Samples,
    in_order: Samples,
    /// Of the CLI's processes, all of their life.
    cpu: Duration,
}

#[tokio::main]
async fn main() {
    let Some(program) = support::claude_bin::real_cli() else {
        println!("There is nothing to measure without the real CLI.");
        return;
    };
    let api = MessagesApi::start().await;
    let home = tempfile::tempdir().unwrap();
    let setup = Setup { cli: Cli::new(program, &api.url(), home.path()), warm: setting("WARM", 0) };
    // The program comes from the disk the first time.
    direct(&setup, 1).await;
    let mut missed = throughput(&setup).await;
    missed |= callers(&setup).await;
    if setting("CHECK", 0) == 1 && missed {
        std::process::exit(1);
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many begin in a second. Whether a target was missed is returned.
async fn throughput(setup: &Setup) -> bool {
    let at_once = std::env::var("AT_ONCE").unwrap_or_else(|_| "2,16,64".to_owned());
    let (mut rows, mut missed) = (Vec::new(), false);
    let numbers = at_once.split(',').map(|number| number.trim().parse::<usize>().unwrap()).filter(|number| *number > 0);
    for conversations in numbers {
        let (mut of_direct, mut of_server) = (Outcome::default(), Outcome::default());
        let mut by_round = Vec::new();
        for round in 0..setting("ROUNDS", 4).max(setting("LEAST", 48).div_ceil(conversations)) {
            let mut rates = [0.0; 2];
            for directly in if round % 2 == 0 { [true, false] } else { [false, true] } {
                quiet().await;
                let before = cpu_time_of_children().await;
                let mut outcome = match directly {
                    true => direct(setup, conversations).await,
                    false => through_server(setup, &vec![(0, Duration::ZERO); conversations]).await,
                };
                outcome.cpu = cpu_time_of_children().await - before;
                rates[usize::from(directly)] = outcome.rate();
                if directly { of_direct.add(outcome) } else { of_server.add(outcome) }
            }
            by_round.push(rates[0] / rates[1]);
        }
        eprintln!("{conversations} at once: done");
        let cpu = |outcome: &Outcome| format!("{:.2} s", outcome.cpu.as_secs_f64() / outcome.first.len() as f64);
        let ratio = of_server.rate() / of_direct.rate();
        by_round.sort_by(f64::total_cmp);
        let as_timed = of_direct.whole.as_secs_f64() / of_server.whole.as_secs_f64();
        let in_order = of_server.is_in_order();
        missed |= ratio < OF_BARE || !in_order;
        rows.push(vec![
            conversations.to_string(),
            of_server.first.len().to_string(),
            format!("{:.2}", of_direct.rate()),
            format!("{:.2}", of_server.rate()),
            format!("**{ratio:.3}**"),
            format!("{:.2} to {:.2}", by_round[0], by_round[by_round.len() - 1]),
            format!("{as_timed:.3}"),
            format!("{:.0} %, {:.0} %", of_direct.taken_by_others(), of_server.taken_by_others()),
            format!("{}, {}", cpu(&of_direct), cpu(&of_server)),
            format!("≥ {OF_BARE}: {}", verdict(ratio >= OF_BARE)),
            format!("{:.1} s", of_server.first.quantile(0.5) / 1e3),
            format!("{:.1} s", of_server.first.quantile(0.99) / 1e3),
            format!("{:.1} s", of_server.in_order.quantile(0.99) / 1e3),
            verdict(in_order).to_owned(),
        ]);
    }
    let head = [
        "at once",
        "in all",
        "bare, a second",
        "server, a second",
        "of bare",
        "by round",
        "as timed",
        "of the CPUs, taken by others",
        "CPU each: bare, server",
        "target",
        "p50",
        "p99",
        "p99 in fair order",
        "in order",
    ];
    table("Fresh conversations, to their first text", &head, &rows);
    missed
}

/// What two callers wait for that ask very differently. Whether a target was missed is returned.
async fn callers(setup: &Setup) -> bool {
    let of_each = |caller: usize, number: usize| match caller {
        0 => (0, Duration::ZERO),
        _ => (1, EVERY * number as u32),
    };
    let all = setting("CALLERS", 64);
    let many = (0..all - all / 4).map(|number| of_each(0, number));
    let came: Vec<_> = many.chain((0..all / 4).map(|number| of_each(1, number))).collect();
    if came.is_empty() {
        return false;
    }
    quiet().await;
    let outcome = through_server(setup, &came).await;
    let (mut rows, mut missed) = (Vec::new(), false);
    for (caller, name) in ["everything at once", "one a second"].into_iter().enumerate() {
        let of = outcome.of_caller(caller, workers());
        let in_order = of.is_in_order();
        missed |= !in_order;
        rows.push(vec![
            name.to_owned(),
            of.first.len().to_string(),
            format!("{:.1} s", of.first.quantile(0.5) / 1e3),
            format!("{:.1} s", of.in_order.quantile(0.5) / 1e3),
            format!("{:.1} s", of.first.quantile(0.99) / 1e3),
            format!("{:.1} s", of.in_order.quantile(0.99) / 1e3),
            format!("at most {LATER} answers later: {}", verdict(in_order)),
        ]);
    }
    let head = ["the caller asks", "requests", "p50", "in fair order", "p99", "in fair order", "target"];
    table("Two callers", &head, &rows);
    missed
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**not met**" }
}

impl Outcome {
    fn of(began: Instant, cpus: &Cpus, mut asked: Vec<Asked>) -> Outcome {
        let whole = began.elapsed();
        asked.sort_by_key(|asked| asked.came);
        let mut outcome = Outcome { whole, left: whole.mul_f64(cpus.share_since()), ..Outcome::default() };
        asked.iter().for_each(|asked| outcome.first.push(asked.took()));
        fair(&asked, workers()).iter().for_each(|asked| outcome.in_order.push(asked.took()));
        Outcome { asked, ..outcome }
    }

    fn add(&mut self, more: Outcome) {
        self.whole += more.whole;
        self.left += more.left;
        self.first.append(more.first);
        self.in_order.append(more.in_order);
        self.asked.extend(more.asked);
        self.cpu += more.cpu;
    }

    /// The requests of one caller, in the order of all.
    fn of_caller(&self, caller: usize, workers: usize) -> Outcome {
        let mut of = Outcome { whole: self.whole, asked: self.asked.clone(), ..Outcome::default() };
        let own = |asked: &&Asked| asked.caller == caller;
        self.asked.iter().filter(own).for_each(|asked| of.first.push(asked.took()));
        fair(&self.asked, workers).iter().filter(own).for_each(|asked| of.in_order.push(asked.took()));
        of
    }

    /// In a second that is left of the CPUs.
    fn rate(&self) -> f64 {
        self.asked.len() as f64 / self.left.as_secs_f64()
    }

    fn taken_by_others(&self) -> f64 {
        100.0 * (1.0 - self.left.as_secs_f64() / self.whole.as_secs_f64())
    }

    /// Whether the slowest of a hundred are about as slow as they had to be.
    fn is_in_order(&self) -> bool {
        let an_answer = 1e3 * self.whole.as_secs_f64() / self.asked.len() as f64;
        self.first.quantile(0.99) <= self.in_order.quantile(0.99) + LATER * an_answer
    }
}

/// The bare protocol: as many workers as CPUs, each with the next conversation as soon as it has answered one.
async fn direct(setup: &Setup, conversations: usize) -> Outcome {
    let warm: Vec<Bare> = (0..setup.warm).map(|_| setup.cli.start()).collect();
    if setup.warm > 0 {
        quiet().await;
    }
    let (next, warm) = (AtomicUsize::new(0), std::sync::Mutex::new(warm));
    let (began, cpus) = (Instant::now(), Cpus::now());
    let work = (0..workers()).map(|_| async {
        let mut asked = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= conversations {
                return asked;
            }
            let started = warm.lock().unwrap().pop();
            let mut process = started.unwrap_or_else(|| setup.cli.start());
            let question = bare::user(&format!("hello from {number}"));
            process.first_delta(&[bare::setup(MODEL, SYSTEM, None), question].concat()).await;
            asked.push(Asked { caller: 0, came: Duration::ZERO, answered: began.elapsed() });
            process.finish().await;
        }
    });
    let asked = join_all(work).await.into_iter().flatten().collect();
    Outcome::of(began, &cpus, asked)
}

/// Conversations that each begin at some time, and are each some caller's.
async fn through_server(setup: &Setup, came: &[(usize, Duration)]) -> Outcome {
    let server = start(setup).await;
    let open = came.iter().map(async |(caller, _)| {
        Conversation::open(server.address, MODEL, SYSTEM, None).await.with_key(&format!("key {caller}"))
    });
    let mut opened = join_all(open).await;
    let (began, cpus) = (Instant::now(), Cpus::now());
    let work = opened.iter_mut().zip(came).enumerate().map(|(number, (conversation, (caller, after)))| async move {
        // A moment apart, so that the order in which they come is known.
        tokio::time::sleep(*after + Duration::from_millis(2 * number as u64)).await;
        let came = began.elapsed();
        let answer = conversation.say(&format!("hello from {number}")).await;
        let answered = began.elapsed();
        conversation.finish(answer).await;
        Asked { caller: *caller, came, answered }
    });
    let asked = join_all(work).await;
    Outcome::of(began, &cpus, asked)
}

async fn start(setup: &Setup) -> Server {
    let builder =
        setup.cli.builder().warm_processes(setup.warm).queue_limit(1000).queue_timeout(Duration::from_secs(600));
    let server = Server::start(builder.build()).await;
    while client::health(server.address).await["processes"]["warm"] != setup.warm {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    quiet().await;
    server
}
