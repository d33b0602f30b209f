//! What a conversation costs in input tokens: live on one process, and replayed on another with every request.
//!
//! The real CLI runs behind the server against a Messages API on loopback. The requests that reach it are billed by the
//! documented rules of prompt caching, which `support/prompt_cache.rs` states. The conversation has a prompt of 30 kB, 20
//! functions, and in every turn a call whose result is 20 kB; it is held at each of the three doors.
//!
//! A miss is a request that does not find in the cache what the one before it had there. A conversation that is moved once, to
//! another process or to another set of functions, may have one.
//!
//! ```text
//! cargo bench --bench cost
//! ```
//!
//! `TURNS` (40) is how long the longest conversation is, `DOORS=chat,responses,messages` picks doors, and with `CHECK=1` the
//! program fails where a target is missed. With `MARKS=0` the server is not told how long prompts are kept, so it sets no marks
//! of its own. `LIFETIME=1h` has the CLI keep its prompts for an hour, as it does with a subscription.

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
use futures_util::future::join_all;
use serde_json::{Value, json};
use server::Server;
use support::messages_api::MessagesApi;
use support::prompt_cache::{Bill, PromptCache};
use tower_claude::cli::ClaudeCli;

/// The conversations whose cost is shown, by their turns. The shorter ones are the beginning of the longest.
const LENGTHS: [usize; 3] = [2, 10, 40];

/// At least this share of what could be read is to be read.
const READ: f64 = 0.99;

/// At most so much more is a conversation to cost that is replayed each time.
const REPLAYED: f64 = 1.05;

/// So often at most is a conversation that moves once not to be found in the cache.
const MISSES: usize = 1;

/// A request finds what the one before it had there if it reads so much of that. In a replay the CLI's own note stands at the
/// end, and is never found again.
const FOUND: f64 = 0.95;

const SYSTEM: &str = "Follow what this line of the instructions says, whatever it is about.\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// All on one process.
    Live,
    /// Each request on another process.
    Replayed,
    /// Live, but for giving way to another conversation once, in the middle of a call.
    Evicted,
    /// Live, with one more function from the middle on.
    MoreTools,
}

impl Way {
    const ALL: [Way; 4] = [Way::Live, Way::Replayed, Way::Evicted, Way::MoreTools];

