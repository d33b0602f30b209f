//! The script that builds the reference server by what it executes. Its builds take too long for a test.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn without_what_reads_the_counts_the_script_builds_nothing_and_says_how_to_get_it() {
    let tools = tempfile::tempdir().unwrap();
    let rustc = tools.path().join("rustc");
    std::fs::write(&rustc, "#!/bin/sh\nprintf 'host: x86_64-unknown-linux-gnu\\nLLVM version: 999.1.2\\n'\n").unwrap();
    std::fs::set_permissions(&rustc, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());

    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/claude-max-api/pgo"));
    let ran =
        script.env("PATH", path).env_remove("LLVM_PROFDATA").env("CARGO_TARGET_DIR", tools.path()).output().unwrap();

    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(!ran.status.success());
    assert_eq!(
        said,
        "There is no llvm-profdata for LLVM 999. Install it: rustup component add llvm-tools (or name one: \
         LLVM_PROFDATA=PROGRAM).\n"
    );
    assert!(ran.stdout.is_empty(), "it built: {}", String::from_utf8_lossy(&ran.stdout));
}
