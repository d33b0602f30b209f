//! Whether systemd can hide files from a service of this user, and protect others from it. It does so by a mount namespace,
//! which an ordinary user has only within a user namespace.
//!
//! systemd 254 and later makes that by itself. An earlier one (252, Debian 12) does so only with `PrivateUsers=yes`, and
//! otherwise ignores every setting that would need it, without a word. Where users may not create namespaces, as on Ubuntu
//! 24.04, all versions ignore those settings, and with `PrivateUsers=yes` the service does not start. So it is tried out.

use std::process::{Command, Stdio};

/// What a user's service gets here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Namespaces {
    /// A mount namespace wherever a setting needs one.
    Automatic,
    /// A mount namespace only with `PrivateUsers=yes`.
    PrivateUsers,
    /// None. Also where there is no systemd to ask.
    Never,
}

impl Namespaces {
    /// Finds out, by starting a service or two that end at once.
    pub(super) fn probe() -> Namespaces {
        if hides_a_file(&[]) {
            Namespaces::Automatic
        } else if hides_a_file(&["--property=PrivateUsers=yes"]) {
            Namespaces::PrivateUsers
        } else {
            Namespaces::Never
        }
    }
}

/// Whether a service with these properties sees no content in a file that is hidden from it.
fn hides_a_file(properties: &[&str]) -> bool {
    let probe = Command::new("systemd-run")
        .args(["--user", "--quiet", "--collect", "--wait", "--property=InaccessiblePaths=/etc/passwd"])
        .args(properties)
        .args(["sh", "-c", "! test -s /etc/passwd"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}
