//! Tools that Anthropic defines and the client runs: `bash`, the text editor, `memory`.
//!
//! On Anthropic's own API they have no schema, because its models know them. Here they are functions of the same names with
//! the schemas that Anthropic documents, so the client gets the input that it expects.

use serde_json::{Value, json};

use crate::chat::Function;

/// A tool, by the beginning of its type.
struct ClientTool {
    begins: &'static str,
    name: &'static str,
    description: &'static str,
    parameters: fn() -> Value,
}

const CLIENT_TOOLS: [ClientTool; 4] = [
    ClientTool {
        begins: "bash_",
        name: "bash",
        description: "Runs a command in a bash session that keeps its state from one call to the next. Output comes \
                      back as text. Set `restart` to begin a new session, without a command.",
        parameters: bash,
    },
    // The versions before the Claude 4 models have another name.
    ClientTool {
        begins: "text_editor_20250124",
        name: "str_replace_editor",
        description: EDITOR,
        parameters: old_editor,
    },
    ClientTool { begins: "text_editor_", name: "str_replace_based_edit_tool", description: EDITOR, parameters: editor },
    ClientTool {
        begins: "memory_",
        name: "memory",
        description: "Keeps notes in files under /memories, which outlive this conversation. Look there before you \
                      begin, and write down what will be needed later. `command` says what to do; each command has \
                      parameters of its own.",
        parameters: memory,
    },
];

const EDITOR: &str = "Views, creates and edits text files. `command` says what to do; each command has parameters of its \
                      own. A text to replace must occur exactly once, with its white space.";

/// The function that stands for a tool of this type.
pub(super) fn function(kind: &str) -> Option<Function> {
    let tool = CLIENT_TOOLS.iter().find(|tool| kind.starts_with(tool.begins))?;
    let (description, parameters) = (Some(tool.description.to_owned()), Some((tool.parameters)()));
    Some(Function { description, parameters, ..Function::new(tool.name) })
}

fn bash() -> Value {
    json!({
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The command. Required unless `restart` is set."},
            "restart": {"type": "boolean", "description": "Whether to begin a new session."},
        },
    })
}

fn editor() -> Value {
    let insert = json!({"type": "string", "description": "Of `insert`: the text."});
    editing(&["view", "create", "str_replace", "insert"], &[("insert_text", insert)])
}

/// Here `insert` has its text in `new_str`, and there is `undo_edit`.
fn old_editor() -> Value {
    editing(&["view", "create", "str_replace", "insert", "undo_edit"], &[])
}

fn memory() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut schema = editing(
        &["view", "create", "str_replace", "insert", "delete", "rename"],
        &[
            ("insert_text", text("Of `insert`: the text.")),
            ("old_path", text("Of `rename`: the path that it has.")),
            ("new_path", text("Of `rename`: the path that it is to have.")),
        ],
    );
    // `rename` has two paths of its own.
    schema["required"] = json!(["command"]);
    schema
}

/// The parameters of these commands: those that all editing commands share, and these.
fn editing(commands: &[&str], more: &[(&str, Value)]) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {
            "command": {"type": "string", "enum": commands},
            "path": {"type": "string", "description": "The file or directory."},
            "file_text": {"type": "string", "description": "Of `create`: what the file is to hold."},
            "old_str": {"type": "string", "description": "Of `str_replace`: the text to replace."},
            "new_str": {"type": "string", "description": "The text to put there."},
            "insert_line": {"type": "integer", "description": "Of `insert`: the line to insert behind; 0 is the beginning."},
            "view_range": {
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 2,
                "maxItems": 2,
                "description": "Of `view`: the first line and the last, from 1; -1 is the end of the file.",
            },
        },
        "required": ["command", "path"],
    });
    for (name, parameter) in more {
        schema["properties"][name] = parameter.clone();
    }
    schema
}
