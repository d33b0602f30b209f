//! The audit: one log line for each decision on a built-in tool.

use super::input::{Named, named};
use crate::cli::config::Config;
use crate::cli::protocol::ControlRequest;
use crate::error::shortened;

/// Logs a decision under the target `audit`: the tool, whether it may be used, what it would touch, and why not.
///
/// For a file that is its path, for a page its host; the rest of an address, and what was searched for or written, may repeat
/// what a user said. A shell command is logged whole if the operator wants that, otherwise only the name of its program; the
/// reason for a refusal, which quotes the command, is then left out as well.
///
/// The event belongs to the span of the turn, and so to that of the request, which knows the request's id and caller.
pub(super) fn log(config: &Config, request: &ControlRequest, refusal: Option<&str>) {
    let (tool, input) = request.tool_use();
    let (mut paths, mut hosts) = (Vec::new(), Vec::new());
    for named in named(tool, input) {
        match named {
            Named::Path(path) | Named::Pattern(path) => paths.push(shortened(path)),
            Named::Address(url) => hosts.push(host(url)),
        }
    }
    let whole = config.audit_commands;
    let command = input["command"].as_str().map(|command| if whole { cut(command) } else { program(command) });
    let reason = refusal.filter(|_| command.is_none() || whole);
    // Quoted, so it cannot begin a new line of the log.
    tracing::info!(
        target: "audit",
        tool,
        decision = if refusal.is_some() { "denied" } else { "allowed" },
        decided_on = if request.is_hook() { "use" } else { "question" },
        paths = (!paths.is_empty()).then(|| tracing::field::debug(paths)),
        hosts = (!hosts.is_empty()).then(|| tracing::field::debug(hosts)),
        command = command.map(tracing::field::debug),
        reason = reason.map(tracing::field::debug),
        tool_use_id = request.tool_use_id(),
        "tool use"
    );
}

/// The host of an address.
fn host(url: &str) -> String {
    let uri: Option<http::Uri> = url.parse().ok();
    uri.as_ref().and_then(http::Uri::host).map_or_else(|| "?".to_owned(), str::to_owned)
}

/// The name of the program that a command begins with, without its arguments or the variables that it sets.
fn program(command: &str) -> String {
    let is_assignment = |word: &&str| word.contains('=');
    let word = command.split_whitespace().find(|word| !is_assignment(word)).unwrap_or_default();
    let plain = !word.is_empty() && word.chars().all(|char| char.is_ascii_alphanumeric() || "_-+./".contains(char));
    if plain { shortened(word).into_owned() } else { "?".to_owned() }
}

/// A command, cut to a length that is fit for a log.
fn cut(command: &str) -> String {
    const MAX_BYTES: usize = 4096;
    match command.len() {
        0..=MAX_BYTES => command.to_owned(),
        _ => format!("{}...", &command[..command.floor_char_boundary(MAX_BYTES)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_command_the_program_alone_is_named() {
        for (command, name) in [
            ("git log --oneline", "git"),
            ("  TOKEN=secret  /usr/bin/curl -H x", "/usr/bin/curl"),
            ("A='b c' d", "?"),
            ("(cd a; ls)", "?"),
            ("$(secret)", "?"),
            ("\"secret\" a", "?"),
            ("", "?"),
        ] {
            assert_eq!(program(command), name, "{command}");
        }
    }

    #[test]
    fn a_long_command_is_cut_where_a_character_ends() {
        assert_eq!(cut(&"a".repeat(4096)), "a".repeat(4096));
        assert_eq!(cut(&format!("a{}", "é".repeat(2048))), format!("a{}...", "é".repeat(2047)));
    }

    #[test]
    fn of_an_address_the_host_alone_is_named() {
        assert_eq!(host("https://user:pw@example.com:8443/secret?secret"), "example.com");
        assert_eq!(host("not an address"), "?");
    }
}
