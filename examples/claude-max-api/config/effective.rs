//! The settings in effect, and where each one comes from.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use toml_edit::{Array, Value};

use super::{File, Kind, settings};

/// Settings whose values must never be printed.
const SECRETS: [&str; 1] = ["api-key"];

/// Every setting, whether it was given or not.
#[derive(Debug)]
pub(crate) struct Effective {
    pub(crate) settings: Vec<Setting>,
}

/// One flag that a settings file may contain.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) heading: String,
    pub(super) kind: Kind,
    /// In the form a settings file has; `None` if the flag is not set.
    pub(crate) value: Option<Value>,
    pub(crate) source: Source,
}

/// Where a setting comes from.
#[derive(Debug, PartialEq)]
pub(crate) enum Source {
    CommandLine,
    Environment(String),
    File { line: usize },
    Default,
}

impl Setting {
    /// Whether its value must never be printed.
    pub(crate) fn is_secret(&self) -> bool {
        is_secret(&self.name)
    }
}

pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

impl Effective {
    /// The settings that clap parsed into `matches`, with the file's values as defaults.
    pub(crate) fn new(command: &Command, matches: &ArgMatches, file: Option<&File>) -> Self {
        let settings = settings(command).map(|(name, arg)| {
            // The port may also be given as a positional argument.
            let short = name == "port" && matches.value_source("positional_port") == Some(ValueSource::CommandLine);
            let id = if short { "positional_port" } else { arg.get_id().as_str() };
            let source = match (matches.value_source(id), file.and_then(|file| file.get(name))) {
                (Some(ValueSource::CommandLine), _) => Source::CommandLine,
                (Some(ValueSource::EnvVariable), _) => {
                    Source::Environment(arg.get_env().unwrap_or_default().to_string_lossy().into_owned())
                }
                (_, Some(entry)) => Source::File { line: entry.line },
                _ => Source::Default,
            };
            Setting {
                name: name.to_owned(),
                heading: arg.get_help_heading().unwrap_or_default().to_owned(),
                kind: Kind::of(arg),
                value: value(arg, id, matches),
                source,
            }
        });
        Effective { settings: settings.collect() }
    }

    /// Whether a setting was given on the command line.
    pub(crate) fn is_on_command_line(&self, name: &str) -> bool {
        self.settings.iter().any(|setting| setting.name == name && setting.source == Source::CommandLine)
    }

    /// The values of the named settings, leaving out those that are not set.
    pub(crate) fn texts<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let named = self.settings.iter().filter(|setting| names.contains(&setting.name.as_str()));
        named.filter_map(|setting| setting.value.as_ref()?.as_str())
    }
}

/// A flag's value in the form a settings file has.
fn value(arg: &Arg, id: &str, matches: &ArgMatches) -> Option<Value> {
    let values: Vec<_> = matches.get_raw(id)?.map(|value| value.to_string_lossy().into_owned()).collect();
    if Kind::of(arg) == Kind::List {
        return Some(Array::from_iter(values).into());
    }
    let value = values.into_iter().next_back()?;
    Some(match Kind::of(arg) {
        Kind::Switch => value.parse::<bool>().ok()?.into(),
        Kind::Number => value.parse::<i64>().ok()?.into(),
        _ => value.into(),
    })
}
