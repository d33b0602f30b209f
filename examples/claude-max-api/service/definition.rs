//! What goes into the service's file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Kind;
use super::namespaces::Namespaces;
use crate::config::{self, Settings};

/// How long the last processes may take to end, once the time allowed for running answers is over.
const LAST_PROCESSES: Duration = Duration::from_secs(10);

/// A service, independent of the service manager.
pub(super) struct Definition {
    pub(super) kind: Kind,
    /// The path of this program.
    pub(super) program: PathBuf,
    pub(super) home: PathBuf,
    /// The settings file.
    pub(super) config: PathBuf,
    /// A file of environment variables, such as a token for the CLI's login.
    pub(super) environment: PathBuf,
    /// The PATH for finding `claude`, and the programs that its tools call.
    pub(super) path: String,
    /// Directories outside the home directory that the service writes to.
    pub(super) writable: Vec<PathBuf>,
    /// How long the service may take to stop.
    pub(super) ends_within: Duration,
    /// How systemd can limit which files the service sees; of no meaning to launchd.
    pub(super) namespaces: Namespaces,
}

impl Definition {
    /// The service that these flags describe, running this executable.
    pub(super) fn new(kind: Kind, settings: &Settings) -> Result<Self, String> {
        let flags = &settings.flags;
        let named = flags.config.as_ref().or(settings.file.as_ref());
        let config = named.cloned().or_else(config::default_path).ok_or("There is no home directory: set HOME.")?;
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| format!("Where is this? {error}"));
        let config = absolute(&config)?;
        let home = directories::BaseDirs::new().ok_or("There is no home directory: set HOME.")?.home_dir().to_owned();
        let program = std::env::current_exe().map_err(|error| format!("Cannot tell where this program is: {error}"))?;
        let mut writable = Vec::new();
        for path in flags.workspace.iter().chain(&flags.store) {
            let path = absolute(path)?;
            // SQLite keeps files beside the store, so its directory must be writable.
            let directory = if path.is_dir() { path } else { path.parent().map(Path::to_owned).unwrap_or(path) };
            if !directory.starts_with(&home) && !writable.contains(&directory) {
                writable.push(directory);
            }
        }
        let namespaces = match kind {
            Kind::Systemd => Namespaces::probe(),
            Kind::Launchd => Namespaces::Never,
        };
        Ok(Definition {
            kind,
            environment: config.with_file_name("environment"),
            program,
            home,
            config,
            path: std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            writable,
            ends_within: flags.drain_delay + flags.shutdown_timeout + LAST_PROCESSES,
            namespaces,
        })
    }
}
