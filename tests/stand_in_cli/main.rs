//! The stand-in CLI as a program of its own; what it does is told in `stand_in.rs`.

#[path = "stand_in.rs"]
mod stand_in;

fn main() -> std::process::ExitCode {
    stand_in::run(std::env::args().skip(1))
}
