//! The command line's flags and their help.
//!
//! | file | its flags |
//! |---|---|
//! | `listen` | where the server listens |
//! | `access` | who may use the server |
//! | `claude` | which Claude Code answers, and with which model |
//! | `tools` | who runs the tools |
//! | `processes` | how many processes, and who waits for them |
//! | `limits` | how long and how large requests and answers may be |
//! | `kept` | which answers of the Responses API are kept |
//! | `connections` | how many connections, and how they end |
//! | `logging` | what the log looks like |
//! | `file` | the settings file |

mod access;
mod claude;
mod connections;
mod file;
mod kept;
mod limits;
mod listen;
mod logging;
mod processes;
mod tools;

use clap::Args;

pub(crate) use self::access::{API_KEY, Access};
pub(crate) use self::claude::{Claude, Overage, UnknownModel};
pub(crate) use self::connections::Connections;
pub(crate) use self::file::ConfigFile;
pub(crate) use self::kept::Kept;
pub(crate) use self::limits::Limits;
pub(crate) use self::listen::Listen;
pub(crate) use self::logging::{LogFormat, Logging};
pub(crate) use self::processes::Processes;
pub(crate) use self::tools::{Mode, Tools};

/// What the server can be told.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) access: Access,
    #[command(flatten)]
    pub(crate) claude: Claude,
    #[command(flatten)]
    pub(crate) tools: Tools,
    #[command(flatten)]
    pub(crate) processes: Processes,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) kept: Kept,
    #[command(flatten)]
    pub(crate) connections: Connections,
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(flatten)]
    pub(crate) file: ConfigFile,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        parsed => parsed.map_err(|_| "write a whole number".to_owned()),
    }
}
