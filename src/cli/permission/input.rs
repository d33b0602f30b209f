//! The places that a tool's input names: files, patterns of files, addresses.

use serde_json::Value;

/// A place that must be checked before the tool may be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// A file or directory.
    Path(&'a str),
    /// A pattern of files.
    Pattern(&'a str),
    /// A web address.
    Address(&'a str),
}

/// Fields that hold a pattern of paths, and the tools that have them: in other tools the name means something else.
const PATTERNS: [(&str, &str); 2] = [("Glob", "pattern"), ("Grep", "glob")];

/// Words in the names of fields that hold a path, across all of Claude Code's tools: `file_path`, `notebook_path`,
/// `scriptPath`, `out_dir`.
const PATHS: [&str; 5] = ["path", "file", "dir", "cwd", "folder"];

/// Words in the names of fields that hold an address.
const ADDRESSES: [&str; 3] = ["url", "uri", "link"];

/// All places that the input names, in nested fields too, and in tools that this crate does not know.
pub(crate) fn named<'a>(tool: &str, input: &'a Value) -> Vec<Named<'a>> {
    let mut named = Vec::new();
    gather(tool, "", input, &mut named);
    named
}

fn gather<'a>(tool: &str, field: &str, value: &'a Value, named: &mut Vec<Named<'a>>) {
    match value {
        Value::Object(fields) if field.is_empty() => {
            fields.iter().for_each(|(field, value)| gather(tool, field, value, named));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(inner, value)| gather(tool, &format!("{field}.{inner}"), value, named));
        }
        Value::Array(values) => values.iter().for_each(|value| gather(tool, field, value, named)),
        Value::String(text) => {
            let lower = field.to_ascii_lowercase();
            let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
            if PATTERNS.contains(&(tool, field)) {
                named.push(Named::Pattern(text));
            } else if has(&PATHS) {
                named.push(Named::Path(text));
            } else if has(&ADDRESSES) {
                named.push(Named::Address(text));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tools_that_are_known_name_paths_patterns_and_addresses() {
        let input =
            json!({"file_path": "a", "content": "/etc/passwd", "old_string": "b", "new_string": "c", "limit": 1});
        assert_eq!(named("Edit", &input), [Named::Path("a")]);
        let input = json!({"notebook_path": "a", "cell_id": "b", "new_source": "c"});
        assert_eq!(named("NotebookEdit", &input), [Named::Path("a")]);
        let input = json!({"pattern": "a", "path": "b", "glob": "c", "type": "d", "output_mode": "e"});
        assert_eq!(named("Grep", &input), [Named::Path("b"), Named::Pattern("c")]);
        assert_eq!(named("Glob", &input), [Named::Pattern("a"), Named::Path("b")]);
        let input = json!({"url": "a", "prompt": "b"});
        assert_eq!(named("WebFetch", &input), [Named::Address("a")]);
        assert_eq!(named("WebSearch", &json!({"query": "/etc", "allowed_domains": ["a"]})), []);
        assert_eq!(named("Bash", &json!({"command": "cat /etc/passwd", "description": "/etc"})), []);
    }

    #[test]
    fn so_do_others_at_any_depth() {
        let input = json!({
            "scriptPath": "a",
            "files": ["b", {"name": "x", "cwd": "c"}],
            "sessionUrl": "d",
            "more": {"out_dir": [["e"]], "folder": "f", "uri": "g", "link": "h"},
            "new_path": {"of": ["i"]},
            "path": null,
            "file": 1,
        });
        let paths = ["a", "b", "x", "c", "e", "f", "i"].map(Named::Path);
        let found = named("New", &input);
        assert_eq!(found.iter().filter(|named| paths.contains(named)).count(), 7, "{found:?}");
        assert_eq!(found.iter().filter(|named| matches!(named, Named::Address("d" | "g" | "h"))).count(), 3);
        assert_eq!(found.len(), 10);
        assert_eq!(named("New", &json!("a")), []);
    }
}
