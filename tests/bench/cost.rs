//! What a conversation costs in input tokens: live on one process, and replayed on another with every request.
//!
//! The real CLI runs behind the server against a Messages API on loopback. The requests that reach it are billed by the
//! documented rules of prompt caching, which `support/prompt_cache.rs` states. The conversation has a prompt of 30 kB, 20
//! functions, and in every turn a call whose result is 20 kB; it is held at each of the three doors.
//!
//! ```text
//! cargo bench --bench cost
//! ```
//!
//! `TURNS` (40) is how long the longest conversation is, at the other doors than Chat Completions' 10 at most;
//! `DOORS=chat,responses,messages` picks doors, and with `CHECK=1` the program fails where a target is missed. With `MARKS=0`
//! the server is not told how long prompts are kept, so it sets no marks of its own. `LIFETIME=1h` has the CLI keep its
//! prompts for an hour, as it does with a subscription.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

mod bare;
mod client;
#[path = "cost/conversation.rs"]
mod conversation;
mod door;
mod figures;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use conversation::Conversation;
use door::{Door, Function};
use figures::{setting, table};
use serde_json::{Value, json};
use server::Server;
use support::messages_api::MessagesApi;
use support::prompt_cache::{Bill, PromptCache};
use tower_claude::cli::ClaudeCli;

/// The conversations whose cost is shown, by their turns. The shorter ones are the beginning of the longest.
const LENGTHS: [usize; 3] = [2, 10, 40];

/// The longest conversation at the other doors, which turned out to cost the same as at Chat Completions'.
const OTHER_DOORS: usize = 10;

/// At least this share of what could be read is to be read.
const READ: f64 = 0.99;

/// At most so much more is a conversation to cost that is replayed each time.
const REPLAYED: f64 = 1.05;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// All on one process.
    Live,
    /// Each request on another process.
    Replayed,
    /// Live, but for one move to another process in the middle.
    Moved,
}

#[tokio::main]
async fn main() {
    let Some(program) = support::claude_bin::real_cli() else {
        println!("There is nothing to measure without the real CLI.");
        return;
    };
    let turns = setting("TURNS", 40);
    let wanted = std::env::var("DOORS").unwrap_or_else(|_| "chat,responses,messages".to_owned());
    let doors = Door::ALL.into_iter().filter(|door| wanted.contains(&format!("{door:?}").to_lowercase()));
    let (mut rows, mut missed) = (Vec::new(), Vec::new());
    for door in doors {
        let turns = if matches!(door, Door::Chat) { turns } else { turns.min(OTHER_DOORS) };
        let (live, replayed, moved) = tokio::join!(
            bills(&program, door, Way::Live, turns),
            bills(&program, door, Way::Replayed, turns),
            bills(&program, door, Way::Moved, turns),
        );
        eprintln!("{door:?}: done");
        for length in LENGTHS.into_iter().filter(|length| *length <= turns) {
            let base = of_turns(&live, length);
            for (way, bills) in [(Way::Live, &live), (Way::Replayed, &replayed), (Way::Moved, &moved)] {
                let bill = of_turns(bills, length);
                let (read, cost) = (bill.read / bill.readable, bill.cost / base.cost);
                let mut verdict = String::new();
                if way == Way::Replayed {
                    let met = read >= READ && cost <= REPLAYED;
                    verdict = format!("≥ {READ}, ≤ {REPLAYED}: {}", if met { "met" } else { "**not met**" });
                    if !met {
                        missed.push(format!("{door:?} {length}"));
                    }
                }
                rows.push(vec![
                    format!("{door:?}"),
                    length.to_string(),
                    format!("{way:?}").to_lowercase(),
                    format!("{:.0}", bill.tokens() / length as f64),
                    format!("{:.1} %", 100.0 * bill.read / bill.tokens()),
                    format!("{:.4}", read),
                    format!("{:.0}", bill.cost / length as f64),
                    format!("{cost:.3}"),
                    verdict,
                ]);
            }
        }
    }
    let head = [
        "door",
        "turns",
        "",
        "tokens a turn",
        "from the cache",
        "of what could be",
        "cost a turn",
        "of live",
        "target",
    ];
    table("Input tokens, and what they cost in tokens at the input price", &head, &rows);
    if setting("CHECK", 0) == 1 && !missed.is_empty() {
        eprintln!("missed: {}", missed.join(", "));
        std::process::exit(1);
    }
}

