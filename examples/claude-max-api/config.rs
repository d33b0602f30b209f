//! The settings file. The command line and the environment override it; it overrides the built-in defaults.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};
use directories::ProjectDirs;
use serde::Serialize;
use toml_edit::ser::ValueSerializer;
use toml_edit::{DocumentMut, Value};

use crate::flags::Flags;

/// The setting whose value must never be printed or written.
const SECRET: &str = "api-key";

const FIRST_LINE: &str =
    "# Settings of claude-max-api. `claude-max-api config print` shows all there are, and what holds.\n\n";

/// The settings in effect, and where they come from.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) flags: Flags,
    /// The settings file that was read, if any.
    pub(crate) file: Option<PathBuf>,
    /// The names of those in the file.
    in_file: Vec<String>,
    /// The names of those that were given otherwise.
    given: Vec<(String, ValueSource)>,
}

/// The file to read if none is named.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "claude-max-api")?.config_dir().join("config.toml"))
}

/// All settings by name, with their values if they have one.
pub(crate) fn values(flags: &Flags) -> Vec<(String, Option<Value>)> {
    // TOML has no null, so all names that there are can only be had of JSON.
    let Ok(serde_json::Value::Object(all)) = serde_json::to_value(flags) else { return Vec::new() };
    all.into_iter().map(|(name, value)| (name, value.serialize(ValueSerializer::new()).ok())).collect()
}

/// The id by which clap knows a setting.
pub(crate) fn id(name: &str) -> String {
    name.replace('-', "_")
}

impl Settings {
    /// Reads the file that is named on the command line, or the default one, and then what was given. A missing file is an error
    /// only if it was named, and `must_be_there`.
    pub(crate) fn read(given: &ArgMatches, must_be_there: bool) -> Result<Settings, String> {
        let named = given.get_one::<PathBuf>("config");
        let mut settings = Settings::default();
        if let Some(path) = named.cloned().or_else(default_path) {
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    (settings.flags, settings.in_file) = parse(&path, &text)?;
                    settings.file = Some(path);
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !(must_be_there && named.is_some()) => {}
                Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
            }
        }
        for (name, _) in values(&settings.flags) {
            let short = (name == "port" && given.contains_id("positional_port")).then(|| "positional_port".to_owned());
            let id = short.unwrap_or_else(|| id(&name));
            if given.try_contains_id(&id).unwrap_or(false)
                && let Some(source @ (ValueSource::CommandLine | ValueSource::EnvVariable)) = given.value_source(&id)
            {
                settings.given.push((name, source));
            }
        }
        let flags = &mut settings.flags;
        flags.update_from_arg_matches(given).map_err(|error| error.to_string())?;
        flags.port = flags.positional_port.unwrap_or(flags.port);
        Ok(settings)
    }

    /// Whether a setting was given on the command line.
    pub(crate) fn is_on_command_line(&self, name: &str) -> bool {
        self.given.iter().any(|(given, source)| given == name && *source == ValueSource::CommandLine)
    }

    /// Every setting with its value and where that comes from, in the form of a settings file.
    pub(crate) fn print(&self) -> String {
        let mut text = match (&self.file, default_path()) {
            (Some(file), _) => format!("# Settings file: {}\n\n", file.display()),
            (None, Some(missing)) => format!("# There is no settings file {}\n\n", missing.display()),
            (None, None) => String::new(),
        };
        for (name, value) in values(&self.flags) {
            let source = match self.given.iter().find(|(given, _)| *given == name) {
                Some((_, ValueSource::CommandLine)) => "command line",
                Some(_) => "environment",
                None if self.in_file.contains(&name) => "file",
                None => "default",
            };
            let line = match value {
                None => format!("# {name} is not set"),
                Some(_) if name == SECRET => format!("{:<40} # {source}", format!("# {name} is set, and not shown")),
                Some(value) => format!("{:<40} # {source}", format!("{name} = {value}")),
            };
            // A text can be written to.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Writes what was given into a file, and keeps the file's comments. Keys are left out.
    pub(crate) fn write(&self, path: &Path) -> Result<Written, String> {
        let before = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let text = before.as_deref().unwrap_or(FIRST_LINE);
        let mut document: DocumentMut = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        // The file may be read from another working directory.
        let mut flags = self.flags.clone();
        for path in flags.paths() {
            *path = std::path::absolute(&*path).map_err(|error| format!("Where is {}? {error}", path.display()))?;
        }
        let mut changed = Vec::new();
        for (name, value) in values(&flags) {
            let is_given = name != SECRET && self.given.iter().any(|(given, _)| *given == name);
            let Some(value) = value.filter(|_| is_given) else { continue };
            let there = document.get(&name).and_then(|item| item.as_value());
            if there.is_none_or(|there| there.to_string().trim() != value.to_string().trim()) {
                document[&name] = toml_edit::value(value);
                changed.push(name);
            }
        }
        if before.is_some() && changed.is_empty() {
            return Ok(Written::Same);
        }
        replace(path, &document.to_string())
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        Ok(if before.is_some() { Written::Changed(changed) } else { Written::Created })
    }
}

/// What became of the file.
#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    Created,
    Changed(Vec<String>),
    Same,
}

/// The settings of a file, and the names of those that it has. The error names the line.
fn parse(path: &Path, text: &str) -> Result<(Flags, Vec<String>), String> {
    let fault = |span: Option<std::ops::Range<usize>>, what: &str| {
        let before = &text.as_bytes()[..span.map_or(0, |span| span.start.min(text.len()))];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("{}, line {line}: {}", path.display(), what.trim().replace('\n', "; "))
    };
    let document = text.parse::<DocumentMut>().map_err(|error| fault(error.span(), error.message()))?;
    let in_file = document.iter().map(|(name, _)| name.to_owned()).collect();
    let mut flags: Flags = toml_edit::de::from_str(text).map_err(|error| {
        let at = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        match error.message().starts_with("unknown field") {
            true => fault(error.span(), &unknown(at)),
            false => {
                let line =
                    text.get(..error.span().map_or(0, |span| span.end)).and_then(|until| until.lines().next_back());
                let name = line.and_then(|line| Some(line.split_once('=')?.0.trim())).unwrap_or("this");
                fault(error.span(), &format!("{name}: {}", error.message()))
            }
        }
    })?;
    for path_in_it in flags.paths() {
        // No shell expands its `~`, and it is relative to the file, not to the working directory.
        let home = path_in_it.strip_prefix("~").ok().and_then(|rest| Some(std::env::home_dir()?.join(rest)));
        *path_in_it = home.unwrap_or_else(|| path.parent().unwrap_or(Path::new("")).join(&*path_in_it));
    }
    Ok((flags, in_file))
}

/// The error for an unknown name: the setting that it probably means, or how to list all of them.
fn unknown(name: &str) -> String {
    let near = values(&Flags::default()).into_iter().map(|(known, _)| (strsim::jaro_winkler(name, &known), known));
    match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, known)) if likeness > 0.8 => format!("there is no setting {name}: did you mean {known}?"),
        _ => format!("there is no setting {name}: `claude-max-api config print` lists all of them"),
    }
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
