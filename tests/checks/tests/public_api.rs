//! The public API in a snapshot: nobody adds to it, takes from it or changes it without seeing so.
//!
//! rustdoc's JSON is unstable and changes with Rust. It is read with the parser for the Rust of `rust-version`; with another
//! Rust this is skipped, by name.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use public_api::PublicItem;
use regex::Regex;
use serde_json::Value;

/// Where the library is.
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn the_public_api_is_the_one_that_was_agreed_on() {
    let Some(api) = Api::read() else { return };
    // Paths as a reader would write them: without this crate's name, and without the modules of well-known others.
    let paths = Regex::new(r"\b(tower_claude::|(alloc|core|serde_core|serde_json|std)::(\w+::)*)").unwrap();
    let items: Vec<_> =
        api.items.iter().map(|item| (item, paths.replace_all(&item.to_string(), "").into_owned())).collect();
    let parent = |child: &PublicItem| items.iter().find(|(item, _)| Some(item.id()) == child.parent_id());

    let sentence = format!(
        "{} items can be named by a user. All of them are kept until the next major version: what nobody outside needs is \
         private.",
        api.named().count()
    );
    // The methods of an implementation are its trait's to say.
    let of_a_trait = |item| parent(item).is_some_and(|(_, of)| of.starts_with("impl") && of.contains(" for "));
    let lines = items.iter().filter(|(item, line)| line.starts_with("pub type ") || !of_a_trait(item));
    // Of what the compiler implements by itself, only what cannot be sent or shared says something.
    let others = r"!?(\w+::)*(Freeze|RefUnwindSafe|StructuralPartialEq|Unpin|UnsafeUnpin|UnwindSafe)";
    let automatic = Regex::new(&format!("^impl(<.*>)? (Send|Sync|{others}) for ")).unwrap();
    let lines = lines.filter(|(_, line)| !automatic.is_match(line));
    let lines: Vec<&str> = lines.map(|(_, line)| line.as_str()).collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("{LIBRARY}/snapshots/public_api"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("all_features", format!("{sentence}\n\n{}", lines.join("\n"))));
}

/// Why an item has no example in its own documentation, and is public all the same.
const WITHOUT_EXAMPLE: &[(&str, &[&str])] = &[
    (
        "the type of a stack is written with it, as with tower's services; its layer has the example",
        &[
            "http::Guard",
            "http::Observed",
            "layers::Choices",
            "layers::FlattenParts",
            "layers::ModelAlias",
            "layers::OpenClaw",
            "layers::Recognize",
            "layers::SeparateBlocks",
            "layers::ShowTools",
            "layers::Stop",
            "layers::StripSections",
            "layers::ToolNames",
        ],
    ),
    (
        "a part of `cli::Health` or `cli::Status`, which have the examples: to be read, and made by nobody outside",
        &[
            "cli::ConversationState",
            "cli::ConversationStatus",
            "cli::HealthStatus",
            "cli::ProcessCounts",
            "cli::ProcessEvents",
            "cli::ProcessMemory",
            "cli::QueueLength",
            "cli::RequestCounts",
            "cli::UsageWindow",
        ],
    ),
    (
        "an object within OpenAI's JSON, whose owner has the example: `Part`, `ToolCall`, `Tool`, `ResponseFormat`, `ChatRequest`",
        &[
            "chat::CalledFunction",
            "chat::File",
            "chat::Function",
            "chat::ImageUrl",
            "chat::JsonSchema",
            "chat::StreamOptions",
        ],
    ),
    (
        "says one of a few words; the examples of `Message`, `ChatEvent` and others say them",
        &["FinishReason", "chat::Role"],
    ),
    ("read by an inner service, from `ChatRequest::thinking`; the doors set it", &["chat::Thinking"]),
    (
        "opaque: a layer carries it over or drops it, and the contract in `layers` says when",
        &["chat::Sent", "chat::Told"],
    ),
    ("given to `chat::Translate`, whose example pushes to it", &["chat::Events"]),
    (
        "the two sides of `http::ResponseStore`, whose example stores them",
        &["http::StoreFuture", "http::StoredResponse"],
    ),
    ("given to an observer: `http::ObserveLayer` has the example", &["http::RequestReport"]),
    ("an argument of `ApiService::get`, which has the example", &["http::Access"]),
    ("an error of `ClaudeCli::ready`, for the example at `ApiService::ready`", &["cli::NotReady"]),
    (
        "the bound of `testing::assert_conversation_survives`, whose example has no need to name it",
        &["testing::ScriptedModel"],
    ),
];