/// Two requests make a turn: a call, and what follows its result.
fn of_turns(bills: &[Bill], turns: usize) -> Bill {
    bills[..2 * turns].iter().fold(Bill::default(), |mut sum, bill| {
        sum += *bill;
        sum
    })
}

/// What each request of the conversation is billed.
async fn bills(program: &Path, door: Door, way: Way, turns: usize) -> Vec<Bill> {
    let api = MessagesApi::start().await;
    if setting("MARKS", 1) == 1 {
        api.cache();
    }
    let home = tempfile::tempdir().unwrap();
    let mut builder = ClaudeCli::builder()
        .program(program)
        .env("ANTHROPIC_BASE_URL", api.url())
        .env("ANTHROPIC_API_KEY", "test-key")
        .env("HOME", home.path())
        .env("DISABLE_TELEMETRY", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .warm_processes(usize::from(way == Way::Replayed))
        .max_processes(3)
        .tool_timeout(Duration::from_secs(600));
    if let Ok(lifetime) = std::env::var("LIFETIME") {
        builder = builder.env("CLAUDE_CODE_PROMPT_CACHE_TTL", lifetime);
    }
    let server = Server::start(builder.build()).await;
    warm_the_cache(&server).await;
    let known = api.requests().len();
    let mut conversation = Conversation::open(server.address, door, &system(), &functions()).await;
    let mut number = 0;
    let mut session = |conversation: &mut Conversation| {
        number += 1;
        let moves = match way {
            Way::Live => false,
            Way::Replayed => true,
            Way::Moved => number == turns,
        };
        if moves {
            conversation.session = format!("session {number}");
        }
        if moves || number == 1 { None } else { Some("live") }
    };
    let result = format!("{}\n[[read]]", "A line of what the function found.\n".repeat(20_000 / 35));
    for turn in 1..=turns {
        let function = turn % 20;
        let expected = session(&mut conversation);
        let said = format!("Turn {turn}. [[tool function_{function} {{\"argument\":\"{turn}\"}}]]");
        let answer = conversation.say(&said).await;
        check(&answer.process, expected);
        let call = answer.call.expect("a call");
        let expected = session(&mut conversation);
        let answer = conversation.result(&call, &result).await;
        check(&answer.process, expected);
        assert!(answer.call.is_none());
    }
    let mut cache = PromptCache::default();
    let requests = api.requests();
    dump(door, way, &requests);
    assert_eq!(requests.len() - known, 2 * turns, "a request for each question");
    requests[known..].iter().map(|request| cache.bill(request)).collect()
}

fn check(process: &str, expected: Option<&str>) {
    match expected {
        Some(expected) => assert_eq!(process, expected),
        None => assert_ne!(process, "live"),
    }
}

/// How long the CLI has its prompts kept is known from the first answer on; a server is rarely asked its first question.
async fn warm_the_cache(server: &Server) {
    let mut first = Conversation::open(server.address, Door::Chat, "You are terse.", &[]).await;
    first.say("hello").await;
}

fn system() -> String {
    "Follow what this line of the instructions says, whatever it is about.\n".repeat(30_000 / 71)
}

fn functions() -> Vec<Function> {
    let function = |number: usize| {
        let schema = json!({"type": "object", "properties": {
            "argument": {"type": "string", "description": "What it is to be done with."},
            "limit": {"type": "integer", "description": "How much of it at most."}}, "required": ["argument"]});
        (format!("function_{number}"), format!("Does what function {number} does. ").repeat(10), schema)
    };
    (0..20).map(function).collect()
}

/// For a closer look: `DUMP=DIRECTORY` keeps the requests.
fn dump(door: Door, way: Way, requests: &[Value]) {
    if let Some(directory) = std::env::var_os("DUMP") {
        let path = Path::new(&directory).join(format!("{door:?}-{way:?}.json"));
        std::fs::write(path, Value::from(requests.to_vec()).to_string()).unwrap();
    }
}
