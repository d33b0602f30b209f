//! What the published package contains: all that builds, tests and explains it, and nothing else.

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn the_package_has_what_the_repository_shows_and_nothing_of_this_machine() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["package", "--list", "--allow-dirty", "--offline"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let listed = cargo.output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    // Cargo's own, which an unpacked package has already.
    let files: BTreeSet<&str> =
        listed.lines().filter(|file| ![".cargo_vcs_info.json", "Cargo.toml.orig"].contains(file)).collect();

    let top: BTreeSet<&str> = files.iter().map(|file| file.split('/').next().unwrap()).collect();
    let expected = [
        ".gitignore",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "examples",
        "rustfmt.toml",
        "snapshots",
        "src",
        "tests",
    ];
    assert_eq!(top, BTreeSet::from(expected));
    for file in [
        "src/lib.rs",
        "examples/claude-max-api/main.rs",
        "examples/claude-max-api/container/Dockerfile",
        "examples/claude-max-api/container/README.md",
        "examples/claude-max-api/container/compose.yaml",
        "tests/fixtures/cli-2.1.328/hello.ndjson",
        "snapshots/binary/help.snap",
    ] {
        assert!(files.contains(file), "{file}");
    }
    for file in files {
        let secret = ["keys", ".env", "credentials.json"].contains(&file.rsplit('/').next().unwrap());
        assert!(!secret && !file.ends_with(".snap.new"), "{file}");
    }
}
