//! The command line: which command, and with which flags.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{self, Effective};
use crate::doctor::Doctor;
use crate::flags::Flags;
use crate::service::Service;
use crate::status::StatusCommand;

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
  claude-max-api doctor                         check that everything is ready
  claude-max-api service install --warm 2       keep it running, with these flags

Try it:
  curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"model\": \"sonnet\", \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}'";

/// Serves OpenAI's APIs (Chat Completions, Responses) and Anthropic's (Messages) from the Claude Code that is installed and logged
/// in on this machine.
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
    /// Serve requests, as without a command
    #[command(next_line_help = true)]
    Serve(Box<Flags>),
    /// Check that this machine and its Claude Code are ready to serve; takes about 15 s, and exits with 1 if
    /// anything is broken
    #[command(next_line_help = true)]
    Doctor(Box<Doctor>),
    /// Run as a service that starts with each login: a systemd user unit or a launchd agent
    #[command(subcommand)]
    Service(Service),
    /// Show how a running server is: plan, processes, conversations, the last hour; exits with 1 if it is
    /// not well
    #[command(next_line_help = true)]
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
    #[command(next_line_help = true)]
    Print(Box<Flags>),
}

/// What was asked for, and with which settings.
pub(crate) struct Asked {
    pub(crate) command: Command,
    pub(crate) settings: Effective,
    /// The settings file that was read, if any.
    pub(crate) file: Option<PathBuf>,
}

/// Reads the command line, the environment and the settings file. Prints help or what is wrong, and exits, where that is
/// called for.
pub(crate) fn read() -> Asked {
    let clap = CommandLine::command();
    let file = settings_file(&clap).unwrap_or_else(|faults| {
        // Nobody is left to tell if this fails.
        let _ = faults.iter().try_for_each(|fault| writeln!(io::stderr(), "error: {fault}"));
        std::process::exit(2);
    });
    let matches = match &file {
        Some(file) => config::with_defaults(clap.clone(), file).get_matches(),
        None => clap.clone().get_matches(),
    };
    let CommandLine { command, flags } = CommandLine::from_arg_matches(&matches)
        .unwrap_or_else(|error| error.format(&mut CommandLine::command()).exit());
    let command = command.unwrap_or(Command::Serve(Box::new(flags)));
    let given = innermost(&matches);
    if let Command::Serve(flags) = &command {
        refuse_two_programs(flags, given);
    }
    let settings = match takes_flags(given) {
        true => Effective::new(&clap, given, file.as_ref()),
        false => Effective { settings: Vec::new() },
    };
    Asked { command, settings, file: file.map(|file| file.path) }
}

/// The settings file, for a command that has settings.
fn settings_file(clap: &clap::Command) -> Result<Option<config::File>, Vec<String>> {
    let matches = clap.clone().get_matches();
    let given = innermost(&matches);
    if !takes_flags(given) {
        return Ok(None);
    }
    let named = given.get_one::<PathBuf>("config").map(PathBuf::as_path);
    // A service's settings file may yet have to be written.
    config::read(named, named.is_some() && matches.subcommand_name() != Some("service"), clap)
}

/// What was given to the command within the command.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}

fn takes_flags(given: &ArgMatches) -> bool {
    given.try_contains_id("config").is_ok()
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
