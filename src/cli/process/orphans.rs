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

/// The variable with the script. As an argument, all of it would be in every list of processes, such as `systemctl status`.
const SCRIPT_VARIABLE: &str = "TOWER_CLAUDE_ORPHANS";

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
        .args(["-c", &format!("eval \"${SCRIPT_VARIABLE}\""), "tower-claude", mark, &tenths.to_string()])
        .args([sessions(config).unwrap_or_default(), std::env::temp_dir()])
        .env(SCRIPT_VARIABLE, SCRIPT)
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_killed_process_loses_its_files_once_it_is_dead_and_no_other_does() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = directory.path().join("sessions");
        std::fs::create_dir(&sessions).unwrap();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
        let mut process = Command::new("sleep").arg("300").spawn().unwrap();
        let pid = process.id();
        // The socket is not among the sessions: it is where the CLI says, if it has the name of one.
        let writes = |pid: u32, namespace: &Path, socket: &Path| {
            let [namespace, path] = [namespace, socket].map(|path| path.display().to_string());
            let said =
                serde_json::json!({"pid": pid, "pidDomain": namespace, "messagingSocketPath": path, "name": "x"});
            std::fs::write(sessions.join(format!("{pid}.json")), said.to_string()).unwrap();
            std::fs::write(sessions.join(format!("{pid}.0a.key")), "").unwrap();
            std::fs::write(socket, "").unwrap();
        };
        let socket = directory.path().join(format!("{pid}.sock"));
        writes(pid, &namespace, &socket);
        // One of another machine's that shares the directory, and one that names a file that is not its own.
        let (foreign, elsewhere) = (i32::MAX as u32, i32::MAX as u32 - 1);
        writes(foreign, Path::new("pid:[1]"), &directory.path().join(format!("{foreign}.sock")));
        let others = directory.path().join("others.txt");
        writes(elsewhere, &namespace, &others);

        let environment = vec![("CLAUDE_CONFIG_DIR".into(), directory.path().into())];
        let config = Config { environment, ..Config::default() };
        let mut shell = start(&Uuid::new_v4().simple().to_string(), &config).unwrap();
        let mut tell = |pid: u32| shell.write_all(format!("{pid}\n").as_bytes()).unwrap();
        let until_gone = |path: &Path| {
            let began = std::time::Instant::now();
            while path.exists() {
                assert!(began.elapsed().as_secs() < 60, "{}", path.display());
                std::thread::yield_now();
            }
        };
        // It still runs: this says nothing yet.
        tell(pid);
        tell(foreign);
        tell(elsewhere);
        until_gone(&sessions.join(format!("{elsewhere}.json")));
        assert!(sessions.join(format!("{pid}.json")).exists(), "it is not dead");
        process.kill().unwrap();
        // Dead is enough. Nobody asks what became of it, as when this program ends.
        while !std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        tell(pid);
        until_gone(&sessions.join(format!("{pid}.json")));
        until_gone(&sessions.join(format!("{pid}.0a.key")));
        until_gone(&socket);
        assert!(others.exists(), "not a socket of its own");
        assert!(sessions.join(format!("{foreign}.json")).exists(), "of another machine's process");
        process.wait().unwrap();
    }

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
