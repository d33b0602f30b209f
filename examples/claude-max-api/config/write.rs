//! Writes settings into a file, and keeps the file's comments.

use std::io::{ErrorKind, Write};
use std::path::Path;

use toml_edit::{DocumentMut, Value, value};

use super::Kind;
use super::effective::{Effective, Setting, Source};

const FIRST_LINE: &str =
    "# Settings of claude-max-api. `claude-max-api config print` shows all there are, and what holds.\n\n";

/// What became of the file.
#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    Created,
    Changed(Vec<String>),
    Same,
}

/// Writes the settings from the command line and the environment into a file. Secrets are left out.
pub(crate) fn write(path: &Path, effective: &Effective) -> Result<Written, String> {
    let before = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let text = before.as_deref().unwrap_or(FIRST_LINE);
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let mut names = Vec::new();
    for setting in effective.settings.iter().filter(|setting| setting.source != Source::Default && !setting.is_secret())
    {
        let (false, Some(new)) = (matches!(setting.source, Source::File { .. }), settled(setting)) else { continue };
        let there = document.get(&setting.name).and_then(|item| item.as_value());
        if there.is_none_or(|there| there.to_string().trim() != new.to_string().trim()) {
            document[&setting.name] = value(new);
            names.push(setting.name.clone());
        }
    }
    if before.is_some() && names.is_empty() {
        return Ok(Written::Same);
    }
    replace(path, &document.to_string()).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(if before.is_some() { Written::Changed(names) } else { Written::Created })
}

/// The setting's value, with paths made absolute: the file may be read from another working directory.
fn settled(setting: &Setting) -> Option<Value> {
    let value = setting.value.clone()?;
    let path = match (setting.kind, value.as_str()) {
        (Kind::Path, Some(path)) => path,
        (Kind::Program, Some(path)) if path.contains('/') => path,
        _ => return Some(value),
    };
    Some(std::path::absolute(path).ok()?.to_string_lossy().into_owned().into())
}

/// Replaces a file atomically. Only its owner can read the new one.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
