//! What it can be asked to do beside serving.

use super::start::fails;
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

#[tokio::test]
async fn to_serve_is_what_happens_without_a_command_and_takes_the_same_flags() {
    for before in [&[][..], &["serve"]] {
        let mut command = example("claude-max-api");
        command.args(before).args(["0", "--warm", "0"]).env("CLAUDE_BIN", stand_in());
        let server = ServerProcess::start(command).await;
        assert_eq!(server.say("hi").await.content(), "echo: hi");
    }
}

#[tokio::test]
async fn flags_of_serving_before_another_command_are_refused() {
    let (code, stderr) = fails(example("claude-max-api").args(["--demo", "completions", "bash"])).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[tokio::test]
async fn shells_complete_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = example("claude-max-api").args(["completions", shell]).output().await.unwrap();
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["claude-max-api", "serve", "max-processes"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn bash_completes_a_flag() {
    let script = example("claude-max-api").args(["completions", "bash"]).output().await.unwrap().stdout;
    let mut bash = tokio::process::Command::new("bash");
    let complete = r#"
        function=$(complete -p claude-max-api | sed 's/.*-F \([^ ]*\) .*/\1/')
        COMP_WORDS=(claude-max-api serve --max-p) COMP_CWORD=2
        $function claude-max-api --max-p serve
        printf '%s ' "${COMPREPLY[@]}""#;
    bash.arg("-c").arg(String::from_utf8(script).unwrap() + "\n" + complete);
    let output = bash.output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--max-processes ");
}
