//! The public API in a snapshot: nobody adds to it, takes from it or changes it without seeing so.
//!
//! rustdoc's JSON is unstable and changes with Rust. It is read with the parser for the Rust of `rust-version`; with another
//! Rust this is skipped, by name.

use std::path::{Path, PathBuf};
use std::process::Command;

use public_api::PublicItem;
use regex::Regex;

use crate::support::claude_bin::say_skipped;
use crate::support::snapshot::assert_snapshot;

#[test]
fn the_public_api_is_the_one_that_was_agreed_on() {
    let Some(json) = rustdoc_json() else { return };
    let api = public_api::Builder::from_rustdoc_json(json).omit_blanket_impls(true).build().unwrap();
    // Paths as a reader would write them: without this crate's name, and without the modules of well-known others.
    let paths = Regex::new(r"\b(tower_claude::|(alloc|core|serde_core|serde_json|std)::(\w+::)*)").unwrap();
    let items: Vec<_> = api.items().map(|item| (item, paths.replace_all(&item.to_string(), "").into_owned())).collect();
    let parent = |child: &PublicItem| items.iter().find(|(item, _)| Some(item.id()) == child.parent_id());

    let named = items.iter().filter(|(item, _)| parent(item).is_some_and(|(_, of)| of.starts_with("pub mod ")));
    let sentence = format!(
        "{} items can be named by a user. All of them are kept until the next major version: what nobody outside needs is \
         private.",
        named.count()
    );
    // The methods of an implementation are its trait's to say.
    let of_a_trait = |item| parent(item).is_some_and(|(_, of)| of.starts_with("impl") && of.contains(" for "));
    let lines = items.iter().filter(|(item, line)| line.starts_with("pub type ") || !of_a_trait(item));
    // Of what the compiler implements by itself, only what cannot be sent or shared says something.
    let others = r"!?(\w+::)*(Freeze|RefUnwindSafe|StructuralPartialEq|Unpin|UnsafeUnpin|UnwindSafe)";
    let automatic = Regex::new(&format!("^impl(<.*>)? (Send|Sync|{others}) for ")).unwrap();
    let lines = lines.filter(|(_, line)| !automatic.is_match(line));
    let lines: Vec<&str> = lines.map(|(_, line)| line.as_str()).collect();
    assert_snapshot!("public_api/all_features", sentence, lines.join("\n"));
}

/// What rustdoc says of the library with all its features but `otlp`, which adds nothing to it, or nothing where this Rust's cannot be read.
fn rustdoc_json() -> Option<PathBuf> {
    // Build scripts look at the variable too: in the usual directory, all that depends on one would be built anew each time.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public_api");
    let mut rustdoc = Command::new(env!("CARGO"));
    rustdoc
        .args(["rustdoc", "--quiet", "--lib", "--features", "cli,metrics", "--offline"])
        .arg("--target-dir")
        .arg(&target);
    rustdoc.args(["--", "-Zunstable-options", "--output-format", "json", "--cap-lints", "allow"]);
    // A stable Rust prints JSON for those who know that it is unstable.
    rustdoc.env("RUSTC_BOOTSTRAP", "1").current_dir(env!("CARGO_MANIFEST_DIR"));
    let rustdoc = rustdoc.output().unwrap();
    assert!(rustdoc.status.success(), "{}", String::from_utf8_lossy(&rustdoc.stderr));

    let path = target.join("doc/tower_claude.json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    if json["format_version"] == FORMAT {
        return Some(path);
    }
    say_skipped(&format!("no parser for rustdoc's JSON {}, only for {FORMAT}", json["format_version"]));
    None
}

/// The format of rustdoc's JSON that the crate `public-api` reads.
const FORMAT: u32 = 57;
