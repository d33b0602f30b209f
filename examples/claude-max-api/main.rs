//! The reference server: OpenAI's Chat Completions on loopback, answered by the Claude Code that is installed here.
//!
//! ```text
//! cargo run --release --example claude-max-api             # with the `claude` on PATH
//! cargo run --release --example claude-max-api -- --demo   # with a stand-in, without any account
//! cargo run --release --example claude-max-api -- --help
//! ```
//!
//! | file | its idea |
//! |---|---|
//! | `command_line` | which command, and with which flags |
//! | `config` | settings in a file |
//! | `flags` | what the server can be told |
//! | `duration` | `10m` as a duration |
//! | `keys` | the keys that let clients in |
//! | `check` | which flags do not go together, and which are unwise |
//! | `serve` | from the flags to the end of the last answer |
//! | `descendants` | the end of this program waits for what it has started |
//! | `store` | where kept responses outlive the server |
//! | `service` | a systemd unit or launchd agent: installed, removed, looked at |
//! | `supervisor` | what systemd is told of this server |
//! | `stack` | the layers and services that the flags ask for |
//! | `doctor` | whether this machine and its Claude Code are fit to serve |
//! | `status` | what an operator sees: the page, `/status`, `/metrics` |
//! | `log` | what is logged, and that nobody waits for it |
//! | `server` | connections: how many, for how long, and how all of them end |

mod check;
mod command_line;
mod config;
mod descendants;
mod doctor;
mod duration;
mod flags;
mod keys;
mod log;
mod serve;
mod server;
mod service;
mod stack;
#[path = "../../tests/stand_in_cli/stand_in.rs"]
mod stand_in;
mod status;
mod store;
mod supervisor;

use std::process::ExitCode;

use crate::command_line::{Command, Config};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(stack::STAND_IN) {
        return stand_in::run(args);
    }
    let (command, settings) = command_line::read();
    match command {
        Command::Serve => serve::serve(&settings.flags),
        Command::Service(service) => service::run(&service, &settings),
        Command::Config(Config::Print) => command_line::print(settings.print().as_bytes()),
        Command::Doctor(doctor) => doctor::examine(&doctor, &settings.flags),
        Command::Status(asked) => status::command::run(&asked),
        Command::Completions { shell } => command_line::print_completions(shell),
    }
}
