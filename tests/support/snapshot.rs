//! Compares text with a file under `snapshots/`, which a test names by its path there: `http/plain_text`.

/// The directory of the snapshot with this path, and its file name.
pub(crate) fn settings(path: &str) -> (insta::Settings, &str) {
    let (folder, name) = path.rsplit_once('/').expect("a snapshot is named with its folder");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("{}/snapshots/{folder}", env!("CARGO_MANIFEST_DIR")));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    (settings, name)
}

/// Compares a text, and a sentence that tells a reviewer what to look for in it, with the snapshot of this path.
macro_rules! assert_snapshot {
    ($path:expr, $sentence:expr, $text:expr $(,)?) => {{
        let (settings, name) = $crate::support::snapshot::settings($path);
        let text = format!("{}\n\n{}", $sentence, $text.trim_end());
        settings.bind(|| insta::assert_snapshot!(name, text));
    }};
}

pub(crate) use assert_snapshot;
