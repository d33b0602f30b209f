//! How long a client waits for the first token: starting the CLI for each request, the bare protocol, this proxy at each of
//! its three doors.
//!
//! Runs the real CLI against a Messages API on loopback that answers at once, so what is left is the CLI's own time and
//! the proxy's. All are measured in the same run, round by round, in an order that changes from turn to turn: the numbers
//! are for comparing with each other. `ROUNDS` sets how many there are (15).
//!
//! ```text
//! cargo bench --bench first_token
//! ```

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

mod bare;
mod client;
mod door;
mod figures;
mod procfs;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bare::{Bare, Cli};
use client::Conversation;
use door::Door;
use figures::{Samples, setting, table};
use procfs::quiet;
use server::Server;
use support::messages_api::MessagesApi;

const MODEL: &str = "opus";
const SYSTEM: &str = "You are terse.";
const TOOL: &str = "exec";
const CALL: &str = r#"Do it. [[tool exec {"command":"date"}]]"#;

/// How much later than on Chat Completions a first token may come at another door, in milliseconds.
const APART: f64 = 1.0;

/// How old an idle process is at least when its first turn comes. It is up by then: the bare one and the proxy's alike.
const AGE: Duration = Duration::from_millis(1500);

/// How many later turns and tool round trips there are in a round.
const REPEATS: usize = 3;

#[derive(Default)]
struct Times {
    first: Samples,
    later: Samples,
    tool: Samples,
}

#[tokio::main]
async fn main() {
    let Some(program) = support::claude_bin::real_cli() else {
        println!("There is nothing to measure without the real CLI.");
        return;
    };
    let api = MessagesApi::start().await;
    let home = tempfile::tempdir().unwrap();
    let cli = Cli::new(program, &api.url(), home.path());
    let rounds = setting("ROUNDS", 15);
    let (mut spawned, mut direct, mut proxied) = (Samples::default(), Times::default(), <[Times; 3]>::default());
    // The first one is not counted: the program comes from the disk.
    for number in 0..=rounds {
        let mut round = Round::start(&cli, number).await;
        let (of_spawned, of_direct, of_proxied) = round.run(&cli).await;
        if number > 0 {
            spawned.append(of_spawned);
            direct.append(of_direct);
            proxied.iter_mut().zip(of_proxied).for_each(|(times, more)| times.append(more));
        }
        eprintln!("round {number} of {rounds}");
    }
    report(rounds, &spawned, &direct, &proxied[0]);
    report_doors(&proxied);
}

/// The processes of one round: two bare ones and the proxy's two for each door, one for a conversation with a function and
/// one for a conversation without. All are new, and equally old.
struct Round {
    number: usize,
    plain: Bare,
    tools: Bare,
    server: Server,
    doors: Vec<AtDoor>,
}

/// The conversations at one door.
struct AtDoor {
    door: Door,
    plain: Conversation,
    tools: Conversation,
}

impl Round {
    async fn start(cli: &Cli, number: usize) -> Round {
        let builder = cli.builder().warm_processes(1).max_processes(2 * Door::ALL.len() + 2);
        let server = Server::start(builder.build()).await;
        // As on any server but a new one: warm processes know what the last new conversation wanted.
        let mut earlier = Conversation::open(server.address, MODEL, SYSTEM, None).await;
        let answer = earlier.say("hello").await;
        earlier.finish(answer).await;
        let (plain, tools) = (cli.start(), cli.start());
        let mut doors = Vec::new();
        for door in Door::ALL {
            let open = |tool| Conversation::at(door, server.address, MODEL, SYSTEM, tool);
            doors.push(AtDoor { door, plain: open(None).await, tools: open(Some(TOOL)).await });
        }
        Round { number, plain, tools, server, doors }
    }

    /// Starting the CLI, the bare protocol, the proxy at each door.
    async fn run(&mut self, cli: &Cli) -> (Samples, Times, [Times; 3]) {
        let (mut spawned, mut direct, mut proxied) = (Samples::default(), Times::default(), <[Times; 3]>::default());
        let question = format!("hello in round {}", self.number);
        for way in self.order(0) {
            self.warm().await;
            if let Some(door) = way {
                let took = self.doors[door as usize].turn(&question, "warm").await;
                proxied[door as usize].first.push(took);
            } else {
                let lines = [bare::setup(MODEL, SYSTEM, None), bare::user(&question)].concat();
                direct.first.push(self.plain.first_delta(&lines).await);
                self.plain.finish().await;
            }
        }
        for repeat in 0..REPEATS {
            let question = format!("hello again, {repeat}");
            for way in self.order(repeat) {
                quiet().await;
                if let Some(door) = way {
                    let took = self.doors[door as usize].turn(&question, "live").await;
                    proxied[door as usize].later.push(took);
                } else {
                    direct.later.push(self.plain.first_delta(&bare::user(&question)).await);
                    self.plain.finish().await;
                }
            }
        }
        for repeat in 0..REPEATS {
            for way in self.order(repeat) {
                if let Some(door) = way {
                    let took = self.doors[door as usize].round_trip(repeat).await;
                    proxied[door as usize].tool.push(took);
                } else {
                    direct.tool.push(self.direct_round_trip(repeat).await);
                }
            }
        }
        quiet().await;
        let (program, environment) = (&cli.program, &cli.environment);
        spawned.push(bare::spawn_per_request(program, environment, MODEL, SYSTEM, &question).await);
        (spawned, direct, proxied)
    }

