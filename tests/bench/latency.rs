//! The latency that the proxy adds: conversations that run side by side, each in turn directly and through the proxy.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::bare::{self, Bare};
use super::client::Conversation;
use super::figures::{Samples, setting, table};
use super::passthrough::Passthrough;
use super::procfs::{cpu_time, quiet};
use super::separate::Separate;
use super::verdict;

/// A wave: every conversation has one turn, and they begin spread over this long.
const WAVE: Duration = Duration::from_millis(200);

/// Each answer streams for as long as a wave lasts, at 50 deltas a second.
const PROMPT: &str = "[[slow 20 count 10]]";

/// Turns of each conversation, in each of the three ways.
const TURNS: usize = 10;

/// What is measured in one row.
struct Load {
    conversations: usize,
    /// How often all of it is begun anew.
    batches: usize,
    /// The length of the system prompt, in bytes. An agent's is some 30 kB; each request repeats it.
    prompt: usize,
}

const LOADS: [Load; 4] = [
    Load { conversations: 1, batches: 12, prompt: 6 },
    Load { conversations: 16, batches: 4, prompt: 6 },
    Load { conversations: 64, batches: 2, prompt: 6 },
    Load { conversations: 16, batches: 4, prompt: 30_000 },
];

#[derive(Default)]
struct Times {
    direct: Samples,
    proxied: Samples,
    /// Over HTTP, with nothing between it and the process.
    http: Samples,
    cpu: Duration,
    http_cpu: Duration,
}

pub(crate) async fn measure(stand_in: &Path) {
    let mut rows = Vec::new();
    let only = setting("AT_ONCE", 0);
    for load in LOADS.iter().filter(|load| only == 0 || only == load.conversations) {
        let mut times = Times::default();
        for batch in 0..load.batches * setting("SCALE", 1) {
            run(stand_in, load, batch, &mut times).await;
        }
        rows.push(row(load, &times));
        eprintln!("latency at {} with a prompt of {} bytes: done", load.conversations, load.prompt);
    }
    let head = [
        "conversations at once",
        "prompt, in bytes",
        "turns",
        "direct p50",
        "direct p99",
        "HTTP alone p50",
        "HTTP alone p99",
        "server p50",
        "server p99",
        "**added p50**",
        "**added p99**",
        "of which not HTTP's, p50",
        "CPU a request: HTTP alone, server",
        "target at 16: ≤ 0.25 and ≤ 1 ms",
    ];
    table("Latency to the first text, in milliseconds", &head, &rows);
}

fn row(load: &Load, Times { direct, proxied, http, cpu, http_cpu }: &Times) -> Vec<String> {
    let added = |share: f64| proxied.quantile(share) - direct.quantile(share);
    let mut row = vec![load.conversations.to_string(), load.prompt.to_string(), proxied.len().to_string()];
    for samples in [direct, http, proxied] {
        row.extend([0.5, 0.99].map(|share| format!("{:.3}", samples.quantile(share))));
    }
    row.extend([0.5, 0.99].map(|share| format!("{:.3}", added(share))));
    row.push(format!("{:.3}", proxied.median() - http.median()));
    let each = |cpu: &Duration| cpu.as_secs_f64() * 1e3 / proxied.len() as f64;
    row.push(format!("{:.3}, {:.3} ms", each(http_cpu), each(cpu)));
    row.push(format!("{}, {}", verdict(added(0.5), 0.25, true), verdict(added(0.99), 1.0, true)));
    row
}

/// The ways to a process, each of which has its own conversations.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    Http,
    Proxied,
}

const WAYS: [Way; 3] = [Way::Direct, Way::Http, Way::Proxied];

async fn run(stand_in: &Path, load: &Load, batch: usize, times: &mut Times) {
    let conversations = load.conversations;
    let prompt = "Terse. ".repeat(load.prompt.div_ceil(7));
    let prompt = &prompt[..load.prompt];
    let one_thread = setting("THREADS", 0) == 1;
    let server = Separate::start(stand_in, 2 * conversations + 1, one_thread);
    let passthrough = Separate::passthrough(stand_in, one_thread);
    let (mut direct, mut http, mut proxied) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..conversations {
        let hello = format!("hello from {number}");
        let mut process = Bare::start(stand_in, &[]);
        process.first_delta(&[bare::setup("opus", prompt, None), bare::user(&hello)].concat()).await;
        process.finish().await;
        direct.push(process);
        http.push(Passthrough::open(passthrough.address).await);
        let mut conversation = Conversation::open(server.address, "opus", prompt, None).await;
        let answer = conversation.say(&hello).await;
        conversation.finish(answer).await;
        proxied.push(conversation);
    }
    quiet().await;
    for turn in 0..TURNS {
        for place in 0..WAYS.len() {
            let begin = Instant::now();
            let at = |number: usize| begin + WAVE * (number as u32) / (conversations as u32);
            match WAYS[(place + turn + batch) % WAYS.len()] {
                Way::Direct => {
                    let turns = direct.iter_mut().enumerate().map(|(number, process)| async move {
                        sleep_until(at(number)).await;
                        let took = process.first_delta(&bare::user(PROMPT)).await;
                        process.finish().await;
                        took
                    });
                    join_all(turns).await.into_iter().for_each(|took| times.direct.push(took));
                }
                Way::Http => {
                    let before = cpu_time(passthrough.pid);
                    let turns = http.iter_mut().enumerate().map(|(number, conversation)| async move {
                        sleep_until(at(number)).await;
                        let (took, answer) = conversation.say(bare::user(PROMPT)).await;
                        conversation.finish(answer).await;
                        took
                    });
                    join_all(turns).await.into_iter().for_each(|took| times.http.push(took));
                    times.http_cpu += cpu_time(passthrough.pid) - before;
                }
                Way::Proxied => {
                    let before = cpu_time(server.pid);
                    let turns = proxied.iter_mut().enumerate().map(|(number, conversation)| async move {
                        sleep_until(at(number)).await;
                        let answer = conversation.say(PROMPT).await;
                        assert_eq!(answer.process, "live", "the turn was not the one that is measured");
                        let took = answer.first;
                        conversation.finish(answer).await;
                        took
                    });
                    join_all(turns).await.into_iter().for_each(|took| times.proxied.push(took));
                    times.cpu += cpu_time(server.pid) - before;
                }
            }
        }
    }
}
