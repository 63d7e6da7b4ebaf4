//! Finding executables without searching the current directory.

#[cfg(feature = "login")]
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Environment, Platform};

/// Returns the absolute path of a program. Only absolute entries of `PATH` are searched: empty
/// and relative ones depend on the directory that the process is in.
pub(crate) fn find(environment: &Environment, name: &str) -> Option<PathBuf> {
    let endings: &[&str] = match environment.os() {
        Platform::Windows if Path::new(name).extension().is_none() => &[".exe", ".cmd", ".bat"],
        _ => &[""],
    };
    absolute_entries(environment)?
        .flat_map(|dir| {
            endings
                .iter()
                .map(move |end| dir.join(format!("{name}{end}")))
        })
        .find(|path| is_executable(path))
}

/// Returns the absolute entries of `PATH`, for a child process that starts others.
#[cfg(feature = "login")]
pub(crate) fn search_path(environment: &Environment) -> Option<OsString> {
    std::env::join_paths(absolute_entries(environment)?).ok()
}

fn absolute_entries(environment: &Environment) -> Option<impl Iterator<Item = PathBuf>> {
    let entries = std::env::split_paths(environment.raw("PATH")?);
    Some(entries.filter(|dir| dir.is_absolute()))
}

fn is_executable(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else {
        return false;
    };
    #[cfg(unix)]
    let may_run = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may_run = true;
    metadata.is_file() && may_run
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn program_is_found_on_the_search_path_if_it_can_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("gcloud"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(path("gcloud"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("notes"), "no program").unwrap();
        fs::create_dir(path("directory")).unwrap();
        let environment = Environment::empty().with_var_os("PATH", dir.path());
        assert_eq!(find(&environment, "gcloud"), Some(path("gcloud")));
        for absent in ["notes", "directory", "other"] {
            assert_eq!(find(&environment, absent), None, "{absent}");
        }
        assert_eq!(find(&Environment::empty(), "gcloud"), None);
    }

    #[cfg(feature = "login")]
    #[test]
    fn search_path_keeps_absolute_entries_only() {
        for (entries, kept) in [
            ("/usr/bin:/bin", "/usr/bin:/bin"),
            (".:/usr/bin:", "/usr/bin"),
            (":/usr/bin::bin:./sub:../up:/bin", "/usr/bin:/bin"),
            (".", ""),
        ] {
            let environment = Environment::empty().with_var("PATH", entries);
            let found = search_path(&environment).unwrap();
            assert_eq!(found, kept, "{entries}");
        }
        assert_eq!(search_path(&Environment::empty()), None);
    }
}
