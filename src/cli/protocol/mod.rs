//! The stream-json protocol of `claude --print` as types: the lines that it writes, and those that it is sent.

pub(crate) mod incoming;
mod outgoing;

pub(crate) use incoming::{ControlRequest, Line, without_lone_surrogates};
pub(crate) use outgoing::Outgoing;

/// How the ids begin of control requests that a process is sent before it has a turn. If it refuses one, the process is
/// useless; that says nothing about the turn.
pub(crate) const AHEAD: &str = "ahead_";

/// The tool by which the CLI makes the model answer with JSON of a given schema.
pub(crate) const STRUCTURED_OUTPUT: &str = "StructuredOutput";

/// The field in which the CLI gives the input of a call that is not JSON, as `{"raw": TEXT, "len": UTF-16 UNITS}` (2.1.328).
pub(crate) const UNPARSED: &str = "__unparsedToolInput";

/// The name that the MCP server of the client's functions has in the CLI.
pub(crate) const MCP_SERVER: &str = "c";

/// The CLI's name for all tools of that server.
pub(crate) const MCP_SERVER_TOOLS: &str = "mcp__c";

/// The prefix of each tool's name.
pub(crate) const MCP_TOOL_PREFIX: &str = "mcp__c__";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_server_and_its_tools_go_together() {
        assert_eq!(MCP_SERVER_TOOLS, format!("mcp__{MCP_SERVER}"));
        assert_eq!(MCP_TOOL_PREFIX, format!("{MCP_SERVER_TOOLS}__"));
    }
}
