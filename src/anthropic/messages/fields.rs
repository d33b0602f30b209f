//! What becomes of the fields of a Messages request that `MessagesRequest` has no name for.

use serde_json::{Map, Value};

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

/// The names of the fields without effect. The CLI has no setting for what is not refused: sampling, tiers, regions.
pub(super) fn check(extra: &Map<String, Value>) -> Result<Vec<String>, Error> {
    let mut ignored = Vec::new();
    for (name, value) in extra {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if empty {
            continue;
        }
        if let Some((_, advice)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return Err(Error::new(ErrorKind::UnsupportedParameter, *advice).with_param(name.as_str()));
        }
        ignored.push(name.clone());
    }
    Ok(ignored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn extra(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn settings_that_the_cli_does_not_have_are_named() {
        let fields = json!({"temperature": 0.5, "top_k": null, "of_tomorrow": 1});
        assert_eq!(check(&extra(fields)).unwrap(), ["temperature", "of_tomorrow"]);
    }

    #[test]
    fn what_anthropics_servers_would_do_is_refused_by_name() {
        let error = check(&extra(json!({"mcp_servers": [{"url": "https://e"}]}))).unwrap_err();
        assert_eq!(error.param(), Some("mcp_servers"));
        assert!(check(&extra(json!({"mcp_servers": []}))).unwrap().is_empty());
    }
}
