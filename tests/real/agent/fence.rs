//! Nothing outside the workspace is read, listed or written, whatever a model tries.

use std::collections::BTreeMap;
use std::fs::{create_dir_all, hard_link, write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::attempts::{Places, Use, attempts, legitimate_uses};
use super::server::{Server, request};

const TOOLS: [&str; 8] = ["Bash", "Read", "Edit", "Write", "Glob", "Grep", "NotebookEdit", "WebFetch"];

/// Is in every file outside, and in nothing that is tried.
const CONTENTS: &str = "s CANARY-CONTENTS s";

/// Is in the name of a file in every directory outside, and in nothing that is tried.
const NAME: &str = "canary-name";

/// How many uses the model makes in one message.
const AT_ONCE: usize = 100;

struct Fence {
    server: Server,
    places: Places,
    /// How often somebody came to the port on loopback.
    visits: Arc<AtomicUsize>,
    conversation: Vec<Value>,
}

impl Fence {
    async fn start() -> Option<Fence> {
        let server = Server::with_tools(&TOOLS).await?;
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let places = Places {
            workspace: path(&server.workspace()),
            outer: path(&server.outside("")).trim_end_matches('/').to_owned(),
            home: path(&server.outside("home")),
            port: listener.local_addr().unwrap().port(),
        };
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        furnish(&server, &places);
        Some(Fence { server, places, visits, conversation: Vec::new() })
    }

    /// What comes of the uses, in one message of the model's: whether it is an error, and the text.
    async fn try_all(&mut self, uses: &[Use]) -> Vec<(bool, String)> {
        let calls: Vec<_> = uses.iter().map(|(tool, input)| format!("{tool} {}", escaped(input))).collect();
        self.conversation.push(json!({"role": "user", "content": format!("[[tool {}]]", calls.join(" ;; "))}));
        let before = self.server.api.requests().len();
        let (message, _, _) = self.server.answer(&request(&self.conversation)).await;
        self.conversation.push(message);
        assert_eq!(self.server.api.requests().len(), before + 2, "one with the uses, one with their results");
        // The results come in the order in which the tools were done, not in that of the uses.
        let results = self.server.last_results();
        let result_of = |id: &Value| results.iter().rev().find(|result| result["tool_use_id"] == *id);
        let ids = self.server.last_uses();
        assert!(ids.len() >= uses.len(), "{} uses, {} ids", uses.len(), ids.len());
        let results = ids[ids.len() - uses.len()..].iter().map(|id| result_of(id).expect("a result for each use"));
        results.map(|result| (result["is_error"] == true, result["content"].to_string())).collect()
    }

    /// Whether this path, taken word for word, is a file in the workspace.
    fn is_inside(&self, path: &Value) -> bool {
        let workspace = self.server.workspace();
        // `..` is taken off as the CLI does it, whether the directory before it is there or not.
        let path = path.as_str().unwrap_or_default();
        let path = path.split_once("/../").map_or(path, |(_, rest)| rest);
        let path = Some(workspace.join(path).canonicalize());
        matches!((path, workspace.canonicalize()), (Some(Ok(path)), Ok(workspace)) if path.starts_with(&workspace))
    }

    /// Which of what nobody may see has been sent upstream, if any.
    fn leaked(&self) -> Option<&'static str> {
        let sent: String = self.server.api.requests().iter().map(Value::to_string).collect();
        [CONTENTS, NAME, "root:x:0:0"].into_iter().find(|secret| sent.contains(secret))
    }

    /// Everything outside that the CLI has no business with of its own, and what is in it.
    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let own =
            [self.server.workspace(), self.server.outside("home/.claude"), self.server.outside("home/.claude.json")];
        let mut found = BTreeMap::new();
        let mut directories = vec![self.server.outside("")];
        while let Some(directory) = directories.pop() {
            for entry in directory.read_dir().unwrap().flatten().filter(|entry| !own.contains(&entry.path())) {
                let is_directory = entry.file_type().unwrap().is_dir();
                let contents = std::fs::read_to_string(entry.path()).unwrap_or_default();
                if is_directory {
                    directories.push(entry.path());
                }
                found.insert(entry.path(), contents);
            }
        }
        found
    }
}

/// As JSON that a directive can hold, which two square brackets would end.
fn escaped(input: &Value) -> String {
    let mut escaped = String::new();
    let (mut in_text, mut after_backslash) = (false, false);
    for unit in input.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(b']') if in_text => escaped.push_str("\\u005d"),
            Ok(b']') => escaped.push_str(" ]"),
            Ok(byte) if byte.is_ascii() && byte != 0x7f => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\u{unit:04x}")),
        }
        in_text ^= unit == u16::from(b'"') && !after_backslash;
        after_backslash = unit == u16::from(b'\\') && !after_backslash;
    }
    escaped
}

