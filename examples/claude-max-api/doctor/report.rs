//! The findings: one line per check, with advice on what to do.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// It works, but there is something the operator should know.
    Note,
    /// It does not work.
    Broken,
}

#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    status: Status,
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "str::is_empty")]
    advice: String,
}

/// All findings so far.
#[derive(Debug)]
pub(super) struct Report {
    /// Whether to print each finding as it comes. Otherwise all are printed as JSON at the end.
    prints: bool,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(prints: bool) -> Self {
        Report { prints, findings: Vec::new() }
    }

    pub(super) fn ok(&mut self, name: &'static str, message: &str) {
        self.add(name, Status::Ok, message, "");
    }

    pub(super) fn note(&mut self, name: &'static str, message: &str, advice: &str) {
        self.add(name, Status::Note, message, advice);
    }

    pub(super) fn broken(&mut self, name: &'static str, message: &str, advice: &str) {
        self.add(name, Status::Broken, message, advice);
    }

    fn add(&mut self, name: &'static str, status: Status, message: &str, advice: &str) {
        if self.prints {
            let word = match status {
                Status::Ok => "ok",
                Status::Note => "note",
                Status::Broken => "broken",
            };
            say(&format!("{word:<8}{name:<13}{message}"));
            if !advice.is_empty() {
                say(&format!("{:21}-> {advice}", ""));
            }
        }
        self.findings.push(Finding { name, status, message: message.to_owned(), advice: advice.to_owned() });
    }

    /// Prints the summary, or the JSON. The exit code is a failure if anything is broken.
    pub(super) fn finish(self) -> ExitCode {
        let worst = self
            .findings
            .iter()
            .map(|finding| finding.status)
            .fold(Status::Ok, |worst, status| if status > worst { status } else { worst });
        if self.prints {
            let broken = self.findings.iter().filter(|finding| finding.status == Status::Broken).count();
            say(match broken {
                0 => "\nNothing is broken.",
                1 => "\nOne thing is broken.",
                _ => "\nSeveral things are broken.",
            });
        } else {
            say(&format!("{:#}", json!({"status": worst, "findings": self.findings})));
        }
        if worst == Status::Broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn say(line: &str) {
    // If standard output is gone, there is nowhere to report it.
    let _ = writeln!(std::io::stdout(), "{line}");
}
