//! Which model an id stands for.

use std::borrow::Cow;

use crate::error::shortened;
use crate::{Error, ErrorKind};

/// Ids that clients send, and Claude Code's alias for each.
pub(super) const CLAUDE: &[(&str, &str)] = &[
    ("claude-opus-4", "opus"),
    ("claude-sonnet-4", "sonnet"),
    ("claude-haiku-4", "haiku"),
    ("opus", "opus"),
    ("sonnet", "sonnet"),
    ("haiku", "haiku"),
    ("opus-max", "opus"),
    ("sonnet-max", "sonnet"),
];

/// Provider names that clients of Claude put before an id.
pub(super) const CLAUDE_PREFIXES: &[&str] =
    &["claude-code-cli/", "claude-code/", "claude-max/", "anthropic/", "openai/", "openrouter/", "local/"];

/// What becomes of an unknown model id.
///
/// ```
/// use tower_claude::layers::{ModelAliasLayer, UnknownModel};
///
/// let layer = ModelAliasLayer::new([("fast", "haiku")]).unknown(UnknownModel::Reject);
/// assert!(layer.resolve("fast").is_ok() && layer.resolve("gpt-4o").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownModel {
    /// The inner service gets it as it is, without its provider prefixes.
    Keep,
    /// The inner service gets this model instead.
    Use(String),
    /// The request is refused with [`ErrorKind::ModelNotFound`] (404 `model_not_found`).
    Reject,
}

/// Ids and their models, and what becomes of ids without an entry.
#[derive(Clone, Debug)]
pub(super) struct Table {
    aliases: Vec<(String, String)>,
    pub(super) prefixes: Vec<String>,
    pub(super) passed: Vec<String>,
    pub(super) unknown: UnknownModel,
}

impl Table {
    pub(super) fn empty() -> Self {
        Table { aliases: Vec::new(), prefixes: Vec::new(), passed: Vec::new(), unknown: UnknownModel::Keep }
    }

