//! The container's files: what they say twice is the same, and a linter finds no fault.

use std::io::Write;
use std::path::Path;
use std::process::Command;

const CONTAINER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/claude-max-api/container");

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(CONTAINER).join(name)).unwrap()
}

/// The rest of the first line that begins so.
fn after<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("no line begins {start:?}"))
}

#[test]
fn the_image_has_the_cli_and_the_rust_that_the_project_is_tested_with() {
    let dockerfile = read("Dockerfile");
    // The package on its registry has no .ci.
    if let Ok(ci) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/run")) {
        assert_eq!(after(&dockerfile, "ARG CLAUDE_CODE="), after(&ci, "claude_code="));
    }
    let rust = after(&dockerfile, "FROM rust:").split('-').next().unwrap();
    assert_eq!(rust, env!("CARGO_PKG_RUST_VERSION"));
}

#[test]
fn the_image_is_not_roots_and_has_no_login() {
    let dockerfile = read("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert_eq!(after(last_stage, "USER "), "1000:1000");
    for name in ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "credentials"] {
        assert!(!dockerfile.contains(name), "{name} is in the Dockerfile");
    }
    // What the README has people put beside these files.
    for name in ["**/keys", "**/.env"] {
        assert!(read("Dockerfile.dockerignore").lines().any(|line| line == name), "{name} reaches the builder");
    }
    for name in ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY"] {
        let line = read("compose.yaml").lines().map(str::trim).any(|line| line == format!("- {name}"));
        assert!(line, "{name} is handed on by name alone");
    }
}

#[test]
fn hadolint_finds_no_fault_with_the_dockerfile() {
    let linted = Command::new("hadolint").arg(Path::new(CONTAINER).join("Dockerfile")).output();
    let Ok(linted) = linted else {
        // Past the test harness, which would keep it to itself.
        let _ = std::io::stderr().write_all(b"skipped: no hadolint\n");
        return;
    };
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
}
