//! Cleans up after processes that are killed, or whose program is.
//!
//! A `claude` whose program is gone finishes its turn, and a command that it runs goes on for as long as it likes. So a shell
//! waits until a pipe closes that only this program holds open, and then ends every process that has the pool's mark in its
//! environment, which children inherit. It does not find one that has cleared its environment.
//!
//! A `claude` that is killed leaves the files by which other sessions of the user find it: two in `~/.claude/sessions`, and a
//! socket (2.1.328). The shell removes them too, since it outlives this program.
//!
//! If the shell was killed together with the program, the next program's pool cleans up.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

use super::{command, directory, life};
use crate::cli::config::Config;

/// The variable with the mark.
const VARIABLE: &str = "TOWER_CLAUDE_POOL";

const SCRIPT: &str = include_str!("orphans.sh");

/// Cleans up after the processes of one pool: when one is killed, and when this value or this program is gone.
#[derive(Debug)]
pub(crate) struct Orphans {
    mark: String,
    /// This pool's mark, after those of the programs that this one runs under.
    marks: OsString,
    /// The shell waits for its end; absent where there is no shell.
    shell: Option<PipeWriter>,
}

impl Orphans {
    /// Starts the shell, and cleans up after programs that are gone. If that fails, the log says so, and nothing is cleaned up.
    pub(crate) fn watch(config: &Config) -> Self {
        let mark = Uuid::new_v4().simple().to_string();
        for left in directory::abandoned(&std::env::temp_dir()) {
            tracing::info!(
                mark = left,
                "another program was killed with all that watched over it; what it left is removed"
            );
            // As its own shell would have done: this pipe is closed at once.
            let _ = start(&left, config);
        }
        let shell = start(&mark, config).inspect_err(|error| {
            tracing::warn!(
                %error,
                "cannot start `sh` to watch over this program: if it is killed, Claude Code ends only with its turn, and \
                 what it runs goes on"
            );
        });
        let mut marks = std::env::var_os(VARIABLE).map_or_else(OsString::new, |mut outer| {
            outer.push(":");
            outer
        });
        marks.push(&mark);
        Orphans { mark, marks, shell: shell.ok() }
    }

    /// The variable that each process of the pool has in its environment.
    pub(super) fn variable(&self) -> (&'static str, &OsStr) {
        (VARIABLE, &self.marks)
    }

    /// The mark in the names of the processes' own directories.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether the shell is there to end what this program leaves behind.
    pub(super) fn are_watched(&self) -> bool {
        self.shell.is_some()
    }

    /// Tells the shell that this process has been killed.
    pub(super) fn killed(&self, pid: u32) {
        if let Some(mut shell) = self.shell.as_ref() {
            // If the shell is gone, or far behind, some harmless files stay.
            let _ = shell.write_all(format!("{pid}\n").as_bytes());
        }
    }
}

fn start(mark: &str, config: &Config) -> io::Result<PipeWriter> {
    let (commands, shell) = io::pipe()?;
    rustix::io::ioctl_fionbio(&shell, true)?;
    let tenths = life::grace(config.agent()).as_millis().div_ceil(100);
    let mut first = Command::new("sh")
        .args(["-c", SCRIPT, "tower-claude", mark, &tenths.to_string()])
        .args([sessions(config).unwrap_or_default(), std::env::temp_dir()])
        .stdin(commands)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal must not end it.
        .process_group(0)
        .spawn()?;
    // It starts another in the background, which is then nobody's child, and ends.
    first.wait()?;
    Ok(shell)
}

/// The CLI's directory of sessions, if it can be known.
fn sessions(config: &Config) -> Option<PathBuf> {
    let command = command::serve(config, Path::new("/"));
    let variable = |name: &str| {
        let set =
            command.as_std().get_envs().find(|(set, _)| *set == name).map(|(_, value)| value.map(OsStr::to_owned));
        set.unwrap_or_else(|| std::env::var_os(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let home = || Some(variable("HOME")?.join(".claude"));
    variable("CLAUDE_CONFIG_DIR").or_else(home).filter(|home| home.is_absolute()).map(|home| home.join("sessions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_where_the_process_will_keep_them() {
        let kept_in = |set: &[(&str, &str)], withheld: &[&str]| {
            let environment = set.iter().map(|(name, value)| (name.into(), value.into())).collect();
            let withheld = withheld.iter().map(Into::into).collect();
            sessions(&Config { environment, withheld, ..Config::default() })
        };
        assert_eq!(kept_in(&[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "")], &[]), Some("/h/.claude/sessions".into()));
        assert_eq!(kept_in(&[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "/c")], &[]), Some("/c/sessions".into()));
        assert_eq!(kept_in(&[("CLAUDE_CONFIG_DIR", "relative")], &[]), None);
        assert_eq!(kept_in(&[], &["HOME", "CLAUDE_CONFIG_DIR"]), None);
    }
}
