//! The directories of processes: one of its own for each, and one in which all of them work.
//!
//! Its own is private, locked for as long as this program runs, and has its pid in it.
//!
//! The lock tells a later program which directories belong to one that is gone. If only that program is killed, none are
//! left, thanks to `orphans`; some are if its shell is killed with it, as by an out-of-memory killer that takes a whole group.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// How their names begin; the pool's mark follows.
const PREFIX: &str = "tower-claude-own-";

/// How their names begin until they are locked.
const UNLOCKED: &str = "tower-claude-new-";

/// A directory that no other user can read, removed when this is dropped.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    path: PathBuf,
    _lock: File,
}

impl PrivateDirectory {
    /// One for the pool with this mark. The mark is in its name only once it is locked, so it is never taken for abandoned.
    pub(super) fn new(mark: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), mark)
    }

    fn within(temporary: &Path, mark: &str) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let unlocked = builder.prefix(UNLOCKED).permissions(Permissions::from_mode(0o700)).tempdir_in(temporary)?;
        let lock = File::open(unlocked.path())?;
        lock.lock()?;
        let path = unlocked.path().with_file_name(format!("{PREFIX}{mark}-{}", Uuid::new_v4().simple()));
        std::fs::rename(unlocked.path(), &path)?;
        // It is not under this name any more.
        let _ = unlocked.keep();
        Ok(PrivateDirectory { path, _lock: lock })
    }

    /// Writes down whose it is.
    pub(super) fn note(&self, pid: u32) {
        // If this fails, some harmless files stay behind.
        let _ = std::fs::write(self.path.join("pid"), format!("{pid}\n"));
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The directory in which processes work where the operator names none: empty, private, and the same for all processes and from
/// one run of this program to the next. The CLI tells the model where it works, and the API takes back the model's thinking only
/// with the same words before it. The last one to be dropped removes it.
#[derive(Debug)]
pub(super) struct WorkingDirectory {
    pub(super) path: PathBuf,
    /// Shared by all that work in it.
    lock: File,
}

impl WorkingDirectory {
    pub(super) fn new() -> io::Result<Self> {
        let user = rustix::process::geteuid().as_raw();
        let path = std::env::temp_dir().join(format!("tower-claude-{user}"));
        loop {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Never through a link, and nobody else's: anyone who can write here could have made it.
            let Some(found) = found(path.symlink_metadata())? else { continue };
            if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
                let message = format!("{} is not a private directory of this user: remove it", path.display());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
            }
            let Some(lock) = self::found(File::open(&path))? else { continue };
            lock.lock_shared()?;
            // Another process may have removed it meanwhile.
            match self::found(path.symlink_metadata())? {
                Some(now) if now.ino() == lock.metadata()?.ino() => return Ok(WorkingDirectory { path, lock }),
                _ => {}
            }
        }
    }
}

impl Drop for WorkingDirectory {
    fn drop(&mut self) {
        if self.lock.unlock().is_ok() && self.lock.try_lock().is_ok() {
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// `None` where there is nothing.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// The marks of pools none of whose directories is locked: their programs are gone. Only this user's directories count.
pub(super) fn abandoned(temporary: &Path) -> Vec<String> {
    let Ok(entries) = temporary.read_dir() else { return Vec::new() };
    let mut in_use: HashMap<String, bool> = HashMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(mark) = name.to_str().and_then(mark_of) else { continue };
        // Never through a link: anyone who can write here could have made it.
        let is_ours = entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == rustix::process::geteuid().as_raw());
        if is_ours {
            let lock = File::open(entry.path()).ok().filter(|directory| directory.try_lock().is_ok());
            // If it is gone by now, it was in use until then.
            let is_abandoned = lock.is_some() && entry.path().exists();
            *in_use.entry(mark.to_owned()).or_default() |= !is_abandoned;
        }
    }
    in_use.into_iter().filter(|(_, in_use)| !in_use).map(|(mark, _)| mark).collect()
}

/// The mark in a directory's name.
fn mark_of(name: &str) -> Option<&str> {
    let (mark, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    (mark.len() == 32 && mark.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(mark)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn only_what_looks_like_a_directory_of_a_pool_has_a_mark() {
        let mark = "0123456789abcdef0123456789abcdef";
        assert_eq!(mark_of(&format!("{PREFIX}{mark}-a1B2c3")), Some(mark));
        for other in [format!("{PREFIX}{mark}"), format!("{PREFIX}-x"), format!("{PREFIX}{}*-x", &mark[1..])] {
            assert_eq!(mark_of(&other), None, "{other}");
        }
    }

    #[test]
    fn a_pool_is_gone_when_none_of_its_directories_is_locked_and_a_link_is_no_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let [gone, there, linked] = ["a", "b", "c"].map(|letter| letter.repeat(32));
        let path = |mark: &str, rest: &str| temporary.path().join(format!("{PREFIX}{mark}-{rest}"));
        for path in [path(&gone, "1"), path(&gone, "2"), path(&there, "1"), path(&there, "2")] {
            std::fs::create_dir(path).unwrap();
        }
        std::os::unix::fs::symlink(path(&gone, "1"), path(&linked, "1")).unwrap();
        let lock = File::open(path(&there, "2")).unwrap();
        lock.lock().unwrap();
        assert_eq!(abandoned(temporary.path()), [gone]);
    }

    #[test]
    fn a_directory_that_is_being_made_is_never_taken_for_abandoned() {
        let temporary = tempfile::tempdir().unwrap();
        let mark = Uuid::new_v4().simple().to_string();
        let made = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2000 {
                    drop(PrivateDirectory::within(temporary.path(), &mark).unwrap());
                }
                made.store(true, Ordering::Relaxed);
            });
            while !made.load(Ordering::Relaxed) {
                assert_eq!(abandoned(temporary.path()), [""; 0]);
            }
        });
    }

    #[test]
    fn a_directory_is_in_use_until_it_is_gone() {
        let mark = Uuid::new_v4().simple().to_string();
        let directory = PrivateDirectory::new(&mark).unwrap();
        assert_eq!(directory.path.metadata().unwrap().mode() & 0o777, 0o700);
        let (temporary, path) = (directory.path.parent().unwrap().to_owned(), directory.path.to_owned());
        assert!(!abandoned(&temporary).contains(&mark));
        drop(directory);
        assert!(!path.exists());
    }
}
