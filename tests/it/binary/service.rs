//! The service: its file by the judgement of who reads it, and install, uninstall and status against programs that note
//! what they are asked.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::server_process::example;

/// A home, and in place of systemctl, systemd-run and launchctl a program that notes what it is asked, knows whether the service
/// runs, and hides files as systemd 257 does; as 252 does if there is a file `old-systemd`; and never if there is `no-namespaces`.
struct Home {
    directory: TempDir,
}

const SERVICE_MANAGER: &str = r#"#!/bin/sh
echo "$(basename "$0") $*" >> "$HOME/asked"
case "$*" in
  *InaccessiblePaths*PrivateUsers*) ! test -e "$HOME/no-namespaces" ;;
  *InaccessiblePaths*) ! test -e "$HOME/no-namespaces" && ! test -e "$HOME/old-systemd" ;;
  *is-active*|print*) test -e "$HOME/running" ;;
  *restart*|bootstrap*) touch "$HOME/running" ;;
  *disable*|bootout*) rm -f "$HOME/running" ;;
esac
"#;

impl Home {
    fn new() -> Home {
        let home = Home { directory: tempfile::tempdir().unwrap() };
        let programs = home.path("bin");
        std::fs::create_dir(&programs).unwrap();
        for name in ["systemctl", "systemd-run", "launchctl"] {
            let program = programs.join(name);
            std::fs::write(&program, SERVICE_MANAGER).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = example("claude-max-api");
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.arg("service").args(args).current_dir(self.directory.path());
        command.env_remove("XDG_CONFIG_HOME").env("HOME", self.directory.path()).env("PATH", path);
        for name in ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "USER"] {
            command.env_remove(name);
        }
        command
    }

    /// What it said, where it did what it was asked.
    async fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().await.unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    async fn fails(&self, args: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command(args).output().await.unwrap();
        (status.code(), text(&stdout) + &text(&stderr))
    }

