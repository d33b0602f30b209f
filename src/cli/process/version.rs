//! The CLI's version, and the oldest that is safe to use.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::command;
use crate::cli::config::Config;
use crate::{Error, ErrorKind};

/// The oldest version that serves today's models and tells them what a client says as it is. The API takes Fable 5.2 from this one
/// alone, by others' reports, and Opus 5.5 from 2.1.280, which drops thinking in a replay. Before that (measured), 2.1.252 rewrites
/// what stands beside results, and 2.1.246 reads the files that a text names with `@`.
pub(crate) const OLDEST: Version = Version::new(2, 1, 321);

/// How long `claude --version` may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A version of the CLI, such as 2.1.328. Displayed and serialized as such; later ones are greater.
///
/// ```
/// use tower_claude::cli::Version;
///
/// let version = Version::new(2, 1, 328);
/// assert!(version > Version::new(2, 1, 99));
/// assert_eq!(version.to_string(), "2.1.328");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u32, u32, u32);

impl Version {
    /// This version, to compare others with.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Version(major, minor, patch)
    }

    /// The first number.
    pub const fn major(self) -> u32 {
        self.0
    }

    /// The second number.
    pub const fn minor(self) -> u32 {
        self.1
    }

    /// The third number.
    pub const fn patch(self) -> u32 {
        self.2
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Reads `2.1.328 (Claude Code)`.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().next()?.splitn(3, '.');
        let mut number = || {
            let digits: String = numbers.next()?.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        Some(Version(number()?, number()?, number()?))
    }
}

/// Runs `claude --version`; an error where it cannot be run, or is too old.
pub(crate) async fn ask(config: &Config) -> Result<Version, Error> {
    let program = config.program.display();
    let broken = |what: String| Error::new(ErrorKind::Cli, what);
    let output = command::version(config).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(TIMEOUT, output)
        .await
        .map_err(|_| broken(format!("`{program} --version` said nothing within {TIMEOUT:?}. Run it by hand.")))?
        .map_err(|error| super::cannot_start(config, &error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = Version::parse(&said).ok_or_else(|| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        broken(format!(
            "`{program} --version` did not print a version. Is it Claude Code? It printed {:?} and on stderr {:?}.",
            said.trim(),
            stderr.trim()
        ))
    })?;
    if version < OLDEST {
        return Err(broken(format!(
            "Claude Code {version} ({program}) is too old: at least {OLDEST} is needed, since older ones change what a \
             message says. Update it with `claude update` or `npm install -g @anthropic-ai/claude-code`."
        )));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        assert_eq!(Version::parse("2.1.328 (Claude Code)\n"), Some(Version(2, 1, 328)));
        assert_eq!(Version::parse("2.1.321-beta.1"), Some(OLDEST));
        assert_eq!(Version::parse("v20 is not it"), None);
        assert!(Version(2, 1, 99) < OLDEST && Version(2, 10, 0) > OLDEST);
    }
}
