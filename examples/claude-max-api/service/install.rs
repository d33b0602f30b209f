//! `install`, `uninstall` and `status`. Each is idempotent, and prints what it did.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use super::definition::Definition;
use super::namespaces::Namespaces;
use super::{Kind, NAME, launchd, systemd};
use crate::config::{self, Settings, Written};
use crate::flags::API_KEY;

/// The exit code of `status` if the service is not running, the same as that of `systemctl status`.
const NOT_RUNNING: u8 = 3;

/// Variables that hold the CLI's login.
const LOGINS: [&str; 2] = ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY"];

/// Writes the settings and the service's file, and starts the service. If it runs already, it is restarted only if
/// something has changed.
pub(super) fn install(definition: &Definition, settings: &Settings) -> Result<(), String> {
    if settings.is_on_command_line("api-key") {
        return Err(
            "--api-key would stand in a file for good. Write the key into a file of its own, and name that with \
                    --api-key-file."
                .to_owned(),
        );
    }
    // Without a service manager nothing is written: not knowing what it can do, the file would be less than it could be.
    let runs = runs(definition.kind)?;
    let config = definition.config.display();
    let written = settings.write(&definition.config)?;
    match &written {
        Written::Created => say(&format!("Wrote the settings file {config}.")),
        Written::Changed(names) => say(&format!("Set in {config}: {}.", names.join(", "))),
        Written::Same => say(&format!("The settings file {config} stays as it is.")),
    }
    let file = definition.kind.file()?;
    let text = definition.kind.text(definition);
    let same = std::fs::read_to_string(&file).is_ok_and(|there| there == text);
    if same {
        say(&format!("{} is there already.", file.display()));
    } else {
        config::replace(&file, &text).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        say(&format!("Wrote {}.", file.display()));
    }
    start(definition.kind, &file, runs, !same, !same || written != Written::Same)?;
    advise(definition);
    Ok(())
}

/// Starts the service, or restarts it if it `runs` with what has `changed`.
fn start(kind: Kind, file: &Path, runs: bool, file_changed: bool, changed: bool) -> Result<(), String> {
    match kind {
        Kind::Systemd => {
            let unit = systemd::unit_name();
            if file_changed {
                call("systemctl", &["--user", "daemon-reload"])?;
            }
            call("systemctl", &["--user", "--quiet", "enable", &unit])?;
            if changed || !runs {
                call("systemctl", &["--user", "restart", &unit])?;
            }
        }
        Kind::Launchd => {
            if runs && changed {
                call("launchctl", &["bootout", &launchd::target()])?;
            }
            if changed || !runs {
                call("launchctl", &["bootstrap", &launchd::domain(), &file.to_string_lossy()])?;
            }
        }
    }
    say(match (runs, changed) {
        (true, true) => "Started it again, with what has changed. It starts with each login.",
        (true, false) => "It runs already, and starts with each login.",
        (false, _) => "Started it. It starts with each login from now on.",
    });
    Ok(())
}

/// Prints what an operator should know but would not guess.
fn advise(definition: &Definition) {
    match definition.kind {
        Kind::Systemd => {
            say(&format!("Its log: journalctl --user -u {NAME}"));
            if let Some(user) =
                std::env::var_os("USER").filter(|user| !Path::new("/var/lib/systemd/linger").join(user).exists())
            {
                say(&format!(
                    "It ends when you log out. To have it run from the start of the machine: loginctl enable-linger {}",
                    user.to_string_lossy()
                ));
            }
        }
        Kind::Launchd => say(&format!("Its log: ~/Library/Logs/{NAME}.log")),
    }
    if definition.kind == Kind::Systemd && definition.namespaces == Namespaces::Never {
        say(
            "Note: its sandbox does not cover files, since users may not create namespaces on this system: it can read your keys, \
             and write wherever you can. Ubuntu forbids them by kernel.apparmor_restrict_unprivileged_userns.",
        );
    }
    if definition.program.components().any(|part| part.as_os_str() == "target") {
        say(&format!(
            "Note: {} is where cargo builds, and the service starts what is there. Copy it to a place of its own, such as \
             ~/.local/bin, and install from there.",
            definition.program.display()
        ));
    }
    for variable in LOGINS.into_iter().chain([API_KEY]).filter(|variable| std::env::var_os(variable).is_some()) {
        say(&match definition.kind {
            _ if variable == API_KEY => {
                format!("Note: {variable} is set here, and not for the service: use --api-key-file.")
            }
            Kind::Systemd => format!(
                "Note: {variable} is set here, and not for the service: write {variable}=... into {} and chmod 600 it.",
                definition.environment.display()
            ),
            Kind::Launchd => {
                format!("Note: {variable} is set here, and not for the service: log in with `claude` instead.")
            }
        });
    }
    say("Check it: claude-max-api service status, and claude-max-api doctor");
}

