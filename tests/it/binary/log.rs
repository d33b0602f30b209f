//! A log that cannot be written: answers go on without it.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::support::answer::Answer;
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

/// A server that logs all it can, to there.
async fn logging_to(stderr: impl Into<Stdio>) -> ServerProcess {
    let mut command = example("claude-max-api");
    command.arg("0").env("CLAUDE_BIN", stand_in()).env("RUST_LOG", "trace").stderr(stderr);
    ServerProcess::start(command).await
}

/// Asks it more than once, plain and streamed.
async fn answers(server: &ServerProcess) {
    for text in ["one", "two", "three"] {
        let answer = server.say(text).await;
        assert_eq!((answer.status.as_u16(), answer.content()), (200, format!("echo: {text}")));
        let streamed = json!({"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": text}]});
        let answer = Answer::of(server.start_chat(&streamed).await).await;
        assert!(!answer.chunks().is_empty());
    }
    // What is wrong with a request is logged as well.
    assert_eq!(server.chat(&json!({"model": "sonnet"})).await.status, 400);
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn to_a_closed_pipe() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    answers(&logging_to(writer).await).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn to_a_full_disk() {
    answers(&logging_to(File::options().write(true).open("/dev/full").unwrap()).await).await;
}

#[tokio::test]
async fn to_a_pipe_that_is_full_and_never_read() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    for size in [4096, 1] {
        while writer.write(&vec![b'\n'; size]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    answers(&logging_to(writer).await).await;
    drop(reader);
}
