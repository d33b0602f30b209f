//! What is particular to Codex: how it names its conversation, and its own form of the models list.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::chat::Model;

/// The conversation that a request belongs to: `thread_id` in `x-codex-turn-metadata`.
///
/// Codex's sub-agents share their parent's `prompt_cache_key`, but each has its own thread (0.169).
pub(crate) fn thread(headers: &HeaderMap) -> Option<String> {
    let metadata = headers.get("x-codex-turn-metadata")?;
    let metadata: Value = serde_json::from_slice(metadata.as_bytes()).ok()?;
    metadata["thread_id"].as_str().map(str::to_owned)
}

/// One model in the list that Codex reads: `models` of `GET /v1/models`.
///
/// Codex asks for the list if its provider has an `auth` command, or reads one from a file given by `model_catalog_json`
/// (0.169). For a model that is not in it, it leaves out `apply_patch` and assumes another context window.
/// `base_instructions` are required: Codex's own are only for models that it knows.
pub(crate) fn model(model: &Model, priority: usize) -> Value {
    json!({
        "slug": model.id,
        "display_name": model.display_name.as_ref().unwrap_or(&model.id),
        "description": null,
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": [
            {"effort": "low", "description": "Fast, with little reasoning"},
            {"effort": "medium", "description": "For everyday tasks"},
            {"effort": "high", "description": "For hard problems"},
        ],
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": true,
        "priority": priority,
        "availability_nux": null,
        "upgrade": null,
        "base_instructions": INSTRUCTIONS,
        "supports_reasoning_summaries": true,
        "support_verbosity": false,
        "default_verbosity": null,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": true,
        "context_window": model.context_window,
        "input_modalities": ["text", "image"],
        "experimental_supported_tools": [],
    })
}

/// The base instructions for a model in Codex. Codex adds the rest: its sandbox, the directory, the user's files.
const INSTRUCTIONS: &str = "\
You are a coding agent in Codex, a program that runs in the user's terminal. You work in the user's directory with the \
tools that you are given, until the task is done or only the user can say how it goes on.

- Look before you change: read the files that matter, and search with `rg` where it is there.
- Change files with `apply_patch`. Its text begins with `*** Begin Patch` and ends with `*** End Patch`.
- Follow the AGENTS.md files of the directories that you work in. What is nearer to a file counts more, and what the \
user says counts most.
- Keep to the style of the code that is there, fix causes instead of symptoms, and leave what is not your task alone.
- Do not commit, and do not undo changes that you did not make, unless you are asked to.
- Check your work with the project's own tests or build where that is possible.
- Say in a sentence what you are about to do before a group of calls. When you are done, say in a few lines what you \
changed, where, and what is left to do.
";
