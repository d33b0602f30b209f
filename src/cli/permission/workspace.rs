//! Whether a path is in the workspace, once `..` and symbolic links have been followed.

use std::io;
use std::path::{Component, Path, PathBuf};

/// How many dangling links are followed in a row before a path is refused.
const MAX_LINKS: usize = 40;

/// The directory that Claude Code's own tools may work in.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its path, without links.
    root: PathBuf,
    home: Option<PathBuf>,
}

impl Workspace {
    /// The workspace at this directory; an error if there is none. `~` in a path stands for `home`.
    pub(crate) fn at(directory: &Path, home: Option<PathBuf>) -> io::Result<Self> {
        Ok(Workspace { root: directory.canonicalize()?, home })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the path, relative to `cwd`, is in the workspace. A file that does not exist counts as where it would be created.
    pub(crate) fn holds(&self, cwd: &Path, path: &str) -> bool {
        self.readings(cwd, path).is_some_and(|readings| {
            readings.iter().all(|path| {
                let mut links = MAX_LINKS;
                follow(path, &mut links).is_some_and(|real| real.starts_with(&self.root))
            })
        })
    }

    /// Both readings of `link/..` in a path relative to `cwd`: the kernel's, which is the parent of the link's target, and that
    /// of programs that remove `..` from a path before they use it.
    pub(crate) fn readings(&self, cwd: &Path, path: &str) -> Option<[PathBuf; 2]> {
        let path = cwd.join(self.expand(path)?);
        let struck_out = struck_out(&path);
        Some([path, struck_out])
    }

    /// Whether everything that a pattern can match is in the workspace. It starts at what comes before the first wildcard; a
    /// `..` after that could lead anywhere.
    pub(crate) fn holds_all(&self, cwd: &Path, pattern: &str) -> bool {
        let pattern = pattern.strip_prefix('!').unwrap_or(pattern);
        let wild = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
        let (begins, rest) = pattern.split_at(wild);
        let begins = match begins.rfind('/') {
            _ if rest.is_empty() => begins,
            Some(slash) => &begins[..=slash],
            None => "",
        };
        !rest.contains("..") && self.holds(cwd, begins)
    }

    /// The path with `~` or `$HOME` replaced; `None` if that is someone else's home, or unknown.
    pub(crate) fn expand(&self, path: &str) -> Option<PathBuf> {
        for home in ["~", "$HOME", "${HOME}"] {
            if let Some(rest) = path.strip_prefix(home)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return Some(self.home.as_deref()?.join(rest.trim_start_matches('/')));
            }
        }
        (!path.starts_with('~')).then(|| PathBuf::from(path))
    }
}

