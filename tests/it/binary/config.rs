//! Settings in a file: what they count for, and what is said of those that are wrong.

use std::path::Path;

use tokio::process::Command;

use super::start::fails;
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

fn write(directory: &Path, text: &str) -> String {
    let path = directory.join("config.toml");
    std::fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

async fn printed(command: &mut Command) -> String {
    let output = command.output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_flag_counts_for_more_than_a_variable_that_for_more_than_the_file_and_that_for_more_than_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let file =
        write(directory.path(), "claude-bin = \"file\"\nwarm = 2\nmax-processes = 3\nport = 4000\ndemo = true\n");
    let print = |args: &[&str], variable: Option<&str>| {
        let mut command = example("claude-max-api");
        command
            .args(["config", "print", "--config", &file])
            .args(args)
            .envs(variable.map(|value| ("CLAUDE_BIN", value)));
        async move { printed(&mut command).await }
    };
    let text = print(&["--warm", "1", "--claude-bin", "flag", "5000"], Some("variable")).await;
    for line in [
        "claude-bin = \"flag\"                      # command line",
        "warm = 1                                 # command line",
        "port = 5000                              # command line",
        "max-processes = 3                        # file",
        "demo = true                              # file",
        "queue-limit = 64                         # default",
        "# workspace is not set",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line}\n{text}");
    }
    assert!(print(&[], Some("variable")).await.contains("claude-bin = \"variable\"                  # environment"));
    assert!(print(&[], None).await.contains("claude-bin = \"file\"                      # file"));
    assert!(print(&["--demo=false"], None).await.contains("demo = false                             # command line"));
}

#[tokio::test]
async fn all_settings_are_printed_as_a_file_that_is_one() {
    let mut command = example("claude-max-api");
    let text = printed(command.args(["config", "print", "--allow-host", "a", "--allow-host", "b"])).await;
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), &text);
    let again = printed(example("claude-max-api").args(["config", "print", "--config", &file])).await;
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('#').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values(&again), values(&text));
}

#[tokio::test]
async fn no_key_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "api-key = \"sk-secret\"\n");
    let text = printed(example("claude-max-api").args(["config", "print", "--config", &file])).await;
    assert!(text.contains("# api-key is set, and not shown") && text.contains("# file"), "{text}");
    let mut command = example("claude-max-api");
    let other = printed(command.args(["config", "print"]).env("TOWER_CLAUDE_API_KEY", "sk-secret")).await;
    assert!(other.contains("# environment"), "{other}");
    assert!(!text.contains("sk-secret") && !other.contains("sk-secret"));
}

#[tokio::test]
async fn the_file_of_this_name_is_found_where_settings_are_kept_and_is_served_by() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("claude-max-api");
    std::fs::create_dir(&home).unwrap();
    let text = format!("port = 0\nwarm = 0\nclaude-bin = {:?}\napi-key-file = \"keys\"\n", stand_in());
    write(&home, &text);
    std::fs::write(home.join("keys"), "ada:sk-1").unwrap();
    let mut command = example("claude-max-api");
    command.env("XDG_CONFIG_HOME", directory.path());
    let server = ServerProcess::start(command).await;
    assert_eq!(server.say("hi").await.status, 401, "the file's keys are wanted");
}

#[tokio::test]
async fn paths_are_from_the_files_directory_and_a_tilde_is_the_home() {
    let directory = tempfile::tempdir().unwrap();
    let text = "workspace = \"work\"\napi-key-file = \"~/keys\"\nclaude-bin = \"claude-2\"\n";
    let file = write(directory.path(), text);
    let mut command = example("claude-max-api");
    let text = printed(command.args(["config", "print", "--config", &file]).env("HOME", "/home/ada")).await;
    let workspace = format!("workspace = {:?} ", directory.path().join("work"));
    for part in [workspace.as_str(), "api-key-file = \"/home/ada/keys\" ", "claude-bin = \"claude-2\" "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_told_with_its_line_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    for (line, fault) in [
        ("max-procesess = 4", "there is no setting max-procesess: did you mean max-processes?"),
        ("max_processes = 4", "there is no setting max_processes: did you mean max-processes?"),
        ("queue = 4", "there is no setting queue: did you mean queue-limit?"),
        ("nonsense = 1", "there is no setting nonsense: `claude-max-api config print` lists all of them"),
        ("config = \"x\"", "there is no setting config: `claude-max-api config print` lists all of them"),
        ("[nonsense]", "there is no setting nonsense: `claude-max-api config print` lists all of them"),
        ("warm = \"two\"", "warm: invalid type: string \"two\", expected usize"),
        ("demo = \"yes\"", "demo: invalid type: string \"yes\", expected a boolean"),
        ("idle-timeout = \"soon\"", "idle-timeout: write a whole number and a unit, such as 90s, 10m or 1h"),
        ("idle-timeout = true", "idle-timeout: write a duration in quotes, such as \"10m\""),
        ("unread-timeout = 0", "unread-timeout: it must be more than 0"),
        ("unknown-model = \"opsu\"", "unknown-model: unknown variant `opsu`, expected `opus` or `reject`"),
        ("max-processes = 0", "max-processes: invalid value: integer `0`, expected a nonzero usize"),
        ("allow-host = \"x\"", "allow-host: invalid type: string \"x\", expected a sequence"),
        ("host = 3", "host: invalid type: integer `3`, expected a string"),
        ("warm = 1 2", "string values must be quoted, expected literal string"),
    ] {
        let file = write(directory.path(), &format!("# settings\nport = 0\n{line}\n"));
        let (code, stderr) = fails(example("claude-max-api").args(["--config", &file])).await;
        assert_eq!((code, stderr), (Some(2), format!("error: {file}, line 3: {fault}\n")));
    }
    for (line, fault) in [("api-key = \"\"", "api-key is empty"), ("max-connections = 0", "max-connections is 0")] {
        let file = write(directory.path(), line);
        let (code, stderr) = fails(example("claude-max-api").args(["--config", &file])).await;
        assert!(code == Some(2) && stderr.contains(fault), "{stderr}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_where_it_was_named() {
    let directory = tempfile::tempdir().unwrap();
    for (text, fault) in [("warm = \n", "line 1"), ("warm = 1\nwarm = 2\n", "line 2: duplicate key")] {
        let file = write(directory.path(), text);
        let (code, stderr) = fails(example("claude-max-api").args(["serve", "--config", &file])).await;
        assert_eq!(code, Some(2));
        assert!(stderr.contains(&format!("{file}, {fault}")), "{stderr}");
    }
    let home = directory.path().join("claude-max-api");
    std::fs::create_dir(&home).unwrap();
    write(&home, "warm = \n");
    let elsewhere = |args: &[&str]| {
        let mut command = example("claude-max-api");
        command.args(args).env("XDG_CONFIG_HOME", directory.path());
        command
    };
    assert_eq!(fails(&mut elsewhere(&["config", "print"])).await.0, Some(2));
    assert!(!printed(&mut elsewhere(&["completions", "bash"])).await.is_empty(), "it has no settings");
    let (code, stderr) = fails(example("claude-max-api").args(["--config", "/nowhere/config.toml"])).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/nowhere/config.toml cannot be read"), "{stderr}");
}
