//! What kind of value each flag takes, derived from its clap definition.

use std::any::TypeId;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, ValueHint};

/// The kind of value that a setting has in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Switch,
    Number,
    Duration,
    Text,
    /// A program: a path, or a name to look up on PATH.
    Program,
    Path,
    List,
}

impl Kind {
    pub(crate) fn of(arg: &Arg) -> Kind {
        let parser = arg.get_value_parser().type_id();
        let is = |id: TypeId| parser == id;
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            Kind::Switch
        } else if matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some() {
            Kind::List
        } else if arg.get_value_hint() == ValueHint::CommandName {
            Kind::Program
        } else if is(TypeId::of::<PathBuf>()) {
            Kind::Path
        } else if is(TypeId::of::<Duration>()) {
            Kind::Duration
        } else if [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()]
            .map(is)
            .contains(&true)
        {
            Kind::Number
        } else {
            Kind::Text
        }
    }

    /// What the value must be, for an error message.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Kind::Switch => "true or false",
            Kind::Number => "a whole number, such as 4",
            Kind::Duration => "a duration in quotes, such as \"10m\"",
            Kind::Text | Kind::Program | Kind::Path => "a text in quotes",
            Kind::List => "a list of texts, such as [\"one\", \"two\"]",
        }
    }
}

/// The flags that a settings file may contain: all with a long name, except the one that names the file.
pub(crate) fn settings(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?, arg)))
        .filter(|(name, _)| !["config", "help", "version"].contains(name))
}
