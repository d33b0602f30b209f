//! A stand-in for `claude` that speaks its line protocol on standard input and output, with no model behind it.
//!
//! For tests, benchmarks and `--demo`. It answers from the text of the last user turn (see [`HELP`]), and is like
//! Claude Code 2.1.332 in what it prints, in which order, and in what it does by itself: `tests/real/stand_in.rs` runs both
//! side by side. Another example can be the stand-in by including this file as a module and calling [`run`].

mod control;
mod directives;
mod dropped;
mod failure;
mod fault;
mod input;
mod lines;
mod output;
mod prompt_cache;
mod script;
mod session;
mod told;
mod tools;
mod turn;

use std::process::ExitCode;
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = r#"A stand-in for Claude Code's `claude --print --input-format stream-json --output-format stream-json`.

Answers "echo: " and the text of the last user turn, or what a directive in double square brackets in it asks for:

  [[tool NAME {json} ;; NAME {json}]]   text, then one call each (NAME without its mcp__server__)
  [[json {json}]]                       the StructuredOutput call's input, where a schema was given ({"name":"Ada"})
  [[think ...]]                         a thinking block, then the echo
  [[blocks A|B|C]]                      one text block each
  [[count N]]                           the N deltas "w0 ", "w1 ", ...
  [[slow MS DIRECTIVE]]                 the directive, MS milliseconds between its deltas
  [[big N]]                             one delta of N bytes
  [[utf8]]                              multi-byte characters, written in pieces that end inside them
  [[garbage ...]]                       an echo among lines that are not JSON, unknown, blank, or end in CRLF
  [[end REASON DIRECTIVE]]              the directive, ended for this reason (`max_tokens`: a call's arguments may be cut)
  [[fallback DIRECTIVE]]                the directive, after a block that is not streamed
  [[nothing]]                           an answer without blocks
  [[long ...]]                          an answer cut at max_tokens, and the CLI's own continuation of it
  [[refusal]]                           an answer cut by a refusal, and the CLI's own continuation of it
  [[drop ...]]                          an echo, whose connection to the API is lost after a delta: the whole text then
                                        comes in an `assistant` line alone
  [[limits]] [[overage]]                an echo, and a rate_limit_event: of much used, of extra usage drawn on
  [[fail CODE]] [[fail CODE no-retry]]  the API's error of that status, after CLAUDE_CODE_MAX_RETRIES retries (default 10)
  [[overflow]] [[usage-limit]]          the prompt is too long; the subscription's five hours are used up
  [[extra-usage]]                       the plan does not cover it, and the account has no extra usage
  [[crash]] [[crash-mid]]               exit 1 before the first event, or after some deltas
  [[crash-at N ...]] [[half-at N ...]]  exit 1 after N lines of the turn, or in the middle of the next
  [[hang-at N ...]]                     N lines of the turn, and then nothing, whatever is said to it
  [[hold MB ...]]                       an echo, and from then on so many megabytes of memory more
  [[silence]]                           no answer, ever
  [[history]]                           everything it was told, as JSON
  [[pid]] [[args]] [[env NAME]] [[cwd]] what it was started as

A turn of tool results is answered "result: " and the results as JSON.

Environment:
  STAND_IN_STARTUP_MS     milliseconds to sleep before reading
  STAND_IN_FAIL_START     exit at once with this code
  STAND_IN_LOG            file to append every line of standard input to; {pid} in it becomes the process's id
  STAND_IN_NOT_LOGGED_IN  any value: fail every turn as a CLI without a login does
  STAND_IN_GAP_MS         milliseconds between deltas
  STAND_IN_VERSION        the version to be (2.1.332)
  STAND_IN_GOES_ON        asks the model where results should end the turn, and in spite of a context limit
  STAND_IN_PROMPT_CACHE   5m or 1h: how long the API says it keeps prompts; refuse: it takes no marks for that
  STAND_IN_ID             what session, message and tool-call ids are made from (default: differs in every process)
"#;

/// Is `claude` with these arguments (without the program's name) until standard input ends.
pub(crate) fn run(args: impl Iterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.collect();
    let has = |names: [&str; 2]| args.iter().any(|arg| names.contains(&arg.as_str()));
    if has(["--version", "-v"]) {
        println!("{} (Claude Code)", version());
        return ExitCode::SUCCESS;
    }
    if has(["--help", "-h"]) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if let Some(code) = number("STAND_IN_FAIL_START") {
        eprintln!("stand-in: told by STAND_IN_FAIL_START not to start");
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    if let Some(ms) = number("STAND_IN_STARTUP_MS") {
        std::thread::sleep(Duration::from_millis(ms));
    }
    session::Session::new(&args).run()
}

fn version() -> String {
    std::env::var("STAND_IN_VERSION").unwrap_or_else(|_| "2.1.332".to_owned())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}