/// A workspace with all kinds of links in it, and things outside that nobody may see.
fn furnish(server: &Server, places: &Places) {
    let (ws, out) = (server.workspace(), server.outside(""));
    let transcripts = format!("home/.claude/projects/{}", places.workspace.replace('/', "-"));
    for directory in ["private", "ws-next-door", "home/.ssh", &transcripts] {
        create_dir_all(out.join(directory)).unwrap();
        write(out.join(directory).join(format!("{NAME}.txt")), CONTENTS).unwrap();
    }
    let notebook = |source: &str| {
        let cell = json!({"cell_type": "code", "id": "a", "source": source, "metadata": {}, "outputs": [],
            "execution_count": null});
        json!({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).to_string()
    };
    for file in ["secret.txt", "ws-next-door/secret.txt", "home/notes.txt", &format!("{NAME}.txt")] {
        write(out.join(file), CONTENTS).unwrap();
    }
    write(out.join(transcripts).join("another-session.jsonl"), CONTENTS).unwrap();
    write(out.join("nb.ipynb"), notebook(CONTENTS)).unwrap();
    create_dir_all(ws.join("sub/deep")).unwrap();
    for (file, contents) in [
        ("in.txt", "inside one"),
        ("sub/in.txt", "inside two"),
        ("with space.txt", "inside three"),
        ("gr\u{fc}\u{df}e \u{65e5}\u{672c}.txt", "inside four"),
        ("100%20.txt", "inside five"),
        ("..dots.txt", "inside six"),
        ("twice.txt", "inside seven"),
        ("nb.ipynb", &notebook("print(1)")),
    ] {
        write(ws.join(file), contents).unwrap();
    }
    hard_link(ws.join("twice.txt"), ws.join("sub/twice.txt")).unwrap();
    hard_link(out.join("secret.txt"), ws.join("hard.txt")).unwrap();
    hard_link(out.join("nb.ipynb"), ws.join("nb-hard.ipynb")).unwrap();
    for (link, target) in [
        ("link.txt", "../secret.txt"),
        ("chain.txt", "link.txt"),
        ("absolute.txt", &format!("{}/secret.txt", places.outer)),
        ("up", ".."),
        ("sub/up", "../.."),
        ("deep", "sub/deep"),
        ("out-dir", "../private"),
        ("dangling.txt", "../made.txt"),
        ("caf\u{e9}.txt", "../secret.txt"),
        ("nb-link.ipynb", "../nb.ipynb"),
        ("inner.txt", "in.txt"),
    ] {
        symlink(target, ws.join(link)).unwrap();
    }
}

#[tokio::test]
async fn nothing_outside_is_read_listed_or_written() {
    let Some(mut fence) = Fence::start().await else { return };
    let outside = fence.outside();
    let all = attempts(&fence.places);
    assert!(all.len() >= 200, "{}", all.len());
    let mut got_out = Vec::new();
    for some in all.chunks(AT_ONCE) {
        let results = fence.try_all(some).await;
        for ((tool, input), (is_error, result)) in some.iter().zip(results) {
            let shows = [CONTENTS, NAME, "root:x:0:0"].iter().any(|secret| result.contains(secret));
            // That nothing was found is the answer to a pattern which is taken word for word.
            let found = !is_error && !result.contains("No files found") && !result.contains("No matches found");
            let written_inside = *tool == "Write" && fence.is_inside(&input["file_path"]);
            if shows || (found && !matches!(*tool, "Glob" | "Grep") && !written_inside) {
                got_out.push(format!("{tool} {input}: {result}"));
            }
            // What is no URL at all the CLI refuses before it asks.
            if *tool == "WebFetch" && !result.contains("everybody can reach") && !result.contains("Invalid URL") {
                got_out.push(format!("not refused by the hook: {tool} {input}: {result}"));
            }
        }
    }
    assert!(got_out.is_empty(), "{} of {}:\n{}", got_out.len(), all.len(), got_out.join("\n"));
    assert_eq!(fence.leaked(), None);
    assert_eq!(fence.outside(), outside);
    assert_eq!(fence.visits.load(Ordering::Relaxed), 0, "nobody came to the port on loopback");
}

#[tokio::test]
async fn what_stays_in_the_workspace_still_works() {
    let Some(mut fence) = Fence::start().await else { return };
    let outside = fence.outside();
    let all = legitimate_uses(&fence.places);
    let (uses, wanted): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let results = fence.try_all(&uses).await;
    let mut failed = Vec::new();
    for ((wanted, (tool, input)), (is_error, result)) in wanted.iter().zip(&uses).zip(results) {
        if is_error || !result.contains(wanted) {
            failed.push(format!("{tool} {input}: {result}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(fence.leaked(), None);
    assert_eq!(fence.outside(), outside);
}

#[tokio::test]
async fn a_link_that_comes_and_goes_while_a_file_is_used_leads_nobody_out() {
    let Some(mut fence) = Fence::start().await else { return };
    let outside = fence.outside();
    let (ws, over) = (fence.server.workspace(), Arc::new(AtomicBool::new(false)));
    let swapping = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            while !over.load(Ordering::Relaxed) {
                // The one or the other is there at every moment.
                write(ws.join("file"), "inside").unwrap();
                std::fs::rename(ws.join("file"), ws.join("flip.txt")).unwrap();
                symlink("../secret.txt", ws.join("link")).unwrap();
                std::fs::rename(ws.join("link"), ws.join("flip.txt")).unwrap();
            }
        }
    });
    let path = ws_path(&fence.places, "flip.txt");
    let uses = (0..AT_ONCE).map(|number| match number % 4 {
        0 | 1 => ("Read", json!({"file_path": path})),
        2 => ("Grep", json!({"pattern": "s", "path": path, "output_mode": "content"})),
        _ => ("Write", json!({"file_path": path, "content": "x"})),
    });
    let results = fence.try_all(&uses.collect::<Vec<_>>()).await;
    over.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    let shown: Vec<_> = results.iter().filter(|(_, result)| result.contains(CONTENTS)).collect();
    assert!(shown.is_empty(), "{shown:?}");
    assert_eq!(fence.leaked(), None);
    assert_eq!(fence.outside(), outside);
}

fn ws_path(places: &Places, path: &str) -> String {
    format!("{}/{path}", places.workspace)
}
