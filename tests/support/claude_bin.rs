//! Finds the two CLIs: the real one, if it is installed, and the stand-in, which cargo builds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// The real CLI: `CLAUDE_BIN`, else the one installed by npm under the target directory.
///
/// If there is none, prints that the test was skipped and returns `None`, so that tests pass on a machine with only Rust.
/// If `TOWER_CLAUDE_REQUIRE_REAL_CLI` is set, panics instead.
pub(crate) fn real_cli() -> Option<PathBuf> {
    let installed = || target_directory().join("npm/node_modules/.bin/claude");
    let path = std::env::var_os("CLAUDE_BIN").map_or_else(installed, PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    let path = path.display();
    assert!(
        std::env::var_os("TOWER_CLAUDE_REQUIRE_REAL_CLI").is_none(),
        "no Claude Code CLI at {path}; install it with\n    npm install --prefix {} @anthropic-ai/claude-code@2.1.332\n\
         or set CLAUDE_BIN",
        target_directory().join("npm").display(),
    );
    say_skipped(&format!("no Claude Code CLI at {path}"));
    None
}

/// Prints once that tests were skipped because this is missing.
pub(crate) fn say_skipped(missing: &str) {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap();
    if !said.iter().any(|said| said == missing) {
        said.push(missing.to_owned());
        say(&format!("skipped: {missing}"));
    }
}

/// Prints to standard error, past the test harness, which captures the output of `eprintln!`.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The stand-in CLI.
pub(crate) fn stand_in() -> PathBuf {
    example("stand-in-cli")
}

/// An example of this package. `cargo test` builds those that have no tests of their own; `cargo test --test NAME` builds none.
pub(crate) fn example(name: &str) -> PathBuf {
    built(&format!("examples/{name}"), &["--example", name], &["src", "examples", "tests/stand_in_cli"])
}

/// A program that cargo puts there below the target directory. One that is missing or older than its sources is built here.
pub(crate) fn built(path: &str, what: &[&str], sources: &[&str]) -> PathBuf {
    static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let test = std::env::current_exe().expect("the test has a path");
    // The test is target/PROFILE/deps/NAME.
    let profile = test.parent().and_then(Path::parent).expect("the test is in the target directory");
    let path = profile.join(path);
    if !built.contains(&path) {
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        if changed(&path) < sources.iter().filter_map(|of| newest(&Path::new(PACKAGE).join(of))).max() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let options: &[&str] = if profile.ends_with("release") { &["--release"] } else { &[] };
            let began = std::time::Instant::now();
            let status = Command::new(cargo).args(["build", "--quiet"]).args(what).args(options).status();
            assert!(status.is_ok_and(|status| status.success()), "could not build {}", what.join(" "));
            // The build time counts towards whichever test comes first.
            say(&format!("built: {}, in {:.0?}, for which tests have waited", what.join(" "), began.elapsed()));
        }
        built.push(path.clone());
    }
    path
}

/// The latest modification time of the files below a directory.
fn newest(directory: &Path) -> Option<SystemTime> {
    let times = directory.read_dir().ok()?.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => newest(&entry.path()),
        _ => entry.metadata().and_then(|metadata| metadata.modified()).ok(),
    });
    times.flatten().max()
}

pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(PACKAGE).join("target"), PathBuf::from)
}
