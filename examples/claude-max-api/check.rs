//! Which flags do not go together, and which are unwise.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::flags::{Flags, Mode};
use crate::keys::Keys;

/// The built-in tools of agent mode, unless the operator names others.
const BUILTIN_TOOLS: [&str; 8] = ["Bash", "Read", "Edit", "Write", "Glob", "Grep", "WebSearch", "WebFetch"];

/// What the flags come to.
pub(crate) struct Checked {
    /// Where to listen: the first that works.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) agent: Option<Agent>,
    pub(crate) keys: Keys,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

/// Agent mode.
pub(crate) struct Agent {
    pub(crate) workspace: PathBuf,
    pub(crate) builtin_tools: Vec<String>,
}

/// Refuses, in a sentence, what would not do what was meant.
pub(crate) async fn check(flags: &Flags) -> Result<Checked, String> {
    let agent = check_tools(flags)?;
    let (warm, most) = (flags.warm, flags.max_processes.get());
    if warm > most {
        return Err(format!("--warm {warm} is more than --max-processes {most}: raise that, or keep fewer warm"));
    }
    let mut warnings = Vec::new();
    let keys = Keys::read(flags, &mut warnings)?;
    let (one, all) = (flags.body_limit.get(), flags.body_memory);
    if one > all {
        return Err(format!(
            "--body-limit {one} is more than body-memory {all}, so the largest requests could never be read: raise \
             that, or lower the limit"
        ));
    }
    if flags.max_connections == 0 {
        return Err("max-connections is 0, so nobody could connect: raise it".to_owned());
    }
    let addresses = resolve(&flags.host, flags.port).await?;
    let reachable = addresses.iter().any(|address| !address.ip().to_canonical().is_loopback());
    if reachable && keys.is_empty() {
        let host = &flags.host;
        if agent.is_some() {
            return Err(format!(
                "--mode agent on {host} would let everyone who can reach it run commands on this machine: \
                 set --api-key-file (or TOWER_CLAUDE_API_KEY), or listen on 127.0.0.1"
            ));
        }
        warnings.push(format!(
            "EVERYONE who can reach {host} can use your Claude account: set --api-key-file (or TOWER_CLAUDE_API_KEY), \
             or listen on 127.0.0.1"
        ));
    }
    if flags.allow_origin.iter().any(|origin| origin == "*") && keys.is_empty() {
        if agent.is_some() {
            return Err(
                "--mode agent with --allow-origin '*' would let every web page that you visit run commands on \
                        this machine: set --api-key-file, or name the origins"
                    .to_owned(),
            );
        }
        warnings.push(
            "EVERY web page that you visit can use your Claude account (--allow-origin '*'): set --api-key-file, or name \
             the origins"
                .to_owned(),
        );
    }
    if flags.demo {
        // There is no account to use up.
        warnings.clear();
    }
    Ok(Checked { addresses, agent, keys, warnings })
}

fn check_tools(flags: &Flags) -> Result<Option<Agent>, String> {
    if flags.mode == Mode::Client {
        let given = [
            ("--workspace", flags.workspace.is_some()),
            ("--builtin-tools", flags.builtin_tools.is_some()),
            ("--show-tools", flags.show_tools),
            ("audit-commands", flags.audit_commands),
        ];
        return match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(format!(
                "{flag} is about Claude Code's own tools, which --mode client leaves off: add --mode agent, or leave \
                 {flag} out"
            )),
            None => Ok(None),
        };
    }
    let Some(workspace) = &flags.workspace else {
        return Err("--mode agent needs --workspace DIR, the directory that Claude Code's tools work in".to_owned());
    };
    let workspace = check_workspace(workspace)?;
    let builtin_tools = match &flags.builtin_tools {
        Some(names) => check_names(names)?,
        None => BUILTIN_TOOLS.map(str::to_owned).into(),
    };
    Ok(Some(Agent { workspace, builtin_tools }))
}

fn check_workspace(workspace: &Path) -> Result<PathBuf, String> {
    let shown = workspace.display();
    match workspace.canonicalize() {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(_) => Err(format!("--workspace {shown} is not a directory")),
        Err(error) => Err(format!("--workspace {shown} cannot be used: {error}. Create it, or name another")),
    }
}

fn check_names(names: &[String]) -> Result<Vec<String>, String> {
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err("--builtin-tools names no tool: name some, or use --mode client".to_owned());
    }
    for name in &names {
        if let Some(known) = BUILTIN_TOOLS.iter().find(|known| known.eq_ignore_ascii_case(name) && *known != name) {
            return Err(format!("--builtin-tools has {name:?}: Claude Code's tool is called {known}"));
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("--builtin-tools has {name:?}: a tool's name is of letters, such as Bash"));
        }
    }
    Ok(names)
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    // As in a URL: [::1].
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = tokio::net::lookup_host((bare, port)).await;
    let mut addresses: Vec<SocketAddr> =
        found.map_err(|error| format!("--host {host} is no address of this machine's: {error}"))?.collect();
    // Where a name has both, most clients try 127.0.0.1.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}