    /// What the service manager was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let asked = std::fs::read_to_string(self.path("asked")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("asked"));
        asked.lines().map(str::to_owned).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const UNIT: &str = ".config/systemd/user/claude-max-api.service";
const AGENT: &str = "Library/LaunchAgents/claude-max-api.plist";

#[tokio::test]
async fn installing_twice_is_installing_once_and_each_says_what_it_did() {
    let home = Home::new();
    let systemd = ["--kind", "systemd"];
    let config = home.path(".config/claude-max-api/config.toml");
    let unit = home.path(UNIT);

    let said = home.run(&[&["install", "8080", "--warm", "2", "--workspace", "work"], &systemd[..]].concat()).await;
    assert!(said.contains(&format!("Wrote the settings file {}.", config.display())), "{said}");
    assert!(said.contains(&format!("Wrote {}.", unit.display())) && said.contains("Started it."), "{said}");
    let asked = home.asked();
    assert_eq!(
        asked,
        [
            "systemd-run --user --quiet --collect --wait --property=InaccessiblePaths=/etc/passwd sh -c ! test -s /etc/passwd",
            "systemctl --user --quiet is-active claude-max-api.service",
            "systemctl --user daemon-reload",
            "systemctl --user --quiet enable claude-max-api.service",
            "systemctl --user restart claude-max-api.service",
        ]
    );
    let settings = std::fs::read_to_string(&config).unwrap();
    let workspace = format!("workspace = {:?}\n", home.path("work"));
    for line in ["port = 8080\n", "warm = 2\n", &workspace] {
        assert!(settings.contains(line), "{line}: {settings}");
    }
    assert!(!settings.contains("queue-limit"), "what is built in stays out: {settings}");
    assert_eq!(std::fs::metadata(&config).unwrap().permissions().mode() & 0o077, 0);

    let said = home.run(&[&["install"], &systemd[..]].concat()).await;
    for part in ["stays as it is", "is there already", "It runs already"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let asked = home.asked();
    assert!(!asked.iter().any(|asked| asked.contains("restart") || asked.contains("reload")), "{asked:?}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), settings);
}

#[tokio::test]
async fn installing_with_another_flag_changes_that_setting_alone_and_starts_it_again() {
    let home = Home::new();
    let config = home.path("settings.toml");
    std::fs::write(&config, "# mine\nwarm = 1 # one\nport = 4000\n").unwrap();
    let file = config.to_str().unwrap();
    home.run(&["install", "--kind", "systemd", "--config", file]).await;
    home.asked();
    let said = home.run(&["install", "--kind", "systemd", "--config", file, "--warm", "0", "--port", "4000"]).await;
    assert!(said.contains(&format!("Set in {file}: warm.")) && said.contains("Started it again"), "{said}");
    assert!(home.asked().contains(&"systemctl --user restart claude-max-api.service".to_owned()));
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.starts_with("# mine\nwarm = 0") && text.contains("\nport = 4000\n"), "{text}");
    assert!(std::fs::read_to_string(home.path(UNIT)).unwrap().contains(&format!("serve --config \"{file}\"")));
}

#[tokio::test]
async fn a_service_that_was_uninstalled_is_gone_but_for_its_settings() {
    let home = Home::new();
    for (kind, file, stops) in [
        ("systemd", UNIT, "systemctl --user --quiet disable --now claude-max-api.service"),
        ("launchd", AGENT, "launchctl bootout gui/"),
    ] {
        home.run(&["install", "--kind", kind]).await;
        assert!(home.path(file).exists());
        assert!(home.run(&["status", "--kind", kind]).await.contains("It runs."));
        home.asked();
        let said = home.run(&["uninstall", "--kind", kind]).await;
        assert!(
            said.contains("Stopped it.") && said.contains("Removed ") && said.contains("settings file stays"),
            "{said}"
        );
        assert!(home.asked().iter().any(|asked| asked.starts_with(stops)));
        assert!(!home.path(file).exists());
        assert!(home.run(&["uninstall", "--kind", kind]).await.contains("nothing is installed"));
        let (code, said) = home.fails(&["status", "--kind", kind]).await;
        assert_eq!(code, Some(3));
        assert!(said.contains("Not installed") && said.contains("It does not run."), "{said}");
    }
}

#[tokio::test]
async fn files_are_hidden_from_it_by_whatever_way_this_systemd_has_and_an_operator_hears_if_there_is_none() {
    const WARNING: &str = "its sandbox does not cover files";
    for (system, has_private_users, is_warned) in
        [("new-systemd", false, false), ("old-systemd", true, false), ("no-namespaces", false, true)]
    {
        let home = Home::new();
        std::fs::write(home.path(system), "").unwrap();
        let said = home.run(&["install", "--kind", "systemd"]).await;
        let unit = std::fs::read_to_string(home.path(UNIT)).unwrap();
        assert_eq!(unit.contains("\nPrivateUsers=yes\n"), has_private_users, "{system}: {unit}");
        assert_eq!(said.contains(WARNING), is_warned, "{system}: {said}");
        assert_eq!(home.run(&["print", "--kind", "systemd"]).await, unit, "{system}");
    }
    let home = Home::new();
    std::fs::write(home.path("no-namespaces"), "").unwrap();
    assert!(!home.run(&["install", "--kind", "launchd"]).await.contains(WARNING));
    assert!(!home.asked().iter().any(|asked| asked.starts_with("systemd-run")));
}

#[tokio::test]
async fn launchd_is_told_of_an_agent_and_again_of_one_that_has_changed() {
    let home = Home::new();
    home.run(&["install", "--kind", "launchd"]).await;
    let asked = home.asked();
    let uid = rustix::process::getuid().as_raw();
    let agent = home.path(AGENT);
    let bootstrap = format!("launchctl bootstrap gui/{uid} {}", agent.display());
    assert_eq!(asked, [format!("launchctl print gui/{uid}/claude-max-api"), bootstrap.clone()]);
    home.run(&["install", "--kind", "launchd", "--warm", "0"]).await;
    let bootout = format!("launchctl bootout gui/{uid}/claude-max-api");
    assert_eq!(home.asked()[1..], [bootout, bootstrap]);
}

#[tokio::test]
async fn a_key_is_not_written_into_settings() {
    let home = Home::new();
    let (code, said) = home.fails(&["install", "--kind", "systemd", "--api-key", "sk-secret"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("--api-key-file") && !said.contains("sk-secret"), "{said}");
    assert!(!home.path(UNIT).exists() && !home.path(".config").exists());

    let mut command = home.command(&["install", "--kind", "systemd"]);
    let output =
        command.env("TOWER_CLAUDE_API_KEY", "sk-secret").env("ANTHROPIC_API_KEY", "sk-ant").output().await.unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("TOWER_CLAUDE_API_KEY is set here, and not for the service: use --api-key-file"), "{said}");
    assert!(said.contains("write ANTHROPIC_API_KEY=... into"), "{said}");
    for file in [UNIT, ".config/claude-max-api/config.toml"] {
        assert!(!std::fs::read_to_string(home.path(file)).unwrap().contains("sk-"));
    }
}

#[tokio::test]
async fn a_system_without_systemd_or_without_a_session_is_told_what_to_do() {
    let home = Home::new();
    for said_by_systemd in [
        "Failed to connect to bus: No medium found",
        "Failed to connect to user scope bus via local transport: No such file or directory",
    ] {
        let systemctl = format!("#!/bin/sh\necho '{said_by_systemd}' >&2; exit 1\n");
        std::fs::write(home.path("bin/systemctl"), systemctl).unwrap();
        for args in [["install", "--kind", "systemd"], ["status", "--kind", "systemd"]] {
            let (code, said) = home.fails(&args).await;
            assert_eq!(code, Some(1), "{args:?}");
            assert!(said.contains(said_by_systemd) && said.contains("enable-linger"), "{args:?}: {said}");
        }
        assert!(!home.path(UNIT).exists(), "written without knowing what this systemd can do");
    }

    let mut command = home.command(&["install", "--kind", "systemd"]);
    let output = command.env("PATH", "/nowhere").output().await.unwrap();
    assert!(text(&output.stderr).contains("service print"), "{}", text(&output.stderr));
}

/// Whether a program is there; says that the test is skipped where it is not.
fn is_there(program: &str) -> bool {
    let there =
        std::process::Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_err() {
        // Past the test harness, which would keep it to itself.
        let _ = std::io::stderr().write_all(format!("skipped: no {program}\n").as_bytes());
    }
    there.is_ok()
}

/// systemd's judgement of a unit file.
async fn analyze(directory: &Path, args: &[&str]) -> Output {
    let mut analyze = Command::new("systemd-analyze");
    analyze.arg("--user").args(args).arg(directory.join("claude-max-api.service"));
    analyze.env("XDG_RUNTIME_DIR", directory).output().await.unwrap()
}

#[tokio::test]
async fn systemd_finds_no_fault_with_the_unit_and_its_sandbox_is_tight() {
    if !is_there("systemd-analyze") {
        return;
    }
    let home = Home::new();
    let odd = tempfile::Builder::new().prefix("a %h $HOME \"b\\c").tempdir().unwrap();
    let config = odd.path().join("config.toml");
    let (config, workspace) = (config.to_str().unwrap(), odd.path().to_str().unwrap());
    let args = ["print", "--kind", "systemd", "--config", config, "--mode", "agent", "--workspace", workspace];
    std::fs::write(home.path("old-systemd"), "").unwrap();
    let unit = home.run(&args).await;
    let directory = home.directory.path();
    std::fs::write(directory.join("claude-max-api.service"), unit).unwrap();

    let verified = analyze(directory, &["verify"]).await;
    let said = text(&verified.stdout) + &text(&verified.stderr);
    assert!(verified.status.success() && said.trim().is_empty(), "{said}");
    // A service of the system could be at 2 of 10; a user's own manager cannot drop what it does not have.
    let judged = analyze(directory, &["security", "--offline=yes", "--threshold=60"]).await;
    assert!(judged.status.success(), "{}{}", text(&judged.stdout), text(&judged.stderr));
}

#[tokio::test]
async fn the_agent_is_a_property_list_of_what_launchd_knows() {
    if !is_there("python3") {
        return;
    }
    let home = Home::new();
    let odd = home.path("a & b <c>.toml");
    let plist = home.run(&["print", "--kind", "launchd", "--config", odd.to_str().unwrap()]).await;
    let file = home.path("agent.plist");
    std::fs::write(&file, plist).unwrap();
    let script = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let output = Command::new("python3").args(["-c", script]).arg(file).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let agent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(agent["Label"], "claude-max-api");
    let arguments: Vec<_> = agent["ProgramArguments"].as_array().unwrap().iter().skip(1).collect();
    assert_eq!(arguments, ["serve", "--config", odd.to_str().unwrap()]);
    assert_eq!(agent["KeepAlive"]["SuccessfulExit"], false);
    assert_eq!(agent["RunAtLoad"], true);
    let log = home.path("Library/Logs/claude-max-api.log");
    assert_eq!(agent["StandardErrorPath"], log.to_str().unwrap());
}
