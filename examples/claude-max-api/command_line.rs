//! The command line: which command, and with which flags.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::doctor::Doctor;
use crate::flags::Flags;

const EXAMPLES: &str = "\
Durations are a whole number and a unit: 500ms, 90s, 10m, 1h, 1d; without a unit, seconds.
RUST_LOG sets what is logged to standard error: warn, info (default), debug, tower_claude=debug, ...

Examples:
  claude-max-api                                serve the `claude` on PATH to programs on this machine
  claude-max-api --demo                         try it without an account
  claude-max-api 8080 --warm 2                  another port, and two processes at the ready
  claude-max-api --host 0.0.0.0 --api-key KEY   serve other machines, which must know the key
  claude-max-api --mode agent --workspace ~/project
                                                let Claude Code's own tools work in ~/project

Try it:
  curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"model\": \"sonnet\", \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}'";

/// Serves OpenAI's Chat Completions API out of the Claude Code that is installed and logged in on this machine.
#[derive(Debug, Parser)]
#[command(name = "claude-max-api", version, next_line_help = true, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

/// What this program can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve: what happens without a command, too
    #[command(next_line_help = true)]
    Serve(Box<Flags>),
    /// Examine this machine and its Claude Code: whether all is there that serving takes
    #[command(next_line_help = true)]
    Doctor(Box<Doctor>),
    /// Print a script that completes this program's commands and flags in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Reads the command line and the environment. Prints help or what is wrong, and exits, where that is called for.
pub(crate) fn read() -> Command {
    let matches = CommandLine::command().get_matches();
    let CommandLine { command, flags } = CommandLine::from_arg_matches(&matches)
        .unwrap_or_else(|error| error.format(&mut CommandLine::command()).exit());
    let command = command.unwrap_or(Command::Serve(Box::new(flags)));
    let given = matches.subcommand().map_or(&matches, |(_, given)| given);
    if let Command::Serve(flags) = &command {
        refuse_two_programs(flags, given);
    }
    command
}

/// A `CLAUDE_BIN` in the environment is no contradiction to `--demo`: it is there for other days.
fn refuse_two_programs(flags: &Flags, given: &ArgMatches) {
    if flags.claude.demo && given.value_source("claude_bin") == Some(ValueSource::CommandLine) {
        refuse("--demo serves a stand-in, and --claude-bin names a program to serve: leave one of them out".into());
        std::process::exit(2);
    }
}

/// Says what does not go together, as clap does.
pub(crate) fn refuse(contradiction: String) -> ExitCode {
    let error = CommandLine::command().error(ErrorKind::ArgumentConflict, contradiction);
    // Nobody is left to tell if this fails.
    let _ = error.print();
    ExitCode::from(2)
}

/// Prints the script that a shell completes this program's command line by.
pub(crate) fn print_completions(shell: Shell) -> ExitCode {
    let mut command = CommandLine::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "claude-max-api", &mut script);
    match std::io::Write::write_all(&mut std::io::stdout(), &script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