    /// Waits until there is a warm process as old as the bare ones are at least, and nothing starts.
    async fn warm(&self) {
        while client::health(self.server.address).await["processes"]["warm"] != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(AGE).await;
        quiet().await;
    }

    /// The bare protocol and the doors: each comes first, second, third and last in turn, and as often before another as
    /// behind it.
    fn order(&self, repeat: usize) -> [Option<Door>; 4] {
        let mut ways = [None, Some(Door::Chat), Some(Door::Responses), Some(Door::Messages)];
        let turn = self.number + repeat;
        ways.rotate_left(turn / 2 % 4);
        if turn % 2 == 1 {
            ways.reverse();
        }
        ways
    }

    async fn direct_round_trip(&mut self, repeat: usize) -> Duration {
        let setup = if repeat == 0 { bare::setup(MODEL, SYSTEM, Some(TOOL)) } else { Vec::new() };
        self.tools.first_delta(&[setup, bare::user(CALL)].concat()).await;
        let result = self.tools.parked(&format!("result {repeat}")).await;
        quiet().await;
        let took = self.tools.first_delta(&result).await;
        self.tools.finish().await;
        took
    }
}

impl AtDoor {
    async fn turn(&mut self, question: &str, process: &str) -> Duration {
        // By its words, the conversation is at this door and no other.
        let answer = self.plain.say(&format!("{question}, {:?}", self.door)).await;
        let took = answer.first;
        assert_eq!(answer.process, process, "the turn was not the one that is measured");
        self.plain.finish(answer).await;
        took
    }

    async fn round_trip(&mut self, repeat: usize) -> Duration {
        let call = self.tools.say(&format!("{:?}: {CALL}", self.door)).await;
        self.tools.finish(call).await;
        quiet().await;
        let answer = self.tools.result(&format!("result {repeat}")).await;
        let took = answer.first;
        assert_eq!(answer.process, "live", "the results did not go to the parked process");
        self.tools.finish(answer).await;
        took
    }
}

impl Times {
    fn append(&mut self, more: Times) {
        self.first.append(more.first);
        self.later.append(more.later);
        self.tool.append(more.tool);
    }
}

fn report(rounds: usize, spawned: &Samples, direct: &Times, proxied: &Times) {
    println!("First token, in milliseconds, over {rounds} rounds on the real CLI.");
    let base = spawned.median();
    let row = |name: &str, times: &Samples, bare: Option<&Samples>, targets: (Option<f64>, &str)| {
        let ratio = times.median() / base;
        let (over, paired, verdict) = match bare {
            None => (String::new(), String::new(), String::new()),
            Some(bare) => {
                let over = times.median() - bare.median();
                let met = over <= 2.0 && targets.0.is_none_or(|most| ratio <= most);
                let verdict = format!("{}: {}", targets.1, if met { "met" } else { "**not met**" });
                (format!("{over:+.2}"), format!("{:+.2}", times.median_difference(bare)), verdict)
            }
        };
        vec![
            name.to_owned(),
            times.len().to_string(),
            format!("{:.1}", times.median()),
            times.spread(),
            format!("{ratio:.3}"),
            over,
            paired,
            verdict,
        ]
    };
    let none = (None, "");
    let rows = [
        row("`claude -p` started for each request", spawned, None, none),
        row("bare protocol, first turn", &direct.first, None, none),
        row("**this proxy, first turn**", &proxied.first, Some(&direct.first), (Some(0.25), "≤ 2 ms, ≤ 0.25")),
        row("bare protocol, later turn", &direct.later, None, none),
        row("**this proxy, later turn**", &proxied.later, Some(&direct.later), (Some(0.12), "≤ 2 ms, ≤ 0.12")),
        row("bare protocol, results of a call", &direct.tool, None, none),
        row("**this proxy, results of a call**", &proxied.tool, Some(&direct.tool), (None, "≤ 2 ms")),
    ];
    let head = ["", "n", "median", "quartiles (extremes)", "of spawning", "over bare", "over bare, paired", "target"];
    table("First token", &head, &rows);
}

/// Each door against Chat Completions, of the same turns.
fn report_doors(doors: &[Times; 3]) {
    let [chat, ..] = doors;
    let rows = Door::ALL.into_iter().zip(doors).map(|(door, times)| {
        let mut row = vec![format!("`{}`", door.path())];
        for (these, those) in [(&times.first, &chat.first), (&times.later, &chat.later), (&times.tool, &chat.tool)] {
            let apart = if door == Door::Chat {
                String::new()
            } else {
                let apart = these.median_difference(those);
                format!("{apart:+.2}: {}", if apart <= APART { "met" } else { "**not met**" })
            };
            row.extend([format!("{:.1}", these.median()), apart]);
        }
        row
    });
    let target = format!("over chat, paired, ≤ {APART} ms");
    let head = ["", "first turn", &target, "later turn", &target, "results of a call", &target];
    table("First token at the three doors", &head, &rows.collect::<Vec<_>>());
}
