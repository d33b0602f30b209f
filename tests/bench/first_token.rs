//! How long a client waits for the first token: starting the CLI for each request, the bare protocol, this proxy.
//!
//! Runs the real CLI against a Messages API on loopback that answers at once, so what is left is the CLI's own time and
//! the proxy's. All three are measured in the same run, round by round, in an order that changes from round to round:
//! the numbers are for comparing with each other. `ROUNDS` sets how many there are (15).
//!
//! ```text
//! cargo bench --bench first_token
//! ```

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

mod bare;
mod client;
mod figures;
mod procfs;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bare::Bare;
use client::Conversation;
use figures::{Samples, setting, table};
use procfs::quiet;
use server::Server;
use support::messages_api::MessagesApi;
use tower_claude::cli::ClaudeCli;

const MODEL: &str = "opus";
const SYSTEM: &str = "You are terse.";
const TOOL: &str = "exec";
const CALL: &str = r#"Do it. [[tool exec {"command":"date"}]]"#;

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

/// What all processes are started with.
struct Cli {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

#[tokio::main]
async fn main() {
    let Some(program) = support::claude_bin::real_cli() else {
        println!("There is nothing to measure without the real CLI.");
        return;
    };
    let api = MessagesApi::start().await;
    let home = tempfile::tempdir().unwrap();
    let variables = [
        ("ANTHROPIC_BASE_URL", api.url().as_str()),
        ("ANTHROPIC_API_KEY", "test-key"),
        ("HOME", home.path().to_str().unwrap()),
        ("DISABLE_TELEMETRY", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let cli = Cli { program, environment: variables.to_vec() };
    let rounds = setting("ROUNDS", 15);
    let (mut spawned, mut direct, mut proxied) = (Samples::default(), Times::default(), Times::default());
    // The first one is not counted: the program comes from the disk.
    for number in 0..=rounds {
        let mut round = Round::start(&cli, number).await;
        let (mut of_spawned, mut of_direct, mut of_proxied) = (Samples::default(), Times::default(), Times::default());
        round.run(&cli, &mut of_spawned, &mut of_direct, &mut of_proxied).await;
        if number > 0 {
            spawned.append(of_spawned);
            direct.append(of_direct);
            proxied.append(of_proxied);
        }
        eprintln!("round {number} of {rounds}");
    }
    report(rounds, &spawned, &direct, &proxied);
}

/// The processes of one round: two bare ones and the proxy's two, each for a conversation with a function and one
/// without. All are new, and equally old.
struct Round {
    number: usize,
    plain: Bare,
    tools: Bare,
    server: Server,
    plain_conversation: Conversation,
    tool_conversation: Conversation,
}

impl Round {
    async fn start(cli: &Cli, number: usize) -> Round {
        let builder = ClaudeCli::builder().program(&cli.program).warm_processes(2);
        let builder = cli.environment.iter().fold(builder, |builder, (name, value)| builder.env(name, value));
        let server = Server::start(builder.build()).await;
        while client::health(server.address).await["processes"]["warm"] != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let began = Instant::now();
        let bare = || Bare::start(&cli.program, &cli.environment);
        let (plain, tools) = (bare(), bare());
        let open = |tool| Conversation::open(server.address, MODEL, SYSTEM, tool);
        let (plain_conversation, tool_conversation) = (open(None).await, open(Some(TOOL)).await);
        quiet().await;
        tokio::time::sleep(AGE.saturating_sub(began.elapsed())).await;
        Round { number, plain, tools, server, plain_conversation, tool_conversation }
    }

    async fn run(&mut self, cli: &Cli, spawned: &mut Samples, direct: &mut Times, proxied: &mut Times) {
        let question = format!("hello in round {}", self.number);
        for bare in self.order(0) {
            quiet().await;
            if bare {
                let lines = [bare::setup(MODEL, SYSTEM, None), bare::user(&question)].concat();
                direct.first.push(self.plain.first_delta(&lines).await);
                self.plain.finish().await;
            } else {
                let took = self.proxied(&question, "warm").await;
                proxied.first.push(took);
            }
        }
        for repeat in 0..REPEATS {
            let question = format!("hello again, {repeat}");
            for bare in self.order(repeat) {
                quiet().await;
                if bare {
                    direct.later.push(self.plain.first_delta(&bare::user(&question)).await);
                    self.plain.finish().await;
                } else {
                    proxied.later.push(self.proxied(&question, "live").await);
                }
            }
        }
        for repeat in 0..REPEATS {
            for bare in self.order(repeat) {
                if bare {
                    direct.tool.push(self.direct_round_trip(repeat).await);
                } else {
                    proxied.tool.push(self.proxied_round_trip(repeat).await);
                }
            }
        }
        quiet().await;
        let (program, environment) = (&cli.program, &cli.environment);
        spawned.push(bare::spawn_per_request(program, environment, MODEL, SYSTEM, &question).await);
    }

    /// Whether the bare protocol comes first.
    fn order(&self, repeat: usize) -> [bool; 2] {
        let first = (self.number + repeat).is_multiple_of(2);
        [first, !first]
    }

    async fn proxied(&mut self, question: &str, process: &str) -> Duration {
        let answer = self.plain_conversation.say(question).await;
        let took = answer.first;
        assert_eq!(answer.process, process, "the turn was not the one that is measured");
        self.plain_conversation.finish(answer).await;
        took
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

    async fn proxied_round_trip(&mut self, repeat: usize) -> Duration {
        let conversation = &mut self.tool_conversation;
        let call = conversation.say(CALL).await;
        conversation.finish(call).await;
        quiet().await;
        let answer = conversation.result(&format!("result {repeat}")).await;
        let took = answer.first;
        assert_eq!(answer.process, "live", "the results did not go to the parked process");
        conversation.finish(answer).await;
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
