//! OpenClaw's names: of its functions, the sections of its prompt, and the lines that its prompt begins with.

use once_cell::sync::Lazy;

use super::super::Sections;

/// OpenClaw's functions that Claude Code has its own tool for, and that tool.
pub(super) const TOOL_NAMES: &[(&str, &str)] = &[
    ("exec", "Bash"),
    ("process", "Bash"),
    ("ls", "Bash"),
    ("read", "Read"),
    ("view_image", "Read"),
    ("image", "Read"),
    ("write", "Write"),
    ("edit", "Edit"),
    ("apply_patch", "Edit"),
    ("grep", "Grep"),
    ("find", "Glob"),
    ("web_search", "WebSearch"),
    ("web_fetch", "WebFetch"),
];

/// The headings of the sections that tell the model about OpenClaw's own tools, in early and present versions.
pub(super) const SECTIONS: &[&str] =
    &["Tooling", "Tool Call Style", "OpenClaw CLI Quick Reference", "OpenClaw Self-Update", "OpenClaw Control"];

/// The heading that precedes the files of the user's workspace, which have headings of their own.
const WORKSPACE_FILES: &str = "Project Context";

/// The lines that the two parts of the system prompt begin and end with.
const MARKERS: &[&str] = &[
    "<!-- openclaw:attempt:STABLE -->",
    "<!-- /openclaw:attempt:STABLE -->",
    "<!-- openclaw:attempt:DYNAMIC -->",
    "<!-- /openclaw:attempt:DYNAMIC -->",
];

/// How a line of the system prompt begins, in versions with markers and in those without.
pub(super) const OPENINGS: &[&str] = &[MARKERS[0], "You are a personal assistant running inside OpenClaw"];

static CHOSEN: Lazy<Sections> = Lazy::new(|| {
    MARKERS.iter().fold(Sections::named(SECTIONS.iter().copied()).until(WORKSPACE_FILES), |sections, marker| {
        sections.boundary(*marker)
    })
});

/// The [`SECTIONS`] of OpenClaw's system prompt, but not headings of the same name in the user's workspace files, which are in
/// the prompt too.
pub(super) fn sections() -> Sections {
    CHOSEN.clone()
}
