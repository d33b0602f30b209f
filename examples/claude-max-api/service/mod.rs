//! Runs this server as a service, which starts at login and is kept running: by systemd, or by launchd on macOS.
//!
//! | file | its idea |
//! |---|---|
//! | `definition` | what goes into the service's file |
//! | `systemd` | the service's file for systemd |
//! | `namespaces` | whether systemd can hide files from a user's service |
//! | `launchd` | the service's file for launchd |
//! | `install` | `install`, `uninstall` and `status` |

mod definition;
mod install;
mod launchd;
mod namespaces;
mod systemd;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use self::definition::Definition;
use crate::command_line;
use crate::config::Settings;

/// The service's name.
const NAME: &str = "claude-max-api";

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Install and start the service, or update it; the flags are written into its settings file
    Install(Which),
    /// Stop and remove the service; its settings file stays
    Uninstall(Which),
    /// Show whether the service is installed and runs; exits with 0 if it runs, 3 if not
    Status(Which),
    /// Print the unit or agent that `install` would write
    Print(Which),
}

#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The service manager [default: launchd on macOS, systemd elsewhere]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

/// The service manager.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    Systemd,
    Launchd,
}

impl Which {
    fn kind(&self) -> Kind {
        self.kind.unwrap_or(if cfg!(target_os = "macos") { Kind::Launchd } else { Kind::Systemd })
    }
}

impl Kind {
    /// The path of the service's file.
    fn file(self) -> Result<PathBuf, String> {
        let directories = directories::BaseDirs::new().ok_or("There is no home directory: set HOME.")?;
        Ok(match self {
            Kind::Systemd => directories.config_dir().join("systemd/user").join(format!("{NAME}.service")),
            Kind::Launchd => directories.home_dir().join("Library/LaunchAgents").join(format!("{NAME}.plist")),
        })
    }

    /// The text of the service's file.
    fn text(self, definition: &Definition) -> String {
        match self {
            Kind::Systemd => systemd::unit(definition),
            Kind::Launchd => launchd::plist(definition),
        }
    }
}

/// Runs the subcommand and prints what it did.
pub(crate) fn run(service: &Service, settings: &Settings) -> ExitCode {
    let done = match service {
        Service::Install(which) => {
            Definition::new(which.kind(), settings).and_then(|definition| install::install(&definition, settings))
        }
        Service::Uninstall(which) => install::uninstall(which.kind()),
        Service::Status(which) => return install::status(which.kind()),
        Service::Print(which) => match Definition::new(which.kind(), settings) {
            Ok(definition) => return command_line::print(definition.kind.text(&definition).as_bytes()),
            Err(fault) => Err(fault),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            install::say_error(&fault);
            ExitCode::FAILURE
        }
    }
}
