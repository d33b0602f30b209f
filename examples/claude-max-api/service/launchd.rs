//! The service as a launchd agent.

use super::NAME;
use super::definition::Definition;

/// The agent's property list.
pub(super) fn plist(definition: &Definition) -> String {
    let home = definition.home.to_string_lossy();
    let log = definition.home.join("Library/Logs").join(format!("{NAME}.log"));
    let (program, config) =
        (escaped(&definition.program.to_string_lossy()), escaped(&definition.config.to_string_lossy()));
    let (path, log, home) = (escaped(&definition.path), escaped(&log.to_string_lossy()), escaped(&home));
    let ends_within = definition.ends_within.as_secs();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by `claude-max-api service install`, which writes it anew: settings belong in the file named below. -->
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>{NAME}</string>
	<key>ProgramArguments</key>
	<array>
		<string>{program}</string>
		<string>serve</string>
		<string>--config</string>
		<string>{config}</string>
	</array>
	<key>EnvironmentVariables</key>
	<dict>
		<key>PATH</key>
		<string>{path}</string>
	</dict>
	<key>WorkingDirectory</key>
	<string>{home}</string>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>ExitTimeOut</key>
	<integer>{ends_within}</integer>
	<key>Umask</key>
	<integer>63</integer>
	<key>SoftResourceLimits</key>
	<dict>
		<key>NumberOfFiles</key>
		<integer>8192</integer>
	</dict>
	<key>StandardOutPath</key>
	<string>{log}</string>
	<key>StandardErrorPath</key>
	<string>{log}</string>
</dict>
</plist>
"#
    )
}

/// The agent's name for `launchctl`.
pub(super) fn target() -> String {
    format!("{}/{NAME}", domain())
}

/// The graphical session of this user.
pub(super) fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