    /// Adds an entry, or replaces the one of the same id.
    pub(super) fn set_alias(&mut self, id: String, model: String) {
        match self.aliases.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&id)) {
            Some(entry) => entry.1 = model,
            None => self.aliases.push((id, model)),
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(|(id, _)| id.as_str())
    }

    pub(super) fn resolve<'a>(&'a self, id: &'a str) -> Result<Cow<'a, str>, Error> {
        let bare = self.without_prefixes(id);
        let model = std::iter::successors(Some(bare), |id| without_version(id)).find_map(|id| self.lookup(id));
        if let Some(model) = model {
            return Ok(Cow::Borrowed(model));
        }
        if self.passed.iter().any(|beginning| starts_with(bare, beginning)) {
            return Ok(Cow::Borrowed(bare));
        }
        match &self.unknown {
            UnknownModel::Keep => Ok(Cow::Borrowed(bare)),
            UnknownModel::Use(model) => Ok(Cow::Borrowed(model)),
            UnknownModel::Reject => {
                let known = self.ids().collect::<Vec<_>>().join(", ");
                let passed: String =
                    self.passed.iter().map(|start| format!(", and any id that begins with `{start}`")).collect();
                let id = shortened(id);
                let message = format!(
                    "The model `{id}` does not exist or you do not have access to it. Known are {known}, versions of \
                     these{passed}."
                );
                Err(Error::new(ErrorKind::ModelNotFound, message).with_param("model"))
            }
        }
    }

    fn lookup(&self, id: &str) -> Option<&str> {
        self.aliases.iter().find(|(known, _)| known.eq_ignore_ascii_case(id)).map(|(_, model)| model.as_str())
    }

    fn without_prefixes<'a>(&self, id: &'a str) -> &'a str {
        let mut id = id.trim();
        while let Some(prefix) = self.prefixes.iter().find(|prefix| starts_with(id, prefix)) {
            id = id[prefix.len()..].trim_start();
        }
        id
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The id without its last `-20251101`, `-5` or `.6`, if it ends so.
fn without_version(id: &str) -> Option<&str> {
    let rest = id.trim_end_matches(|c: char| c.is_ascii_digit());
    if rest.len() == id.len() { None } else { rest.strip_suffix(['-', '.']) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::ModelAliasLayer;

    #[track_caller]
    fn resolves(layer: &ModelAliasLayer, id: &str, model: &str) {
        assert_eq!(layer.resolve(id).unwrap(), model, "{id:?}");
    }

    #[test]
    fn versions_and_dates_of_a_family_mean_the_family() {
        let layer = ModelAliasLayer::claude();
        for id in
            ["claude-opus-4", "claude-opus-4-5", "claude-opus-4.6", "claude-opus-4-5-20251101", "opus", "opus-4.1"]
        {
            resolves(&layer, id, "opus");
        }
        for id in ["claude-sonnet-4-20250514", "claude-sonnet-4.5.1", "sonnet-max", " Claude-Sonnet-4 "] {
            resolves(&layer, id, "sonnet");
        }
        resolves(&layer, "claude-haiku-4-5", "haiku");
    }

    #[test]
    fn prefixes_come_off_one_after_the_other() {
        let layer = ModelAliasLayer::claude().prefix("mine/");
        resolves(&layer, "openai/claude-max/opus-max", "opus");
        resolves(&layer, "Mine/openrouter/anthropic/claude-haiku-4.5", "haiku");
        resolves(&layer, "yours/claude-haiku-4.5", "opus");
    }

    #[test]
    fn other_claude_ids_go_to_the_cli_as_they_are() {
        let layer = ModelAliasLayer::claude().unknown(UnknownModel::Reject);
        for id in ["claude-3-5-haiku-latest", "claude-3-7-sonnet-20250219", "claude-fable-5-2", "claude-opus-41"] {
            resolves(&layer, id, id);
        }
        resolves(&layer, "anthropic/claude-sonnet-4-5[1m]", "claude-sonnet-4-5[1m]");
    }

    #[test]
    fn unknown_ids_are_opus_unless_they_are_to_be_refused() {
        let layer = ModelAliasLayer::claude();
        for id in ["gpt-4o", "", "openai/", "4", "-4", "opus-", "ö"] {
            resolves(&layer, id, "opus");
        }
        resolves(&layer.clone().unknown(UnknownModel::Use("haiku".into())), "gpt-4o", "haiku");

        let error = layer.unknown(UnknownModel::Reject).resolve("openai/gpt-4o").unwrap_err();
        assert_eq!((error.kind(), error.param()), (ErrorKind::ModelNotFound, Some("model")));
        assert!(error.to_string().starts_with(
            "The model `openai/gpt-4o` does not exist or you do not have access to it. Known are claude-opus-4, "
        ));
    }

    #[test]
    fn the_table_is_the_callers_to_change() {
        let layer = ModelAliasLayer::claude().alias("Opus", "claude-opus-4-1").alias("claude-opus-4-5", "pinned");
        resolves(&layer, "opus", "claude-opus-4-1");
        resolves(&layer, "claude-opus-4-5-20251101", "pinned");
        resolves(&layer, "claude-opus-4-6", "opus");
        assert_eq!(layer.ids().count(), CLAUDE.len() + 1);
    }

    #[test]
    fn a_table_of_ones_own_knows_nothing_of_claude() {
        let layer = ModelAliasLayer::new([("only", "sonnet")]);
        assert_eq!(layer.ids().collect::<Vec<_>>(), ["only"]);
        resolves(&layer, "only-2", "sonnet");
        resolves(&layer, "claude-opus-4", "claude-opus-4");
        resolves(&layer, " openai/gpt-4o", "openai/gpt-4o");
        let error = layer.unknown(UnknownModel::Reject).resolve("claude-opus-4").unwrap_err();
        let message = "The model `claude-opus-4` does not exist or you do not have access to it. Known are only, versions of these.";
        assert_eq!(error.to_string(), message);
    }
}
