//! What a large request costs before Claude Code has heard it: time and memory for each of its bytes, for the worst that
//! a client can send. Fails where either grows faster than the request.
//!
//! Each request goes through the whole stack, from the bytes of its body to the lines that a process is told, in a
//! process of its own: this program again, which is the stand-in CLI as well.
//!
//! ```text
//! cargo bench --bench decode
//! INPUTS=picture,tiny SIZES=1,32 cargo bench --bench decode
//! ```

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

#[path = "decode/inputs.rs"]
mod inputs;
#[path = "decode/measure.rs"]
mod measure;
mod procfs;
#[path = "../../examples/stand-in-cli/stand_in.rs"]
mod stand_in;

use std::process::{Command, ExitCode};

use inputs::INPUTS;
use measure::{BODY, MEASURE, Measured, STAND_IN};

/// The sizes of the requests, in millions of bytes.
const SIZES: &str = "1,2,4,8,16,32";

/// How much more time a byte may take in a larger request than in a smaller one.
const MOST_GROWTH: f64 = 2.0;

/// How many bytes of memory a request may take for each of its own, beside what the CLI is sent.
const MOST_MEMORY: f64 = 4.0;

/// What the first large request takes whatever its size: code that is read in, and the stacks and arenas of its threads. 4.7 MB
/// were measured.
const FREE_MEMORY: f64 = 8e6;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [STAND_IN, ..] => stand_in::run(args.into_iter().skip(1)),
        [BODY, input, size] => measure::write_body(input, size.parse().unwrap()),
        [MEASURE, input, size] => measure::print(input, size.parse().unwrap()),
        _ => compare(),
    }
}

/// Measures every input in every size, prints the table, and says what is over a limit.
fn compare() -> ExitCode {
    let wanted = std::env::var("INPUTS").unwrap_or_default();
    let wanted = |name: &str| wanted.is_empty() || wanted.split(',').any(|part| name.contains(part));
    let sizes: Vec<usize> = std::env::var("SIZES")
        .unwrap_or_else(|_| SIZES.to_owned())
        .split(',')
        .map(|size| size.parse().unwrap())
        .collect();
    let titles: Vec<String> = sizes.iter().map(|size| format!("{size} MB")).collect();
    println!(
        "Nanoseconds of CPU for each byte, and the most growth; bytes of memory for each byte beside what is sent.\n"
    );
    println!("| input | {} | growth | memory | goes on when the client goes |", titles.join(" | "));
    println!("|{}", "---|".repeat(sizes.len() + 4));
    let mut over = Vec::new();
    for input in INPUTS.iter().filter(|input| wanted(input.name)) {
        let measured: Vec<Measured> = sizes.iter().map(|size| measured(input.name, *size)).collect();
        let growth = measure::growth(&measured);
        let memory = measured.iter().map(Measured::memory).collect::<Vec<_>>();
        let times: Vec<String> = measured.iter().map(|of| format!("{:.1}", of.time_per_byte())).collect();
        let most = measured.iter().map(|of| of.memory()).fold(0.0, f64::max);
        let last = measured.last().unwrap();
        println!(
            "| {} | {} | {growth:.2} | {:.1} to {most:.1} | {} ms |",
            input.name,
            times.join(" | "),
            memory.iter().copied().fold(f64::INFINITY, f64::min),
            last.after_hang_up.as_millis()
        );
        if growth > MOST_GROWTH {
            over.push(format!("{}: a byte takes {growth:.2} times as long in a larger request", input.name));
        }
        for (size, of) in sizes.iter().zip(&measured) {
            if of.peak > of.bytes * MOST_MEMORY + of.sent + FREE_MEMORY {
                over.push(format!(
                    "{} of {size} MB: {:.0} MB of memory, {:.0} MB sent",
                    input.name,
                    of.peak / 1e6,
                    of.sent / 1e6
                ));
            }
        }
    }
    for line in &over {
        println!("\nOVER THE LIMIT: {line}");
    }
    if over.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measured(input: &str, size: usize) -> Measured {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args([MEASURE, input, &size.to_string()]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    Measured::parse(&printed).unwrap_or_else(|| {
        panic!("{input} of {size} MB: {printed:?} {}", String::from_utf8_lossy(&output.stderr));
    })
}
