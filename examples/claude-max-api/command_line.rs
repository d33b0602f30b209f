//! The command line: which command, and with which flags.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::Settings;
use crate::doctor::Doctor;
use crate::flags::Flags;
use crate::service::Service;
use crate::status::StatusCommand;

const EXAMPLES: &str = "\
Durations are a whole number and a unit: 500ms, 90s, 10m, 1h, 1d; without a unit, seconds.
RUST_LOG sets what is logged to standard error: warn, info (default), debug, tower_claude=debug, ...

Examples:
  claude-max-api                                serve the `claude` on PATH to this machine
  claude-max-api --demo                         try it without an account
  claude-max-api 8080 --warm 2                  another port, and two processes at the ready
  claude-max-api --host 0.0.0.0 --api-key KEY   serve other machines, which must know the key
  claude-max-api --mode agent --workspace ~/project
                                                let Claude Code's own tools work in ~/project
  claude-max-api doctor                         check that everything is ready
  claude-max-api service install --warm 2       keep it running, with these flags

Try it:
  curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"model\": \"sonnet\", \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}'";

/// Serves OpenAI's APIs (Chat Completions, Responses) and Anthropic's (Messages) from the Claude Code that is installed and logged
/// in on this machine.
#[derive(Debug, Parser)]
#[command(name = "claude-max-api", version, after_long_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What this program can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve requests, as without a command
    Serve,
    /// Check that this machine and its Claude Code are ready to serve
    ///
    /// It takes about 15 s, and exits with 1 if anything is broken.
    Doctor(Doctor),
    /// Run as a service that starts with each login: a systemd user unit or a launchd agent
    #[command(subcommand)]
    Service(Service),
    /// Show how a running server is: plan, processes, conversations, the last hour
    ///
    /// It exits with 1 if the server is not well.
    Status(StatusCommand),
    /// Show this server's settings
    #[command(subcommand)]
    Config(Config),
    /// Print a script by which a shell completes commands and flags
    Completions {
        /// The shell; for bash: source <(claude-max-api completions bash)
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print all settings in the form of a settings file, each with where it comes from
    Print,
}

/// The command line, with the flags of serving at each command that takes them.
fn clap() -> clap::Command {
    let print_and = |command: clap::Command| command.mut_subcommand("print", Flags::add_to);
    Flags::add_to(CommandLine::command())
        .mut_subcommand("serve", Flags::add_to)
        .mut_subcommand("doctor", Flags::add_to)
        .mut_subcommand("service", |service| print_and(service).mut_subcommand("install", Flags::add_to))
        .mut_subcommand("config", print_and)
}

/// Reads the command line, the environment and the settings file: what was asked for, and with which settings. Prints help or
/// what is wrong, and exits, where that is called for.
pub(crate) fn read() -> (Command, Settings) {
    let matches = clap().get_matches();
    let command = CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut clap()).exit());
    let command = command.command.unwrap_or(Command::Serve);
    let given = innermost(&matches);
    let read = match given.try_contains_id("config") {
        // A service's settings file may yet have to be written.
        Ok(_) => Settings::read(given, !matches!(command, Command::Service(_))),
        // A command that takes no flags has no settings either.
        Err(_) => Ok(Settings::default()),
    };
    let settings = read.unwrap_or_else(|fault| {
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "error: {fault}");
        std::process::exit(2);
    });
    // A `CLAUDE_BIN` in the environment is no contradiction to `--demo`: it is there for other days.
    if matches!(command, Command::Serve) && settings.flags.demo && settings.is_on_command_line("claude-bin") {
        refuse("--demo serves a stand-in, and --claude-bin names a program to serve: leave one of them out".into());
        std::process::exit(2);
    }
    (command, settings)
}

/// What was given to the command within the command.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}

/// Says what does not go together, as clap does.
pub(crate) fn refuse(contradiction: String) -> ExitCode {
    let error = clap().error(ErrorKind::ArgumentConflict, contradiction);
    // Nobody is left to tell if this fails.
    let _ = error.print();
    ExitCode::from(2)
}

/// Prints the script that a shell completes this program's command line by.
pub(crate) fn print_completions(shell: Shell) -> ExitCode {
    let mut command = clap();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "claude-max-api", &mut script);
    print(&script)
}

/// Prints what was asked for.
pub(crate) fn print(text: &[u8]) -> ExitCode {
    let mut stdout = io::stdout();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads it: a closed pipe.
        Err(_) => ExitCode::FAILURE,
    }
}
