//! The service as a systemd user unit.

use std::fmt::Write;
use std::path::Path;

use super::NAME;
use super::definition::Definition;
use super::namespaces::Namespaces;

/// What the server, `claude` and its tools are not allowed to do. Two things limit this list.
///
/// The CLI's needs: it writes in its home (`~/.claude`, and `~/.claude.json` by renaming, for which the home itself must
/// be writable), compiles JavaScript at run time (no `MemoryDenyWriteExecute`), lists network interfaces (`AF_NETLINK`), and
/// reads the machine's memory size (no `ProcSubset=pid`).
///
/// The powers of a user's own systemd: a user service has no capabilities to drop, and where users may not create namespaces, as
/// on Ubuntu, the settings that would (`CapabilityBoundingSet`, `PrivateDevices`, `ProtectClock`, `ProtectKernelModules`,
/// `ProtectKernelLogs`) keep the service from starting. Those below that concern files have no effect there: see `namespaces`.
const SANDBOX: &str = "\
# The sandbox.
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
ProtectControlGroups=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
# Keys of yours that Claude Code has no use for. In agent mode, `git` over SSH needs the first.
InaccessiblePaths=-%h/.ssh
InaccessiblePaths=-%h/.gnupg
InaccessiblePaths=-%h/.aws
InaccessiblePaths=-%h/.kube
# What is written to.
ReadWritePaths=%h
";

/// The unit's text.
pub(super) fn unit(definition: &Definition) -> String {
    let Definition { program, config, environment, path, .. } = definition;
    let (program, config) = (in_command(program), in_command(config));
    let environment = escaped(&environment.to_string_lossy());
    let path = escaped_in_quotes(path);
    let ends_within = definition.ends_within.as_secs();
    let mut unit = format!(
        "# Written by `claude-max-api service install`, which writes it anew: settings belong in {config}.

[Unit]
Description=Claude Code as an API (claude-max-api)
Documentation=https://docs.rs/tower-claude
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
# It says when it serves, that it is alive, and how long its end may take.
Type=notify
NotifyAccess=main
ExecStart={program} serve --config {config}
WorkingDirectory=%h
Environment=\"PATH={path}\"
# Variables of yours, such as CLAUDE_CODE_OAUTH_TOKEN=..., a line for each.
EnvironmentFile=-{environment}
Restart=on-failure
RestartSec=2
WatchdogSec=60
TimeoutStartSec=60
TimeoutStopSec={ends_within}
# It ends the `claude` processes itself; what is left then is killed.
KillMode=mixed
LimitNOFILE=8192
StandardOutput=journal
StandardError=journal

"
    );
    unit += SANDBOX;
    if definition.namespaces == Namespaces::PrivateUsers {
        unit += "# Without it, this version of systemd ignores what is said of paths.\nPrivateUsers=yes\n";
    }
    for path in &definition.writable {
        let _ = writeln!(unit, "ReadWritePaths={}", quoted(&format!("-{}", path.display())));
    }
    unit + "\n[Install]\nWantedBy=default.target\n"
}

/// The unit's name for `systemctl`.
pub(super) fn unit_name() -> String {
    format!("{NAME}.service")
}

/// A path as one word of a command line, in which `$` would begin a variable.
fn in_command(path: &Path) -> String {
    quoted(&path.to_string_lossy()).replace('$', "$$")
}

/// A text as one word of a unit file.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped_in_quotes(text))
}

fn escaped_in_quotes(text: &str) -> String {
    escaped(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// Escapes `%`, which would begin a systemd specifier.
fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}
