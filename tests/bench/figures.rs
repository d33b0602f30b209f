//! Samples and what is said of them: medians, spread, and the Markdown tables that the README shows.

use std::time::Duration;

/// Times that were measured, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    pub(crate) fn append(&mut self, mut more: Samples) {
        self.0.append(&mut more.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which this share of the samples lies, from 0 to 1. NaN where there are none.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let at = share * last as f64;
        let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The quartiles and the extremes, for people.
    pub(crate) fn spread(&self) -> String {
        let [least, low, high, most] = [0.0, 0.25, 0.75, 1.0].map(|share| self.quantile(share));
        format!("{low:.1} to {high:.1} ({least:.1} to {most:.1})")
    }

    /// The median of what these took more than those, pair by pair.
    pub(crate) fn median_difference(&self, those: &Samples) -> f64 {
        self.differences(those).median()
    }

    /// Between which values that median lies, with 95 % of confidence: by the ranks of a sign test, whatever the
    /// distribution is.
    pub(crate) fn interval_of_median_difference(&self, those: &Samples) -> (f64, f64) {
        let mut sorted = self.differences(those).0;
        sorted.sort_by(f64::total_cmp);
        let (count, half) = (sorted.len() as f64, 1.96 * (sorted.len() as f64).sqrt() / 2.0);
        let at = |rank: f64| sorted.get(rank as usize).or(sorted.last()).copied().unwrap_or(f64::NAN);
        (at((count / 2.0 - half).floor()), at((count / 2.0 + half).ceil()))
    }

    fn differences(&self, those: &Samples) -> Samples {
        Samples(self.0.iter().zip(&those.0).map(|(this, that)| this - that).collect())
    }
}

/// Prints a Markdown table.
pub(crate) fn table(title: &str, head: &[&str], rows: &[Vec<String>]) {
    println!("\n### {title}\n");
    println!("| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// A number from the environment, to run a benchmark for longer or shorter than usual.
pub(crate) fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}
