//! Prints all settings as a settings file, with a note of where each one comes from.

use std::fmt::Write;
use std::path::Path;

use super::effective::{Effective, Source};

/// Every setting with its value and where that comes from. The values of secrets are left out.
pub(crate) fn print(effective: &Effective, file: Option<&Path>) -> String {
    let mut text = match (file, super::default_path()) {
        (Some(file), _) => format!("# Settings file: {}\n", file.display()),
        (None, Some(missing)) => format!("# There is no settings file {}\n", missing.display()),
        (None, None) => String::new(),
    };
    let mut heading = "";
    for setting in &effective.settings {
        if setting.heading != heading {
            heading = &setting.heading;
            let _ = writeln!(text, "\n# {heading}");
        }
        let name = &setting.name;
        let source = match &setting.source {
            Source::CommandLine => "command line".to_owned(),
            Source::Environment(variable) => format!("environment: {variable}"),
            Source::File { line } => format!("file, line {line}"),
            Source::Default => "default".to_owned(),
        };
        let line = match &setting.value {
            None => format!("# {name} is not set"),
            Some(_) if setting.is_secret() => format!("# {name} is set, and not shown"),
            Some(value) => format!("{name} = {value}"),
        };
        let _ = match &setting.value {
            None => writeln!(text, "{line}"),
            Some(_) => writeln!(text, "{line:<40} # {source}"),
        };
    }
    text
}
