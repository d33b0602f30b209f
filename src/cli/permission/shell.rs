//! The paths that a shell command names, as far as its text shows them.
//!
//! This is no shell: a command may build a path as it runs, and a program that it starts may open any file. It catches what a
//! model writes without meaning harm, and gives the model a reason to act on.

use std::path::{Path, PathBuf};

use once_cell::sync::Lazy;
use regex::Regex;

use super::workspace::Workspace;

/// What separates the words of a command, and the parts of an option or an assignment.
const SEPARATORS: &[char] =
    &[' ', '\t', '\r', '\n', ';', '|', '&', '(', ')', '{', '}', '<', '>', '`', '"', '\'', '=', ',', ':'];

const WILD: &[char] = &['*', '?', '['];

/// How many matches of a pattern are checked; the rest is taken to be like them.
const MAX_MATCHES: usize = 10_000;

/// Harmless files outside every workspace: `2>/dev/null` is in half of all commands.
pub(crate) const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/urandom", "/dev/tty"];

static URL: Lazy<Option<Regex>> = Lazy::new(|| Regex::new(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s;|&()<>`]*").ok());

/// The first word of the command that leaves the workspace.
pub(crate) fn leads_out(command: &str, cwd: &Path, workspace: &Workspace) -> Option<String> {
    let without_urls = match &*URL {
        Some(url) => url.replace_all(command, " "),
        None => command.into(),
    };
    let without_braces = without_urls.replace("${HOME}", "$HOME");
    let words = without_braces.split(SEPARATORS).filter(|word| !word.is_empty());
    words.map(|word| word.replace('\\', "")).find(|word| word_leads_out(word, cwd, workspace))
}

fn word_leads_out(word: &str, cwd: &Path, workspace: &Workspace) -> bool {
    if word.chars().all(|character| character == '/') || DEVICES.contains(&word) {
        return false;
    }
    // `/start/,/end/p` and `/api/v1` look like paths; they count as such if their first part exists.
    if let Some(rest) = word.strip_prefix('/') {
        let first = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
        if !first.contains(WILD) && !Path::new("/").join(first).exists() {
            return false;
        }
    }
    if !word.contains(WILD) {
        return !workspace.holds(cwd, word);
    }
    let Some(pattern) = workspace.expand(word) else { return true };
    matches(cwd, &pattern).iter().any(|path| !workspace.holds(cwd, &path.to_string_lossy()))
}

/// The files that a pattern matches. A bracket counts as any character, which matches too many rather than too few.
fn matches(cwd: &Path, pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![cwd.to_owned()];
    for part in pattern.components() {
        let part = part.as_os_str().to_string_lossy();
        if !part.contains(WILD) {
            found.iter_mut().for_each(|path| path.push(&*part));
            continue;
        }
        let Some(part) = expression(&part) else { return found };
        let entries = |directory: &PathBuf| std::fs::read_dir(directory).into_iter().flatten().flatten();
        let fits = |name: &std::ffi::OsString| part.is_match(&name.to_string_lossy());
        let named = found.iter().flat_map(entries).filter(|entry| fits(&entry.file_name()));
        found = named.map(|entry| entry.path()).take(MAX_MATCHES).collect();
    }
    found
}

fn expression(pattern: &str) -> Option<Regex> {
    let mut expression = String::from("^(?s)");
    for character in pattern.chars() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => {
                expression.push_str(".*");
                return Regex::new(&expression).ok();
            }
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    Regex::new(&expression).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(command: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("ws");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("in.txt"), "").unwrap();
        std::fs::write(directory.path().join("out.txt"), "").unwrap();
        symlink("../out.txt", root.join("link.txt")).unwrap();
        symlink("..", root.join("up")).unwrap();
        let workspace = Workspace::at(&root, Some(PathBuf::from("/home/robin"))).unwrap();
        leads_out(&command.replace("ROOT", workspace.root().to_str().unwrap()), workspace.root(), &workspace)
    }

    #[test]
    fn commands_that_stay_in_the_workspace_lead_nowhere_else() {
        for command in [
            "ls",
            "ls -la sub",
            "cat in.txt 2>/dev/null",
            "cat ROOT/in.txt",
            "cat sub/../in.txt",
            "ls *.md",
            "ls s*/*",
            "sed -n '/start/,/end/p' in.txt",
            "grep -rn '/api/v1' .",
            "curl https://example.com/etc/passwd",
            "tr / _",
            "awk -F/ '{print $2}' in.txt",
            "git diff HEAD~1",
            "X=1 make test",
            "echo 50% && echo ~~",
            "cat i[n].txt",
            "python3 -m http.server",
            "",
        ] {
            let expected = if command.contains("~~") { Some("~~".to_owned()) } else { None };
            assert_eq!(found(command), expected, "{command}");
        }
    }

    #[test]
    fn a_word_that_leads_out_is_found_wherever_it_stands() {
        for (command, word) in [
            ("cat /etc/passwd", "/etc/passwd"),
            ("cat ../out.txt", "../out.txt"),
            ("cd .. && ls", ".."),
            ("cd sub; cat ../../out.txt", "../../out.txt"),
            ("echo x > /tmp/y", "/tmp/y"),
            ("echo x >/tmp/y", "/tmp/y"),
            ("cat \"/etc/passwd\"", "/etc/passwd"),
            ("cat /e\\tc/passwd", "/etc/passwd"),
            ("grep --file=/etc/passwd x", "/etc/passwd"),
            ("PATH=.:/etc ls", "/etc"),
            ("cat $(echo /etc/passwd)", "/etc/passwd"),
            ("cat `echo ../out.txt`", "../out.txt"),
            ("python3 -c \"print(open('/etc/passwd').read())\"", "/etc/passwd"),
            ("cat ~/.claude/settings.json", "~/.claude/settings.json"),
            ("cat $HOME/x ${HOME}/y", "$HOME/x"),
            ("cat ~root/x", "~root/x"),
            ("cat link.txt", "link.txt"),
            ("cat up/out.txt", "up/out.txt"),
            ("cat lin?.txt", "lin?.txt"),
            ("cat u*/o*", "u*/o*"),
            ("cat l[i]nk.txt", "l[i]nk.txt"),
            ("cat {in,link}.txt {link.txt,in.txt}", "link.txt"),
            ("cat /etc/pass*", "/etc/pass*"),
            ("ls ../*", "../*"),
        ] {
            assert_eq!(found(command).as_deref(), Some(word), "{command}");
        }
    }
}
