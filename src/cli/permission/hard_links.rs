//! Files in the workspace with hard links elsewhere: to read or change the one is to read or change the other.
//!
//! A file system does not say where a file's other names are, only how many it has. If the workspace has fewer, the others are
//! outside.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::{Override, OverrideBuilder};

/// The most files that are looked at. Half a million take about a second.
const MAX_FILES: usize = 500_000;

/// Why a path must not be read or changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// This file also has a name outside.
    Named(PathBuf),
    /// There are too many files to tell.
    TooMany,
}

/// Whether the file at this path also has a name outside `root`, or, for a directory, any file that Grep with this glob would
/// read. Symbolic links are not followed.
pub(crate) fn elsewhere(path: &Path, root: &Path, glob: Option<&str>) -> Option<Elsewhere> {
    elsewhere_of(path, root, glob, MAX_FILES)
}

fn elsewhere_of(path: &Path, root: &Path, glob: Option<&str>, most: usize) -> Option<Elsewhere> {
    let (Ok(path), Ok(metadata)) = (path.canonicalize(), path.metadata()) else { return None };
    let mut linked = HashMap::new();
    if metadata.is_dir() {
        let searched = files(&path, globs(glob.unwrap_or_default()));
        for (number, (path, metadata)) in searched.enumerate() {
            if number == most {
                return Some(Elsewhere::TooMany);
            }
            if metadata.nlink() > 1 {
                let first = linked.entry((metadata.dev(), metadata.ino())).or_insert((path.clone(), metadata.nlink()));
                first.0 = path.min(std::mem::take(&mut first.0));
            }
        }
    } else if metadata.is_file() && metadata.nlink() > 1 {
        linked.insert((metadata.dev(), metadata.ino()), (path, metadata.nlink()));
    }
    if linked.is_empty() {
        return None;
    }
    for (number, (_, metadata)) in files(root, None).enumerate() {
        if number == most {
            return Some(Elsewhere::TooMany);
        }
        let Some((_, names)) = linked.get_mut(&(metadata.dev(), metadata.ino())) else { continue };
        *names -= 1;
        if *names == 0 {
            linked.remove(&(metadata.dev(), metadata.ino()));
            if linked.is_empty() {
                return None;
            }
        }
    }
    linked.into_values().map(|(path, _)| path).min().map(Elsewhere::Named)
}

/// The files in a directory: all of them or, with globs, those that `rg --hidden` searches, which is how Grep runs it
/// (2.1.328).
fn files(directory: &Path, searched: Option<Override>) -> impl Iterator<Item = (PathBuf, Metadata)> {
    let mut walk = WalkBuilder::new(directory);
    walk.standard_filters(searched.is_some()).hidden(false).follow_links(false);
    if let Some(globs) = searched {
        walk.add_custom_ignore_filename(".rgignore").overrides(globs);
    }
    walk.build().flatten().filter_map(|entry| {
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        Some((entry.into_path(), metadata))
    })
}

