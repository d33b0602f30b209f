//! The keys that clients must send: one from the flag or the environment, and a file with a name for each.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::flags::Flags;

/// The keys that let clients in.
#[derive(Default)]
pub(crate) struct Keys {
    /// That of `--api-key`, and those without a name in the file.
    pub(crate) unnamed: Vec<String>,
    /// Name and key.
    pub(crate) named: Vec<(String, String)>,
}

impl Keys {
    /// Reads the keys that the flags name, and adds to `warnings` what is unwise about them.
    pub(crate) fn read(flags: &Flags, warnings: &mut Vec<String>) -> Result<Keys, String> {
        if flags.api_key.as_deref() == Some("") {
            return Err("api-key is empty: write a key, or leave it out".to_owned());
        }
        let mut keys = Keys { unnamed: flags.api_key.iter().cloned().collect(), ..Keys::default() };
        if let Some(path) = &flags.api_key_file {
            let text = read_file(path, warnings)?;
            keys.add(&text).map_err(|problem| format!("--api-key-file {}{problem}", path.display()))?;
        }
        Ok(keys)
    }

    /// Whether clients get in without a key.
    pub(crate) fn is_empty(&self) -> bool {
        self.unnamed.is_empty() && self.named.is_empty()
    }

    /// Adds the keys of a file. Errors quote none of its text, which may be a key.
    fn add(&mut self, text: &str) -> Result<(), String> {
        let before = self.unnamed.len();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, key) = match line.split_once(':') {
                Some((name, key)) => (Some(name.trim()), key.trim()),
                None => (None, line),
            };
            let wrong = |what: &str| Err(format!(", line {number}: {what}. Write `name:key`"));
            if name.is_some_and(|name| !is_name(name)) {
                return wrong("a name is up to 64 letters, digits and any of . _ - @");
            }
            if key.is_empty() {
                return wrong("there is no key");
            }
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return wrong("a key is of ASCII letters, digits and signs, without a space");
            }
            if self.has(key) {
                return wrong("this key is there already, and each must be someone's");
            }
            match name {
                Some(name) => self.named.push((name.to_owned(), key.to_owned())),
                None => self.unnamed.push(key.to_owned()),
            }
        }
        if self.named.is_empty() && self.unnamed.len() == before {
            return Err(" has no key in it: write a line `name:key` for each of those who may use this server".into());
        }
        Ok(())
    }

    fn has(&self, key: &str) -> bool {
        self.unnamed.iter().chain(self.named.iter().map(|(_, key)| key)).any(|known| known == key)
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

fn read_file(path: &Path, warnings: &mut Vec<String>) -> Result<String, String> {
    let read = || {
        let mut file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>((text, mode))
    };
    let shown = path.display();
    let (text, mode) = read().map_err(|error| format!("--api-key-file {shown} cannot be read: {error}"))?;
    if mode & 0o004 != 0 {
        warnings.push(format!("every user of this machine can read the keys in {shown}: chmod 600 {shown}"));
    }
    Ok(text)
}
