//! What becomes of the fields of a Messages request that `MessagesRequest` has no name for.

use serde_json::{Map, Value};

use crate::openai::chat_completions::fields::Ignored;
use crate::{Error, ErrorKind};

/// They would have Anthropic's servers do something that the answer depends on: 400, unless they are empty.
const REFUSED: &[(&str, &str)] = &[
    ("container", "Containers run on Anthropic's side and cannot be had through Claude Code: leave `container` out."),
    (
        "mcp_servers",
        "The MCP connector runs on Anthropic's side and cannot be had through Claude Code: connect to the servers in your \
         client, and offer their tools in `tools`.",
    ),
    // Clients that can do without are told so by the details of this error, and send the whole conversation instead.
    ("thread", "This server keeps no message threads: send the full conversation, without `thread`."),
];

/// Names the fields without effect. The CLI has no setting for what is not refused: sampling, tiers, regions.
pub(super) fn check(extra: &Map<String, Value>, ignored: &mut Ignored) -> Result<(), Error> {
    for (name, value) in extra {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if empty {
            continue;
        }
        if let Some((_, advice)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return Err(Error::new(ErrorKind::UnsupportedParameter, *advice).with_param(name.as_str()));
        }
        ignored.name("", name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(fields: Value) -> Result<Vec<String>, Error> {
        let mut ignored = Ignored::default();
        super::check(fields.as_object().unwrap(), &mut ignored)?;
        Ok(ignored.names)
    }

    #[test]
    fn settings_that_the_cli_does_not_have_are_named() {
        let fields = json!({"temperature": 0.5, "top_k": null, "of_tomorrow": 1});
        assert_eq!(check(fields).unwrap(), ["temperature", "of_tomorrow"]);
    }

    #[test]
    fn what_anthropics_servers_would_do_is_refused_by_name() {
        let error = check(json!({"mcp_servers": [{"url": "https://e"}]})).unwrap_err();
        assert_eq!(error.param(), Some("mcp_servers"));
        assert!(check(json!({"mcp_servers": []})).unwrap().is_empty());
    }
}
