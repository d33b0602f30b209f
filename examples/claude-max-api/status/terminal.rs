//! The report for a terminal.

use std::fmt::Write;

use serde_json::{Map, Value};

/// How many characters a bar has.
const BAR: usize = 24;

/// The summary of a report, in lines.
pub(super) fn summary(report: &Value, url: &str) -> String {
    let (claude, hour) = (&report["claude"], &report["last_hour"]);
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let mut out = String::new();
    let mut facts = vec![text(&claude["status"]).to_owned(), format!("{} mode", text(&report["server"]["mode"]))];
    if let Some(version) = claude["claude_code_version"].as_str() {
        facts.push(format!("Claude Code {version}"));
    }
    facts.push(format!("up {}", span(count(&report["uptime_seconds"]))));
    line(&mut out, format_args!("claude-max-api {} at {url}", text(&report["server"]["version"])));
    line(&mut out, format_args!("{}\n", facts.join(" · ")));

    let (requests, failed, cancelled) = (count(&hour["requests"]), count(&hour["failed"]), count(&hour["cancelled"]));
    line(&mut out, format_args!("Requests     {requests} in the last hour; {failed} failed, {cancelled} cancelled"));
    if let (Some(p50), Some(p95)) = (hour["first_token_ms"]["p50"].as_u64(), hour["first_token_ms"]["p95"].as_u64()) {
        line(&mut out, format_args!("First token  {p50} ms in the median, 95% within {p95} ms"));
    }
    let (input, output) = (count(&hour["input_tokens"]), count(&hour["output_tokens"]));
    if let Some(share) = hour["cache_share"].as_f64() {
        let share = (share * 100.0).round();
        line(&mut out, format_args!("Tokens       {input} in, {share}% of them from the cache; {output} out"));
    }
    let (processes, queue) = (&claude["processes"], &claude["queue"]);
    let states = ["busy", "live", "parked", "warm"].map(|state| format!("{} {state}", count(&processes[state])));
    let (total, max) = (count(&processes["total"]), count(&processes["max"]));
    line(&mut out, format_args!("Processes    {}; {total} of {max} places taken", states.join(", ")));
    if let Some(held) = claude["memory"]["held_bytes"].as_u64() {
        let most = claude["memory"]["max_bytes"].as_u64().map(|most| format!(" of {}", megabytes(most)));
        line(&mut out, format_args!("Memory       {}{}", megabytes(held), most.unwrap_or_default()));
    }
    line(&mut out, format_args!("Queue        {} of {}", count(&queue["length"]), count(&queue["max"])));

    let now = report["now"].as_f64().unwrap_or(0.0);
    section(
        &mut out,
        "Plan",
        claude["subscription"].as_object().into_iter().flat_map(Map::iter).map(|(name, window)| {
            let used = window["utilization"].as_f64();
            let bar = "█".repeat((used.unwrap_or(0.0).clamp(0.0, 1.0) * BAR as f64).round() as usize);
            let used = used.map_or_else(|| "?".to_owned(), |used| format!("{}%", (used * 100.0).round()));
            let left = window["resets_at"].as_f64().map_or(0.0, |at| at - now);
            let reset =
                if left > 0.0 { format!("begins anew in {}", span(left as u64)) } else { "has begun anew".to_owned() };
            format!("{name:<18} {bar:░<BAR$} {used:>4}  {}, {reset}", text(&window["status"]))
        }),
    );
    if let Some(overage) = claude["overage"].as_bool() {
        let words =
            if overage { "extra usage is drawn on: it may be charged for" } else { "no extra usage is drawn on" };
        line(&mut out, format_args!("  {words}"));
    }
    section(
        &mut out,
        "Conversations",
        items(&claude["conversations"]).map(|held| {
            format!(
                "{:<7} {:<24} {:<17} {:>4} answers, {:>8} tokens, silent for {}",
                text(&held["state"]),
                text(&held["model"]),
                held["door"].as_str().unwrap_or("-"),
                count(&held["turns"]),
                count(&held["tokens"]),
                span(count(&held["silent_seconds"])),
            )
        }),
    );
    section(
        &mut out,
        "Failures in the last hour",
        items(&hour["errors"]).map(|error| {
            let ago = (now - error["last_at"].as_f64().unwrap_or(now)).max(0.0);
            format!(
                "{}× {} {}, {} ago. {}",
                count(&error["count"]),
                count(&error["status"]),
                text(&error["code"]),
                span(ago as u64),
                text(&error["advice"]),
            )
        }),
    );
    out
}

fn section(out: &mut String, heading: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        line(out, format_args!("\n{heading}"));
        lines.for_each(|text| line(out, format_args!("  {text}")));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Nothing can fail in a string.
    let _ = writeln!(out, "{text}");
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}
