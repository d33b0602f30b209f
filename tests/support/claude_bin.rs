//! Where the two CLIs are: the real one, if it is installed, and the stand-in, which cargo has built.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The real CLI: `CLAUDE_BIN`, else the one installed by npm under the target directory.
///
/// Without it, says that the test was skipped and returns nothing, so that tests pass on a machine with only Rust;
/// where `TOWER_CLAUDE_REQUIRE_REAL_CLI` is set, panics instead.
pub(crate) fn real_cli() -> Option<PathBuf> {
    let installed = || target_directory().join("npm/node_modules/.bin/claude");
    let path = std::env::var_os("CLAUDE_BIN").map_or_else(installed, PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    let path = path.display();
    assert!(
        std::env::var_os("TOWER_CLAUDE_REQUIRE_REAL_CLI").is_none(),
        "no Claude Code CLI at {path}; install it with\n    npm install --prefix {} @anthropic-ai/claude-code@2.1.328\n\
         or set CLAUDE_BIN",
        target_directory().join("npm").display(),
    );
    say_skipped(&format!("no Claude Code CLI at {path}"));
    None
}

/// Says on standard error that what needs this was skipped, once, past the test harness, which would keep it to itself.
pub(crate) fn say_skipped(missing: &str) {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap();
    if !said.iter().any(|said| said == missing) {
        said.push(missing.to_owned());
        std::io::stderr().write_all(format!("skipped: {missing}\n").as_bytes()).unwrap();
    }
}

/// The stand-in CLI. `cargo test` builds it; `cargo test --test NAME` does not, so one that is missing or older than its
/// sources is built here.
pub(crate) fn stand_in() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(find_stand_in).clone()
}

fn find_stand_in() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    // The test is target/PROFILE/deps/NAME.
    let profile = test.parent().and_then(Path::parent).expect("the test is in the target directory");
    let path = profile.join("examples/stand-in-cli");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/stand-in-cli");
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let newest =
        sources.read_dir().expect("the stand-in's sources").flatten().filter_map(|file| changed(&file.path())).max();
    if changed(&path) < newest {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let release: &[&str] = if profile.ends_with("release") { &["--release"] } else { &[] };
        let built = Command::new(cargo).args(["build", "--quiet", "--example", "stand-in-cli"]).args(release).status();
        assert!(built.is_ok_and(|status| status.success()), "could not build the stand-in, for {}", path.display());
    }
    path
}

pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from)
}
