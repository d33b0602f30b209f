//! Settings in a file, between the command line and the environment on one side and what is built in on the other.
//!
//! | file | its idea |
//! |---|---|
//! | `file` | what a file says, and where it is wrong |
//! | `setting` | what kind of value a flag takes |
//! | `defaults` | what it says becomes what the flags have unless they are given |
//! | `effective` | what holds in the end, and where each setting comes from |
//! | `print` | the same, written out |
//! | `write` | what was typed, put into the file |

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

/// The file that is read unless another is named.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "claude-max-api")?.config_dir().join("config.toml"))
}

/// The file that was named, or the default one. Where that is not there, it has nothing to say, unless it is one that
/// `must_be_there`. Says what is wrong with it, a line for each fault.
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