/// An absolute path without any `..`, each removed together with the part before it.
fn struck_out(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// Where an absolute path leads, resolved part by part: beyond what exists, and through dangling links, too.
fn follow(path: &Path, links: &mut usize) -> Option<PathBuf> {
    let mut real = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                real.pop();
            }
            Component::CurDir => {}
            other => {
                real.push(other);
                if let Ok(canonical) = real.canonicalize() {
                    real = canonical;
                } else if let Ok(target) = real.read_link() {
                    *links = links.checked_sub(1)?;
                    real.pop();
                    real = follow(&real.join(target), links)?;
                }
            }
        }
    }
    real.is_absolute().then_some(real)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        workspace: Workspace,
        _directory: tempfile::TempDir,
    }

    impl Place {
        /// A workspace `ws` with a file, a directory, and links in it; beside it a file of someone else's.
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let outer = directory.path().canonicalize().unwrap();
            let root = outer.join("ws");
            std::fs::create_dir_all(root.join("sub/deep")).unwrap();
            std::fs::create_dir_all(outer.join("home")).unwrap();
            std::fs::create_dir_all(outer.join("ws-next-door")).unwrap();
            std::fs::write(root.join("in.txt"), "").unwrap();
            std::fs::write(outer.join("out.txt"), "").unwrap();
            symlink("in.txt", root.join("link-in")).unwrap();
            symlink("../out.txt", root.join("link-out")).unwrap();
            symlink(&outer, root.join("link-up")).unwrap();
            symlink("sub/deep", root.join("link-deep")).unwrap();
            symlink("../not-yet.txt", root.join("dangling-out")).unwrap();
            symlink("not-yet.txt", root.join("dangling-in")).unwrap();
            symlink("loop-b", root.join("loop-a")).unwrap();
            symlink("loop-a", root.join("loop-b")).unwrap();
            // The operator may name the workspace by a link.
            symlink("ws", outer.join("by-another-name")).unwrap();
            let workspace = Workspace::at(&outer.join("by-another-name"), Some(outer.join("home"))).unwrap();
            Place { workspace, _directory: directory }
        }

        fn holds(&self, path: &str) -> bool {
            let path = path.replace("ROOT", self.workspace.root().to_str().unwrap());
            self.workspace.holds(self.workspace.root(), &path)
        }
    }

    #[test]
    fn what_is_in_the_workspace_is_held_however_it_is_named() {
        let place = Place::new();
        for path in [
            "",
            ".",
            "in.txt",
            "./in.txt",
            "sub/../in.txt",
            "ROOT",
            "ROOT/",
            "ROOT/in.txt",
            "ROOT/sub/../in.txt",
            "ROOT/../ws/in.txt",
            "ROOT/../by-another-name/in.txt",
            "link-in",
            "link-deep/x",
            "ROOT/..hidden",
        ] {
            assert!(place.holds(path), "{path}");
        }
    }

    #[test]
    fn what_does_not_exist_is_held_where_it_would_be_made() {
        let place = Place::new();
        for path in ["new.txt", "new/dir/a.txt", "ROOT/new/dir/a.txt", "new/../a.txt", "dangling-in", "loop/../x"] {
            assert!(place.holds(path), "{path}");
        }
        for path in ["../new.txt", "new/../../a.txt", "dangling-out", "link-up/new.txt", "/new-at-the-root"] {
            assert!(!place.holds(path), "{path}");
        }
    }

    #[test]
    fn what_is_outside_is_not_held_however_it_is_named() {
        let place = Place::new();
        for path in [
            "..",
            "../out.txt",
            "ROOT/..",
            "ROOT/../out.txt",
            "ROOT-next-door",
            "ROOT-next-door/x",
            "/",
            "/etc/passwd",
            "sub/../../out.txt",
            "link-out",
            "./link-out",
            "link-up",
            "link-up/out.txt",
            "ROOT/link-up/out.txt",
            "~",
            "~/x",
            "~root/x",
            "$HOME/x",
            "${HOME}",
            "loop-a",
            "loop-a/x",
        ] {
            assert!(!place.holds(path), "{path}");
        }
    }

    #[test]
    fn both_readings_of_a_link_and_two_dots_must_be_inside() {
        let place = Place::new();
        assert!(place.holds("link-deep/../x"), "sub/x, or x");
        assert!(!place.holds("link-deep/../../../x"), "x beside the workspace when struck out");
        assert!(!place.holds("link-up/../in.txt"), "beside the workspace's parent to the kernel");
    }

    #[test]
    fn a_relative_path_counts_from_where_the_tool_is() {
        let place = Place::new();
        let deep = place.workspace.root().join("sub/deep");
        assert!(place.workspace.holds(&deep, "../../in.txt"));
        assert!(!place.workspace.holds(&deep, "../../../out.txt"));
        assert!(!place.workspace.holds(Path::new("/"), "in.txt"));
    }

    #[test]
    fn a_home_within_the_workspace_is_in_it() {
        let place = Place::new();
        let root = place.workspace.root().to_owned();
        let workspace = Workspace::at(&root, Some(root.join("sub"))).unwrap();
        assert!(workspace.holds(&root, "~/notes.md"));
        assert!(!workspace.holds(&root, "~/../../out.txt"));
    }

    #[test]
    fn a_workspace_that_is_not_there_is_an_error() {
        assert!(Workspace::at(Path::new("/not/there"), None).is_err());
    }
}
