//! `claude-max-api doctor`: checks that this machine and its Claude Code are ready to serve.
//!
//! | file | its idea |
//! |---|---|
//! | `report` | the findings, and how they are printed |
//! | `installation` | Claude Code: installed, a supported and tested version, logged in |
//! | `machine` | the port, a server that already runs on it, open files, memory |
//! | `protocol` | whether this Claude Code still speaks the protocol that the server relies on |
//! | `turn` | one request to Claude Code, and its answer |
//! | `api` | the Messages API on loopback that stands in for Anthropic's |

mod api;
mod installation;
mod machine;
mod protocol;
mod report;
mod turn;

use std::process::ExitCode;

use clap::Args;

use self::report::Report;
use crate::check;
use crate::flags::Flags;

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Runs all checks and prints the findings. Fails if anything is broken.
pub(crate) fn examine(doctor: &Doctor, flags: &Flags) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: Cannot start: {error}.");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::new(!doctor.json);
    runtime.block_on(findings(flags, &mut report));
    // A hung child process must not block the exit.
    runtime.shutdown_background();
    report.finish()
}

async fn findings(flags: &Flags, report: &mut Report) {
    match check::check(flags).await {
        Ok(checked) => {
            for warning in &checked.warnings {
                report.note("flags", warning, "");
            }
            machine::examine(flags, &checked.addresses, report).await;
        }
        Err(contradiction) => report.broken("flags", &format!("{contradiction}."), ""),
    }
    let program = &flags.claude_bin;
    if flags.demo {
        report.note("claude", "With --demo Claude Code is not run, so nothing of it was checked.", "Leave --demo out.");
    } else if installation::examine(program, report).await {
        protocol::examine(program, report).await;
    } else {
        report.note("protocol", "It was not checked, since Claude Code cannot be run.", "");
    }
}
