//! The stream-json protocol of `claude --print`, as types: the lines that it writes, and those that it is sent.

pub(crate) mod incoming;
mod outgoing;

pub(crate) use incoming::{ControlRequest, Line, without_lone_surrogates};
pub(crate) use outgoing::Outgoing;

/// What begins the ids of control requests that a process was told before there was a turn. A refusal of one says that the
/// process is of no use, and nothing about the turn.
pub(crate) const AHEAD: &str = "ahead_";

/// The tool by which the CLI has the model give JSON of a schema.
pub(crate) const STRUCTURED_OUTPUT: &str = "StructuredOutput";

/// The name under which the CLI knows the MCP server of the client's functions.
pub(crate) const MCP_SERVER: &str = "c";

/// What the CLI calls all of that server's tools together.
pub(crate) const MCP_SERVER_TOOLS: &str = "mcp__c";

/// What it puts before the name of each of them.
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
