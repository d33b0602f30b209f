//! The table: every top-level field of a Messages request.

use serde_json::{Map, Value};

use crate::Error;
use crate::chat::Abilities;
use crate::http::fields::{self, Field, Ignored, Shape, admit, field};

/// Every top-level field of the Messages API, by name, betas that clients send included.
const FIELDS: &[Field] = &[
    field("cache_control", Shape::Object),
    field("container", Shape::Any)
        .refused("Containers run on Anthropic's side and cannot be had here: leave `container` out."),
    field("context_management", Shape::Object),
    field("inference_geo", Shape::String),
    field("max_tokens", Shape::Integer),
    field("mcp_servers", Shape::Array).harmless(&["[]"]).refused(
        "The MCP connector runs on Anthropic's side and cannot be had here: connect to the servers in your client, and \
         offer their tools in `tools`.",
    ),
    field("messages", Shape::Array),
    field("metadata", Shape::Object),
    field("model", Shape::String),
    field("output_config", Shape::Object),
    field("output_format", Shape::Object),
    field("service_tier", Shape::String),
    field("stop_sequences", Shape::Array),
    field("stream", Shape::Boolean),
    field("system", Shape::Any),
    field("temperature", Shape::Number),
    field("thinking", Shape::Object),
    // By the details of this error, clients know to send the whole conversation instead.
    field("thread", Shape::Any)
        .refused("This server keeps no message threads: send the full conversation, without `thread`."),
    field("tool_choice", Shape::Object),
    field("tools", Shape::Array),
    field("top_k", Shape::Integer),
    field("top_p", Shape::Number),
];

/// Whether anybody reads a field of this name.
pub(super) fn reads(name: &str, abilities: &Abilities) -> bool {
    fields::reads(FIELDS, abilities, name)
}

/// Checks the fields without a name in the request. Returns those that the inner service is to see.
pub(super) fn check(rest: Map<String, Value>, ignored: &mut Ignored) -> Result<Map<String, Value>, Error> {
    let mut settings = Map::new();
    for (name, value) in rest {
        if admit(FIELDS, &name, &value, ignored)? {
            settings.insert(name, value);
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(fields: Value, abilities: Abilities) -> Result<(Map<String, Value>, Vec<String>), Error> {
        let mut ignored = Ignored::by(abilities);
        let settings = super::check(fields.as_object().unwrap().clone(), &mut ignored)?;
        Ok((settings, ignored.names))
    }

    #[test]
    fn every_field_is_in_the_table_once_and_in_order() {
        assert!(FIELDS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn settings_reach_the_inner_service_unless_it_says_that_it_has_none_of_them() {
        let fields = json!({"temperature": 0.5, "top_k": null, "of_tomorrow": 1});
        let (settings, ignored) = check(fields.clone(), Abilities::new()).unwrap();
        assert_eq!((Value::Object(settings), ignored), (json!({"temperature": 0.5}), vec!["of_tomorrow".to_owned()]));
        let (settings, ignored) = check(fields, Abilities::new().ignores(["temperature"])).unwrap();
        assert!(settings.is_empty());
        assert_eq!(ignored, ["temperature", "of_tomorrow"]);
    }

    #[test]
    fn what_anthropics_servers_would_do_is_refused_by_name() {
        let error = check(json!({"mcp_servers": [{"url": "https://e"}]}), Abilities::new()).unwrap_err();
        assert_eq!(error.param(), Some("mcp_servers"));
        assert!(check(json!({"mcp_servers": []}), Abilities::new()).unwrap().1.is_empty());
    }
}
