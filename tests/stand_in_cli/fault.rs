//! Faults in the middle of a turn: the process dies, hangs, or breaks off where a certain line should have come.

use std::time::Duration;

/// What happens instead of one line of a turn.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    kind: Kind,
    /// How many lines of the turn come before.
    after: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Crash,
    Hang,
    /// Half the line, and the end.
    Half,
}

impl Fault {
    /// Reads `crash-at N`, `hang-at N` and `half-at N`, and says what else the directive asks for.
    pub(crate) fn parse(directive: &str) -> Option<(Fault, &str)> {
        let mut words = directive.splitn(3, ' ');
        let kind = match words.next()? {
            "crash-at" => Kind::Crash,
            "hang-at" => Kind::Hang,
            "half-at" => Kind::Half,
            _ => return None,
        };
        let after = words.next()?.parse().ok()?;
        Some((Fault { kind, after }, words.next().unwrap_or_default()))
    }

    /// Counts one line. At the one that it is for, says how much of the line is still to be written.
    pub(crate) fn at_line(&mut self, length: usize) -> Option<usize> {
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        Some(if matches!(self.kind, Kind::Half) { length / 2 } else { 0 })
    }

    /// Does what it is for.
    pub(crate) fn strike(self) -> ! {
        if matches!(self.kind, Kind::Hang) {
            // Nobody is patient for so long, and one who is gets a crash.
            std::thread::sleep(Duration::from_secs(600));
        }
        eprintln!("stand-in: crashed, as the prompt asked");
        std::process::exit(1);
    }
}
