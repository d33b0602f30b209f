//! Fields of the request: limits, stop texts, formats, effort, `n`; and what an answer carries beside its text.
