//! Parses a settings file, and reports each fault with its line.

use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};
use toml_edit::{Document, Item, Value};

use super::effective::is_secret;
use super::{Kind, settings};

/// A parsed settings file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    entries: Vec<Entry>,
}

/// One setting of a file.
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    /// As they would be written on the command line.
    pub(crate) values: Vec<String>,
    pub(crate) line: usize,
}

impl File {
    /// Parses a file's text. The flags of `command` are the settings it may contain.
    pub(crate) fn parse(path: PathBuf, text: &str, command: &Command) -> Result<File, Vec<String>> {
        let shown = path.display();
        let document = Document::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            vec![format!("{shown}, line {line}: {}", error.message().replace('\n', "; "))]
        })?;
        let mut entries = Vec::new();
        let mut faults = Vec::new();
        for (name, item) in document.iter() {
            let key = document.key(name).and_then(|key| key.span()).or_else(|| item.span());
            let line = key.map_or(1, |span| line_of(text, span.start));
            match values(name, item, &path, command) {
                Ok(values) => entries.push(Entry { name: name.to_owned(), values, line }),
                Err(fault) => faults.push(format!("{shown}, line {line}: {fault}")),
            }
        }
        if faults.is_empty() { Ok(File { path, entries }) } else { Err(faults) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A setting's values, as they would be written on the command line.
fn values(name: &str, item: &Item, path: &Path, command: &Command) -> Result<Vec<String>, String> {
    let Some(value) = item.as_value() else {
        return Err(format!("[{name}] begins a section, and this file has none: settings stand one under the other"));
    };
    let Some((_, arg)) = settings(command).find(|(known, _)| *known == name) else {
        return Err(unknown(name, command));
    };
    let kind = Kind::of(arg);
    let values = match (kind, value) {
        (Kind::Switch, Value::Boolean(value)) => vec![value.value().to_string()],
        (Kind::Number | Kind::Duration, Value::Integer(value)) => vec![value.value().to_string()],
        (Kind::Duration | Kind::Text, Value::String(value)) => vec![value.value().clone()],
        (Kind::Program, Value::String(value)) if !value.value().contains('/') => vec![value.value().clone()],
        (Kind::Path | Kind::Program, Value::String(value)) => vec![resolve_from(value.value(), path)],
        (Kind::List, Value::Array(values)) => {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(|| mistyped(name, kind))?
        }
        _ => return Err(mistyped(name, kind)),
    };
    values.iter().try_for_each(|value| check(name, kind, value, command))?;
    Ok(values)
}

fn mistyped(name: &str, kind: Kind) -> String {
    format!("{name} must be {}", kind.wanted())
}

/// Resolves a path from the file: no shell expands its `~`, and it is relative to the file, not to the working directory.
fn resolve_from(text: &str, file: &Path) -> String {
    let home = std::env::home_dir().filter(|_| text == "~" || text.starts_with("~/"));
    let path = match home {
        Some(home) => home.join(text.trim_start_matches(['~', '/'])),
        None => file.parent().unwrap_or(Path::new("")).join(text),
    };
    path.to_string_lossy().into_owned()
}

/// Has clap validate a value. The error says what is wrong with it.
fn check(name: &str, kind: Kind, value: &str, command: &Command) -> Result<(), String> {
    if kind == Kind::Switch {
        return Ok(());
    }
    let Err(error) = try_flag(&format!("--{name}={value}"), command) else { return Ok(()) };
    let reason = match (std::error::Error::source(&error), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(ContextValue::Strings(possible))) if !possible.is_empty() => {
            format!("it is one of {}", possible.join(", "))
        }
        _ => "it must not be empty".to_owned(),
    };
    if is_secret(name) {
        Err(format!("{name}: {reason}"))
    } else {
        Err(format!("{name} cannot be {value:?}: {reason}"))
    }
}

/// Has clap parse a command line of this one flag.
fn try_flag(flag: &str, command: &Command) -> Result<(), clap::Error> {
    command.clone().no_binary_name(true).try_get_matches_from([flag]).map(|_| ())
}

/// The error for an unknown name: the setting it probably means, or how to list all of them.
fn unknown(name: &str, command: &Command) -> String {
    let alias = |arg: &Arg| arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name));
    let meant = settings(command).find(|(_, arg)| alias(arg)).map(|(known, _)| known.to_owned());
    match meant.or_else(|| suggestion(name, command)) {
        Some(meant) => format!("there is no setting {name}: did you mean {meant}?"),
        None => format!("there is no setting {name}: `claude-max-api config print` lists all of them"),
    }
}

/// The setting that clap suggests for an unknown name.
fn suggestion(name: &str, command: &Command) -> Option<String> {
    let error = try_flag(&format!("--{name}"), command).err()?;
    let Some(ContextValue::String(flag)) = error.get(ContextKind::SuggestedArg) else { return None };
    let meant = flag.trim_start_matches('-');
    settings(command).find(|(known, _)| *known == meant).map(|(known, _)| known.to_owned())
}