#[test]
fn whatever_a_user_can_name_has_an_example_or_a_reason() {
    let Some(api) = Api::read() else { return };
    let excused: Vec<&str> = WITHOUT_EXAMPLE.iter().flat_map(|(_, items)| *items).copied().collect();
    let mut not_shown = Vec::new();
    for (path, item) in api.named() {
        // A module is there for what is in it.
        if item["inner"].get("module").is_none() && !item["docs"].as_str().is_some_and(has_example) {
            not_shown.push(path);
        }
    }

    let neither: Vec<_> = not_shown.iter().filter(|path| !excused.contains(&path.as_str())).collect();
    assert!(neither.is_empty(), "give each an example that runs, or a reason in WITHOUT_EXAMPLE: {neither:#?}");
    let stale: Vec<_> = excused.iter().filter(|path| !not_shown.iter().any(|of| of == *path)).collect();
    assert!(stale.is_empty(), "these have an example now, or are gone: take them out of WITHOUT_EXAMPLE: {stale:#?}");
}

/// Whether a block of code in it is run with the documentation's tests, or, where it would need an account, compiled.
fn has_example(docs: &str) -> bool {
    let mut openings = docs.lines().filter(|line| line.trim_start().starts_with("```")).step_by(2);
    openings.any(|opening| matches!(opening.trim(), "```" | "```no_run"))
}

/// The public API, as rustdoc tells of it.
struct Api {
    items: Vec<PublicItem>,
    /// Every item by its id, with its documentation.
    index: Value,
}

impl Api {
    /// None where this Rust's cannot be read.
    fn read() -> Option<&'static Api> {
        static API: LazyLock<Option<Api>> = LazyLock::new(|| {
            let path = rustdoc_json()?;
            let mut rustdoc: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let api = public_api::Builder::from_rustdoc_json(path).omit_blanket_impls(true).build().unwrap();
            Some(Api { items: api.into_items().collect(), index: rustdoc["index"].take() })
        });
        API.as_ref()
    }

    /// What has a path of its own, a module, type, trait, function or macro, with that path in this crate.
    fn named(&self) -> impl Iterator<Item = (String, &Value)> {
        let path = Regex::new(r"tower_claude::([\w:]*\w)").unwrap();
        let in_module = |item: &&PublicItem| {
            item.parent_id().is_some_and(|parent| self.index[parent.0.to_string()]["inner"].get("module").is_some())
        };
        self.items.iter().filter(in_module).map(move |item| {
            let path = path.captures(&item.to_string()).unwrap()[1].to_owned();
            (path, &self.index[item.id().0.to_string()])
        })
    }
}

/// The path of what rustdoc says about the library with all its features; `None` if this Rust's rustdoc cannot be read.
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
    rustdoc.env("RUSTC_BOOTSTRAP", "1").current_dir(LIBRARY);
    let rustdoc = rustdoc.output().unwrap();
    assert!(rustdoc.status.success(), "{}", String::from_utf8_lossy(&rustdoc.stderr));

    let path = target.join("doc/tower_claude.json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    if json["format_version"] == FORMAT {
        return Some(path);
    }
    // Past the test harness, which captures the output of `eprintln!`.
    let skipped = format!("skipped: no parser for rustdoc's JSON {}, only for {FORMAT}\n", json["format_version"]);
    std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    None
}

/// The format of rustdoc's JSON that the crate `public-api` reads.
const FORMAT: u32 = 57;
