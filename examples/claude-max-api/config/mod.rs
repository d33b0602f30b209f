//! The settings file. The command line and the environment override it; it overrides the built-in defaults.
//!
//! | file | its idea |
//! |---|---|
//! | `file` | parses the file, and reports its faults |
//! | `setting` | what kind of value a flag takes |
//! | `defaults` | makes the file's values the defaults of the flags |
//! | `effective` | the settings in effect, and where each one comes from |
//! | `print` | prints the settings in effect |
//! | `write` | writes the settings that were given into the file |

mod defaults;
mod effective;
mod file;
mod print;
mod setting;
mod write;

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

pub(crate) use self::defaults::with_defaults;
pub(crate) use self::effective::Effective;
pub(crate) use self::file::File;
pub(crate) use self::print::print;
use self::setting::{Kind, settings};
pub(crate) use self::write::{Written, replace, write};

/// The file to read if none is named.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "claude-max-api")?.config_dir().join("config.toml"))
}

/// Reads the named file, or the default one. A missing file is an error only if it `must_be_there`. The error has one line
/// per fault.
pub(crate) fn read(
    named: Option<&Path>,
    must_be_there: bool,
    command: &clap::Command,
) -> Result<Option<File>, Vec<String>> {
    let Some(path) = named.map(Path::to_owned).or_else(default_path) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => File::parse(path, &text, command).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_be_there => Ok(None),
        Err(error) => Err(vec![format!("{} cannot be read: {error}", path.display())]),
    }
}
