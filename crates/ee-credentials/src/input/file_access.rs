//! Warnings about other users' access to a credential file.

#[cfg(not(unix))]
pub(crate) fn check(_: &std::fs::Metadata, _: &std::path::Path) -> Vec<crate::Warning> {
    Vec::new()
}

#[cfg(unix)]
pub(crate) use unix::check;

#[cfg(unix)]
mod unix {
    use std::fs::{self, Metadata};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};

    use ee_token::Remedy;
    use ee_token::internal::display_path;

    use crate::Warning;
    use crate::input::shell::shell_quoted;

    const ROOT: u32 = 0;
    const STICKY: u32 = 0o1000;

    /// Warns about a file that other users may read, write or replace.
    pub(crate) fn check(metadata: &Metadata, path: &Path) -> Vec<Warning> {
        let user = rustix::process::geteuid().as_raw();
        let mode = metadata.permissions().mode();
        let mut warnings = Vec::new();
        if mode & 0o044 != 0 {
            warnings.push(readable(path, mode));
        }
        if is_writable_by_others(metadata) {
            warnings.push(writable(path, mode));
        }
        let owner = metadata.uid();
        if owner != user && owner != ROOT {
            warnings.push(other_owner(path, owner, user));
        }
        if let Some(directory) = open_directory(path, &[user, owner, ROOT]) {
            warnings.push(in_open_directory(path, &directory));
        }
        // kubelet writes such a volume for the container alone, and chmod cannot change it.
        if !warnings.is_empty() && owner == ROOT && is_in_kubernetes_volume(path) {
            warnings.clear();
        }
        warnings
    }

    /// Whether users other than the owner may write. A private group has the ID of its user, and only
    /// root is in the group of root.
    fn is_writable_by_others(metadata: &Metadata) -> bool {
        let mode = metadata.permissions().mode();
        let is_private_group = metadata.gid() == metadata.uid() || metadata.gid() == ROOT;
        mode & 0o002 != 0 || mode & 0o020 != 0 && !is_private_group
    }

    /// Returns the first directory on the path of the file in which a user other than `trusted` may
    /// replace the next component.
    fn open_directory(path: &Path, trusted: &[u32]) -> Option<PathBuf> {
        let given = std::path::absolute(path).ok()?;
        let real = fs::canonicalize(path).ok();
        let is_open = |directory: &&Path| {
            fs::metadata(directory).is_ok_and(|metadata| {
                let is_sticky = metadata.permissions().mode() & STICKY != 0;
                // In a sticky directory only the owner of an entry may replace it.
                let may_replace = is_writable_by_others(&metadata) && !is_sticky;
                may_replace || !trusted.contains(&metadata.uid())
            })
        };
        // The directories of a symbolic link, and those of its target.
        let ways = [Some(&given), real.as_ref().filter(|real| **real != given)];
        ways.into_iter()
            .flatten()
            .flat_map(|way| way.ancestors().skip(1))
            .find(is_open)
            .map(Path::to_owned)
    }

    /// Whether kubelet mounted the directory: its files are symbolic links through `..data`.
    fn is_in_kubernetes_volume(path: &Path) -> bool {
        path.parent()
            .and_then(|directory| fs::symlink_metadata(directory.join("..data")).ok())
            .is_some_and(|link| link.is_symlink() && link.uid() == ROOT)
    }

    fn readable(path: &Path, mode: u32) -> Warning {
        Warning::new(
            "insecure_permissions",
            format!(
                "{} can be read by other users of this machine (mode {:03o})",
                display_path(path),
                mode & 0o777
            ),
            Remedy::new("Make it readable by its owner alone.")
                .command(format!("chmod 600 {}", shell_quoted(path))),
        )
    }

    fn writable(path: &Path, mode: u32) -> Warning {
        Warning::new(
            "writable_by_others",
            format!(
                "{} can be changed by other users of this machine (mode {:03o})",
                display_path(path),
                mode & 0o777
            ),
            Remedy::new("Check its contents, and make it writable by its owner alone.")
                .command(format!("chmod go-w {}", shell_quoted(path))),
        )
    }

    fn other_owner(path: &Path, owner: u32, user: u32) -> Warning {
        Warning::new(
            "owned_by_other_user",
            format!(
                "{} belongs to another user of this machine (user {owner}, not {user}), who can change it",
                display_path(path)
            ),
            Remedy::new("If you trust its contents, take ownership of the file, or run the program as its owner.")
                .command(format!("sudo chown {user} {}", shell_quoted(path))),
        )
    }

    fn in_open_directory(path: &Path, directory: &Path) -> Warning {
        Warning::new(
            "directory_writable_by_others",
            format!(
                "{} can be replaced by other users of this machine: they may write to the directory {}",
                display_path(path),
                display_path(directory)
            ),
            Remedy::new("Take ownership of the directory and make it writable by you alone, or move the file to another directory.")
                .command(format!("chmod go-w {}", shell_quoted(directory))),
        )
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::path::{Path, PathBuf};

    use super::*;

    const OTHER: u32 = 4321;

    /// A file in a directory of its own, which may be given other owners and modes.
    struct Case {
        root: tempfile::TempDir,
    }

    impl Case {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let case = Self { root };
            fs::create_dir_all(case.directory()).unwrap();
            fs::write(case.file(), "{}").unwrap();
            for directory in [case.above(), case.directory()] {
                fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
            }
            case.chmod(case.file(), 0o600);
            case
        }

        fn above(&self) -> PathBuf {
            self.root.path().join("above")
        }

        fn directory(&self) -> PathBuf {
            self.above().join("directory")
        }

        fn file(&self) -> PathBuf {
            self.directory().join("it's mine")
        }

        fn chmod(&self, path: PathBuf, mode: u32) {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }

        /// Gives a path away; `false` where this user may not.
        fn give(&self, path: PathBuf, uid: u32, gid: u32) -> bool {
            chown(path, Some(uid), Some(gid)).is_ok()
        }

        fn codes(&self) -> Vec<&'static str> {
            self.codes_of(&self.file())
        }

        fn codes_of(&self, path: &Path) -> Vec<&'static str> {
            let warnings = check(&fs::metadata(path).unwrap(), path);
            for warning in &warnings {
                assert!(warning.remedy.command.is_some(), "{warning}");
                let text = warning.to_string();
                assert!(text.contains(&path.display().to_string()), "{text}");
            }
            warnings.iter().map(|warning| warning.code).collect()
        }
    }

    #[test]
    fn files_that_others_may_read_or_write_are_warned_about() {
        const READ: &str = "insecure_permissions";
        const WRITE: &str = "writable_by_others";
        let case = Case::new();
        // In a group that is not private: as root any, and otherwise a mode for all users.
        let has_group = case.give(case.file(), 0, OTHER);
        for (mode, codes, needs_group) in [
            (0o600, &[][..], false),
            (0o400, &[], false),
            (0o640, &[READ], false),
            (0o604, &[READ], false),
            (0o602, &[WRITE], false),
            (0o606, &[READ, WRITE], false),
            (0o666, &[READ, WRITE], false),
            (0o620, &[WRITE], true),
            (0o660, &[READ, WRITE], true),
        ] {
            if needs_group && !has_group {
                continue;
            }
            case.chmod(case.file(), mode);
            assert_eq!(case.codes(), codes, "{mode:o}");
        }
    }

    #[test]
    fn private_groups_may_write() {
        let case = Case::new();
        for (uid, gid) in [(OTHER, OTHER), (OTHER, 0), (0, 0)] {
            if case.give(case.file(), uid, gid) {
                case.chmod(case.file(), 0o620);
                assert!(!case.codes().contains(&"writable_by_others"), "{uid}:{gid}");
            }
        }
    }

    #[test]
    fn files_of_other_users_are_warned_about() {
        let case = Case::new();
        if !case.give(case.file(), OTHER, OTHER) {
            return skipped("files_of_other_users_are_warned_about");
        }
        assert_eq!(case.codes(), ["owned_by_other_user"]);
        let warning = check(&fs::metadata(case.file()).unwrap(), &case.file()).remove(0);
        let command = warning.remedy.command.unwrap();
        assert!(command.starts_with("sudo chown 0 "), "{command}");
        assert!(command.ends_with(r"it'\''s mine'"), "{command}");
        // Their directory adds nothing: they are named already.
        assert!(case.give(case.directory(), OTHER, OTHER));
        assert_eq!(case.codes(), ["owned_by_other_user"]);
        // The file belongs to this user, but others can replace it.
        assert!(case.give(case.file(), 0, 0));
        assert_eq!(case.codes(), ["directory_writable_by_others"]);
    }

    #[test]
    fn directories_that_others_may_write_are_warned_about() {
        const DIRECTORY: &str = "directory_writable_by_others";
        for (mode, is_open) in [
            (0o755, false),
            (0o700, false),
            (0o757, true),
            (0o777, true),
            // As /tmp: other users cannot replace this user's files.
            (0o1777, false),
        ] {
            let case = Case::new();
            for directory in [case.directory(), case.above()] {
                case.chmod(directory.clone(), mode);
                let codes = case.codes();
                let expected: &[&str] = if is_open { &[DIRECTORY] } else { &[] };
                assert_eq!(codes, expected, "{mode:o} {}", directory.display());
                case.chmod(directory, 0o755);
            }
        }
    }

    #[test]
    fn both_ends_of_a_link_are_checked() {
        const DIRECTORY: &str = "directory_writable_by_others";
        let case = Case::new();
        let elsewhere = case.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let link = elsewhere.join("link");
        symlink(case.file(), &link).unwrap();
        assert!(case.codes_of(&link).is_empty());
        case.chmod(elsewhere.clone(), 0o777);
        assert_eq!(case.codes_of(&link), [DIRECTORY]);
        case.chmod(elsewhere, 0o755);
        case.chmod(case.directory(), 0o777);
        assert_eq!(case.codes_of(&link), [DIRECTORY]);
    }

    #[test]
    fn kubernetes_volumes_cause_no_warning() {
        let case = Case::new();
        let volume = case.directory();
        let version = volume.join("..2026_01_01_00_00_00.1");
        fs::create_dir(&version).unwrap();
        fs::write(version.join("key.json"), "{}").unwrap();
        symlink("..2026_01_01_00_00_00.1", volume.join("..data")).unwrap();
        symlink("..data/key.json", volume.join("key.json")).unwrap();
        case.chmod(version.join("key.json"), 0o644);
        case.chmod(volume.clone(), 0o777);
        if !case.give(version.join("key.json"), 0, 0) {
            return skipped("kubernetes_volumes_cause_no_warning");
        }
        assert!(case.codes_of(&volume.join("key.json")).is_empty());
        // A link of that name that another user made says nothing.
        std::os::unix::fs::lchown(volume.join("..data"), Some(OTHER), None).unwrap();
        let codes = case.codes_of(&volume.join("key.json"));
        assert_eq!(
            codes,
            ["insecure_permissions", "directory_writable_by_others"]
        );
    }

    fn skipped(test: &str) {
        let text = format!("{test}: SKIPPED, this user may not give files away\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    }
}