/// The globs that Grep passes on. It skips Git's own directory, where a local clone has hard links.
///
/// `None` if that depends on where `rg` runs: what a glob names is searched even if it is ignored.
fn globs(glob: &str) -> Option<Override> {
    if glob.contains('/') {
        return None;
    }
    let mut globs = OverrideBuilder::new(".");
    globs.add("!.git").ok()?;
    for part in glob.split(|character: char| character.is_whitespace() || character == '\u{feff}') {
        let whole = part.contains('{') && part.contains('}');
        for glob in part.split(|character| character == ',' && !whole).filter(|glob| !glob.is_empty()) {
            globs.add(glob).ok()?;
        }
    }
    globs.build().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, hard_link, write};

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        /// A workspace with some files, and one beside it.
        fn new() -> Self {
            let place = Place(tempfile::tempdir().unwrap());
            for directory in ["ws/sub/deep", "ws/.git/objects", "ws/.hidden", "ws/ignored", "ws/searched"] {
                create_dir_all(place.path(directory)).unwrap();
            }
            for file in ["ws/in.txt", "ws/sub/deep/in.txt", "out.txt"] {
                write(place.path(file), file).unwrap();
            }
            place
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn link(&self, from: &str, to: &str) {
            hard_link(self.path(from), self.path(to)).unwrap();
        }

        fn elsewhere(&self, path: &str) -> Option<Elsewhere> {
            self.searched(path, None)
        }

        fn searched(&self, path: &str, glob: Option<&str>) -> Option<Elsewhere> {
            elsewhere(&self.path(path), &self.path("ws"), glob)
        }

        fn named(&self, path: &str) -> Option<Elsewhere> {
            Some(Elsewhere::Named(self.path(path).canonicalize().unwrap()))
        }
    }

    #[test]
    fn what_has_one_name_is_nowhere_else() {
        let place = Place::new();
        for path in ["ws", "ws/in.txt", "ws/sub", "ws/not-there", "ws/in.txt/not-there"] {
            assert_eq!(place.elsewhere(path), None, "{path}");
        }
    }

    #[test]
    fn what_has_all_its_names_in_the_workspace_is_nowhere_else() {
        let place = Place::new();
        place.link("ws/in.txt", "ws/sub/second.txt");
        place.link("ws/in.txt", "ws/.hidden/third.txt");
        place.link("ws/sub/deep/in.txt", "ws/.git/objects/a");
        write(place.path("ws/.ignore"), "third.txt").unwrap();
        for path in ["ws", "ws/in.txt", "ws/sub", "ws/sub/second.txt", "ws/sub/deep"] {
            assert_eq!(place.elsewhere(path), None, "{path}");
        }
    }

    #[test]
    fn what_has_a_name_outside_is_elsewhere() {
        let place = Place::new();
        place.link("out.txt", "ws/sub/deep/link.txt");
        place.link("out.txt", "ws/sub/deep/more.txt");
        let found = place.named("ws/sub/deep/link.txt");
        for path in ["ws", "ws/sub", "ws/sub/deep", "ws/sub/deep/link.txt"] {
            assert_eq!(place.elsewhere(path), found, "{path}");
        }
        for path in ["ws/in.txt", "ws/sub/deep/in.txt", "ws/.hidden"] {
            assert_eq!(place.elsewhere(path), None, "{path}");
        }
        place.link("ws/in.txt", "second.txt");
        assert_eq!(place.elsewhere("ws/in.txt"), place.named("ws/in.txt"));
    }

    #[test]
    fn a_search_of_a_directory_reads_hidden_files_and_none_that_are_ignored_or_gits() {
        let place = Place::new();
        for directory in [".git/objects", "ignored", "searched"] {
            place.link("out.txt", &format!("ws/{directory}/link.txt"));
        }
        write(place.path("ws/.gitignore"), "ignored\n").unwrap();
        write(place.path("ws/.rgignore"), "searched\n").unwrap();
        assert_eq!(place.elsewhere("ws"), None);
        for file in ["ws/.git/objects/link.txt", "ws/ignored/link.txt", "ws/searched/link.txt"] {
            assert_eq!(place.elsewhere(file), place.named(file), "named itself");
        }
        assert_eq!(place.elsewhere("ws/.git"), place.named("ws/.git/objects/link.txt"), "searched itself");
        for glob in ["", "*.txt", "*.{txt,md}", "a,b", "!*.md", "!sub", "*.txt !ignored,!.git"] {
            assert_eq!(place.searched("ws", Some(glob)), None, "{glob}");
        }
        for (glob, first) in [
            ("*", ".git/objects"),
            ("ignored *.txt", "ignored"),
            ("a,ignored,link.txt", "ignored"),
            ("{ignored,link.txt}", "ignored"),
            ("a\u{feff}ignored\tlink.txt", "ignored"),
            ("* !.git", "ignored"),
            ("* !.git,!ignored", "searched"),
            ("sub/**", ".git/objects"),
            ("[", ".git/objects"),
        ] {
            assert_eq!(place.searched("ws", Some(glob)), place.named(&format!("ws/{first}/link.txt")), "{glob}");
        }
        place.link("out.txt", "ws/.hidden/link.txt");
        assert_eq!(place.elsewhere("ws"), place.named("ws/.hidden/link.txt"));
    }

    #[test]
    fn links_of_the_other_kind_are_not_followed() {
        let place = Place::new();
        create_dir_all(place.path("beside")).unwrap();
        place.link("out.txt", "beside/out.txt");
        std::os::unix::fs::symlink("../beside", place.path("ws/link")).unwrap();
        std::os::unix::fs::symlink("../out.txt", place.path("ws/link.txt")).unwrap();
        assert_eq!(place.elsewhere("ws"), None);
    }

    #[test]
    fn where_there_are_too_many_files_nobody_can_tell() {
        let place = Place::new();
        let of = |path: &str, most| elsewhere_of(&place.path(path), &place.path("ws"), None, most);
        assert_eq!((of("ws", 1), of("ws", 2)), (Some(Elsewhere::TooMany), None));
        assert_eq!(
            (of("ws/in.txt", 0), of("ws/sub", 1)),
            (None, None),
            "with one name each there is nothing to look for"
        );
        place.link("ws/in.txt", "ws/sub/second.txt");
        assert_eq!((of("ws/sub/second.txt", 0), of("ws/sub/second.txt", 3)), (Some(Elsewhere::TooMany), None));
    }
}