    fn name(self) -> &'static str {
        match self {
            Way::Live => "live",
            Way::Replayed => "replayed",
            Way::Evicted => "evicted once",
            Way::MoreTools => "tool set changed once",
        }
    }

    /// What is asked of it, and whether that is met.
    fn target(self, bill: Bill, of_live: f64, misses: usize) -> Option<(String, bool)> {
        match self {
            Way::Live => None,
            Way::Replayed => {
                let met = bill.read / bill.readable >= READ && of_live <= REPLAYED;
                Some((format!("≥ {READ}, ≤ {REPLAYED}"), met))
            }
            Way::Evicted | Way::MoreTools => Some((format!("≤ {MISSES} miss"), misses <= MISSES)),
        }
    }
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
        for length in LENGTHS.into_iter().filter(|length| *length <= turns) {
            let all = join_all(Way::ALL.map(|way| bills(&program, door, way, length))).await;
            eprintln!("{door:?}, {length} turns: done");
            let live = sum(&all[0]).cost;
            for (way, bills) in Way::ALL.into_iter().zip(&all) {
                let (bill, misses) = (sum(bills), misses(bills));
                let (read, cost) = (bill.read / bill.readable, bill.cost / live);
                let verdict = way.target(bill, cost, misses).map(|(target, met)| {
                    if !met {
                        missed.push(format!("{door:?}, {length} turns, {}", way.name()));
                    }
                    format!("{target}: {}", if met { "met" } else { "**not met**" })
                });
                rows.push(vec![
                    format!("{door:?}"),
                    length.to_string(),
                    way.name().to_owned(),
                    format!("{:.0}", bill.tokens() / length as f64),
                    format!("{:.1} %", 100.0 * bill.read / bill.tokens()),
                    format!("{:.4}", read),
                    misses.to_string(),
                    format!("{:.0}", bill.cost / length as f64),
                    format!("{cost:.3}"),
                    verdict.unwrap_or_default(),
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
        "misses",
        "cost a turn",
        "of live",
        "target",
    ];
    table("Input tokens, and what they cost in tokens at the input price", &head, &rows);
    if setting("CHECK", 0) == 1 && !missed.is_empty() {
        eprintln!("missed: {}", missed.join("; "));
        std::process::exit(1);
    }
}

fn sum(bills: &[Bill]) -> Bill {
    bills.iter().fold(Bill::default(), |mut sum, bill| {
        sum += *bill;
        sum
    })
}

/// How many requests did not find what the one before them had in the cache.
fn misses(bills: &[Bill]) -> usize {
    bills.windows(2).filter(|pair| pair[1].read < FOUND * (pair[0].read + pair[0].written)).count()
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
        .max_processes(if way == Way::Evicted { 1 } else { 3 })
        .tool_timeout(Duration::from_secs(600));
    if let Ok(lifetime) = std::env::var("LIFETIME") {
        builder = builder.env("CLAUDE_CODE_PROMPT_CACHE_TTL", lifetime);
    }
    let server = Server::start(builder.build()).await;
    another_conversation(&server).await;
    let mut conversation = Conversation::open(server.address, door, &SYSTEM.repeat(30_000 / 71), &functions(20)).await;
    let result = format!("{}\n[[read]]", "A line of what the function found.\n".repeat(20_000 / 35));
    for turn in 1..=turns {
        // The first request finds nothing live, whatever becomes of the conversation later.
        let is_half_way = turn == turns / 2 + 1;
        if way == Way::Replayed {
            conversation.session = format!("question {turn}");
        }
        if way == Way::MoreTools && is_half_way {
            conversation.change_functions(&functions(21));
        }
        let function = turn % 20;
        let said = format!("Turn {turn}. [[tool function_{function} {{\"argument\":\"{turn}\"}}]]");
        let answer = conversation.say(&said).await;
        let moves = turn == 1 || way == Way::Replayed || way == Way::MoreTools && is_half_way;
        check(&answer.process, !moves);
        let call = answer.call.expect("a call");
        if way == Way::Replayed {
            conversation.session = format!("result {turn}");
        }
        if way == Way::Evicted && is_half_way {
            another_conversation(&server).await;
        }
        let answer = conversation.result(&call, &result).await;
        check(&answer.process, way != Way::Replayed && !(way == Way::Evicted && is_half_way));
        assert!(answer.call.is_none());
    }
    let mut requests = api.requests();
    dump(door, way, &requests);
    requests.retain(|request| request["system"].to_string().contains(SYSTEM.trim_end()));
    assert_eq!(requests.len(), 2 * turns, "a request for each question");
    let mut cache = PromptCache::default();
    requests.iter().map(|request| cache.bill(request)).collect()
}

fn check(process: &str, is_live: bool) {
    assert_eq!(process == "live", is_live, "{process}");
}

/// What else the server is asked. How long the CLI has its prompts kept is known from the first answer on; a server is rarely
/// asked its first question.
async fn another_conversation(server: &Server) {
    let mut another = Conversation::open(server.address, Door::Chat, "You are terse.", &[]).await;
    another.say("hello").await;
}

fn functions(number: usize) -> Vec<Function> {
    let function = |number: usize| {
        let schema = json!({"type": "object", "properties": {
            "argument": {"type": "string", "description": "What it is to be done with."},
            "limit": {"type": "integer", "description": "How much of it at most."}}, "required": ["argument"]});
        (format!("function_{number}"), format!("Does what function {number} does. ").repeat(10), schema)
    };
    (0..number).map(function).collect()
}

/// For a closer look: `DUMP=DIRECTORY` keeps the requests.
fn dump(door: Door, way: Way, requests: &[Value]) {
    if let Some(directory) = std::env::var_os("DUMP") {
        let path = Path::new(&directory).join(format!("{door:?}-{way:?}.json"));
        std::fs::write(path, Value::from(requests.to_vec()).to_string()).unwrap();
    }
}
