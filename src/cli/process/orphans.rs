//! What processes leave behind that were killed, or whose program was.
//!
//! A `claude` whose program is gone goes on with the turn that it is at, and a command that it runs goes on for as long as it
//! likes. So a shell waits for the end of a pipe that only this program holds open, and then ends whatever carries the
//! pool's mark in its environment, as all that a process starts does. What has cleaned its environment it does not find.
//!
//! A `claude` that is killed leaves files by which others of the same user would know it: two in `~/.claude/sessions`, and a
//! socket (2.1.328). The shell removes them, too, since it is there also when this program ends.
//!
//! Where the shell ended together with the program, the next program's pool sees to what is left.

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

/// Sees to the processes of one pool when they have been killed, and when this value or this program is gone.
#[derive(Debug)]
pub(crate) struct Orphans {
    mark: String,
    /// With those of programs that this one runs below.
    marks: OsString,
    /// Open for as long as there is somebody else to see to them.
    shell: Option<PipeWriter>,
}

impl Orphans {
    /// Starts the shell, and sees to what other programs have left behind. Where that does not work, the log says so, and
    /// nothing is seen to.
    pub(crate) fn watch(config: &Config) -> Self {
        let mark = Uuid::new_v4().simple().to_string();
        for left in directory::abandoned(&std::env::temp_dir()) {
            tracing::info!(
                mark = left,
                "another program was killed with all that watched over it; what it left is removed"
            );
            // Its own shell would have done the same: the pipe is closed at once.
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

    /// What a process of the pool has in its environment.
    pub(super) fn variable(&self) -> (&'static str, &OsStr) {
        (VARIABLE, &self.marks)
    }

    /// What the names of the processes' own directories have in them.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether somebody is there to end what this program leaves behind.
    pub(super) fn are_watched(&self) -> bool {
        self.shell.is_some()
    }

    /// This process has been killed.
    pub(super) fn killed(&self, pid: u32) {
        if let Some(mut shell) = self.shell.as_ref() {
            // Where the shell is gone or lags far behind, files stay that do no harm.
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
        // A Ctrl-C in the terminal is not for it.
        .process_group(0)
        .spawn()?;
    // It leaves another in the background, which is nobody's child, and ends.
    first.wait()?;
    Ok(shell)
}

/// The CLI's directory of sessions, as far as that can be told.
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