/// Stops the service and removes its file.
pub(super) fn uninstall(kind: Kind) -> Result<(), String> {
    let file = kind.file()?;
    if !file.exists() {
        say(&format!("There is no {}: nothing is installed.", file.display()));
        return Ok(());
    }
    match kind {
        Kind::Systemd => call("systemctl", &["--user", "--quiet", "disable", "--now", &systemd::unit_name()])?,
        Kind::Launchd if runs(kind)? => call("launchctl", &["bootout", &launchd::target()])?,
        Kind::Launchd => {}
    }
    say("Stopped it.");
    std::fs::remove_file(&file).map_err(|error| format!("{} cannot be removed: {error}", file.display()))?;
    say(&format!("Removed {}.", file.display()));
    if kind == Kind::Systemd {
        call("systemctl", &["--user", "daemon-reload"])?;
    }
    say("Its settings file stays.");
    Ok(())
}

/// Prints whether the service is installed, and whether it runs.
pub(super) fn status(kind: Kind) -> ExitCode {
    let told = kind.file().and_then(|file| Ok((file.exists(), runs(kind)?, file)));
    match told {
        Ok((installed, runs, file)) => {
            let file = file.display();
            say(&if installed { format!("Installed: {file}") } else { format!("Not installed: there is no {file}") });
            say(if runs { "It runs." } else { "It does not run." });
            if installed && !runs && kind == Kind::Systemd {
                say(&format!("Why: systemctl --user status {NAME}, journalctl --user -u {NAME}"));
            }
            if runs { ExitCode::SUCCESS } else { ExitCode::from(NOT_RUNNING) }
        }
        Err(fault) => {
            say_error(&fault);
            ExitCode::FAILURE
        }
    }
}

fn runs(kind: Kind) -> Result<bool, String> {
    let (program, args) = match kind {
        Kind::Systemd => {
            ("systemctl", vec!["--user".to_owned(), "--quiet".into(), "is-active".into(), systemd::unit_name()])
        }
        Kind::Launchd => ("launchctl", vec!["print".to_owned(), launchd::target()]),
    };
    let output = Command::new(program).args(&args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| cannot_call(program, &error))?;
    match kind {
        // It is quiet, unless it cannot tell.
        Kind::Systemd if !output.status.success() && !output.stderr.is_empty() => Err(failed(program, &args, &output)),
        _ => Ok(output.status.success()),
    }
}

fn call(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| cannot_call(program, &error))?;
    if output.status.success() { Ok(()) } else { Err(failed(program, args, &output)) }
}

fn failed(program: &str, args: &[impl AsRef<str>], output: &Output) -> String {
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    // "Failed to connect to bus: ..." (252), "Failed to connect to user scope bus via local transport: ..." (257).
    let advice = match said.contains("Failed to connect to") && said.contains(" bus") {
        true => {
            "\nThis is no login session of yours (`su`, or a container): log in as this user, or first `loginctl enable-linger`."
        }
        false => "",
    };
    format!("`{program} {}` failed: {}{advice}", args.join(" "), said.trim())
}

fn cannot_call(program: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!(
            "There is no `{program}` here: this system's services are run by something else. `claude-max-api service print \
             --kind systemd` (or launchd) prints a file to start from."
        ),
        _ => format!("Cannot run `{program}`: {error}"),
    }
}

fn say(line: &str) {
    // If the output is gone, there is nowhere to report it.
    let _ = writeln!(io::stdout(), "{line}");
}

pub(super) fn say_error(line: &str) {
    // If the output is gone, there is nowhere to report it.
    let _ = writeln!(io::stderr(), "error: {line}");
}
