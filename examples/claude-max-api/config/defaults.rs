//! Makes a settings file's values the defaults of the flags.

use clap::Command;

use super::File;

/// The command and all its subcommands, with the file's values as the defaults of their flags.
pub(crate) fn with_defaults(command: Command, file: &File) -> Command {
    let here: Vec<(String, String)> = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.get_id().to_string())))
        .filter(|(name, _)| file.get(name).is_some())
        .collect();
    let command = here.into_iter().fold(command, |command, (name, id)| {
        let values = file.get(&name).map(|entry| entry.values.clone()).unwrap_or_default();
        command.mut_arg(id, |arg| arg.default_values(values))
    });
    command.mut_subcommands(|under| with_defaults(under, file))
}
