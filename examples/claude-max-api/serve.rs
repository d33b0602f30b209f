//! Serving: from the flags to the end of the last answer.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::check;
use crate::descendants::Descendants;
use crate::flags::Flags;
use crate::log::Log;
use crate::server::{Ended, Limits, Server, Signals, room_for_connections};
use crate::status::Metrics;
use crate::{command_line, stack, supervisor};

/// Serves until a signal comes, or says why it cannot.
pub(crate) fn serve(flags: &Flags) -> ExitCode {
    let log = Log::start(flags.log_format);
    let ended = serve_until_the_end(flags);
    log.flush();
    ended
}

fn serve_until_the_end(flags: &Flags) -> ExitCode {
    let descendants = Descendants::watch().inspect_err(|error| {
        tracing::warn!(%error, "cannot tell when the last process has ended, so the end of this program does not wait for it");
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("Cannot start: {error}.")),
    };
    let ended = runtime.block_on(run(flags));
    // Whatever still runs is told to end, including every `claude` process.
    drop(runtime);
    if let Ok(descendants) = descendants {
        descendants.wait();
    }
    ended
}

async fn run(flags: &Flags) -> ExitCode {
    let checked = match check::check(flags).await {
        Ok(checked) => checked,
        Err(contradiction) => return command_line::refuse(contradiction),
    };
    let limits = match limits(flags) {
        Ok(limits) => limits,
        Err(message) => return failed(&message),
    };
    for warning in &checked.warnings {
        tracing::warn!("{warning}");
    }
    let store = match flags.store() {
        Ok(store) => store,
        Err(message) => return failed(&message),
    };
    let metrics = match Metrics::start() {
        Ok(metrics) => metrics,
        Err(message) => return failed(&message),
    };
    let claude = stack::claude(flags, &checked);
    let version = match claude.version().await {
        Ok(version) => version,
        // The library names its builder's methods, and this program has flags for them.
        Err(error) => return failed(&error.to_string().replace("`program`", "`--claude-bin`")),
    };
    let started = async {
        let server = Server::bind(&checked.addresses, limits).await?;
        let signals = Signals::new().map_err(|error| format!("Cannot listen for signals: {error}."))?;
        Ok::<_, String>((server, signals))
    };
    let (server, signals) = match started.await {
        Ok(started) => started,
        Err(message) => return failed(&message),
    };
    claude.warm_up();
    let who =
        if flags.demo { "demo: a stand-in answers, not Claude".to_owned() } else { format!("Claude Code {version}") };
    let listening = format!("Listening on http://{}/v1 ({who})", server.address());
    announce(&listening);
    supervisor::serving(&listening);
    tokio::spawn(supervisor::stay_alive());
    let draining = Arc::new(AtomicBool::new(false));
    let service = stack::stack(flags, &checked, claude, store, metrics, Arc::clone(&draining));
    match server.run(service, signals, draining).await {
        Ended::Finished => ExitCode::SUCCESS,
        Ended::Cut => ExitCode::FAILURE,
    }
}

/// The server's limits: those of the flags, as far as the system allows them.
fn limits(flags: &Flags) -> Result<Limits, String> {
    let Flags { max_connections: wanted, unread_timeout, drain_delay, shutdown_timeout, .. } = *flags;
    let max_connections = room_for_connections(wanted, flags.max_processes.get())?;
    if max_connections < wanted {
        tracing::warn!(
            "the limit of open files leaves room for {max_connections} connections, not the {wanted} of \
             max-connections: raise it (ulimit -n) for more"
        );
    }
    Ok(Limits { max_connections, unread_timeout, drain_delay, shutdown_timeout })
}

/// The one line on standard output, for people and for programs that start this one.
fn announce(line: &str) {
    let mut stdout = std::io::stdout();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "cannot write to standard output: {line}");
    }
}

fn failed(message: &str) -> ExitCode {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}
