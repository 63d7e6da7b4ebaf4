//! The files that package `eectl` agree with the sources.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{read, root};

/// Returns the sources of each `COPY` instruction that copies from the repository.
fn copied(dockerfile: &str) -> Vec<&str> {
    let lines = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "));
    let from_repository = lines.filter(|line| !line.contains("--from="));
    from_repository
        .flat_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words[..words.len() - 1].to_vec()
        })
        .collect()
}

#[cfg(unix)]
#[test]
fn image_has_every_file_that_its_build_needs() {
    let dockerfile = read("Dockerfile");
    let sources = copied(&dockerfile);
    assert!(sources.len() > 5, "{sources:?}");
    let ignored = read(".dockerignore");
    let context = tempfile::tempdir().unwrap();
    for source in sources {
        let path = root().join(source);
        assert!(path.exists(), "{source} does not exist");
        let is_included = ignored.lines().any(|line| match line.strip_prefix('!') {
            Some(line) if line.ends_with('*') => source.starts_with(line.trim_end_matches('*')),
            Some(line) => line == source,
            None => false,
        });
        assert!(is_included, "{source} is in .dockerignore");
        std::os::unix::fs::symlink(path, context.path().join(source)).unwrap();
    }
    // The workspace is complete: Cargo finds all members, and the lock file needs no change.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        // The packages of other platforms may be missing.
        .arg("--filter-platform=x86_64-unknown-linux-gnu")
        .current_dir(context.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = Path::new(metadata["workspace_root"].as_str().unwrap());
    assert_eq!(
        fs::canonicalize(expected).unwrap(),
        fs::canonicalize(context.path()).unwrap()
    );
}

#[test]
fn image_runs_without_root_and_with_certificates() {
    let dockerfile = read("Dockerfile");
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    assert!(last.contains("ca-certificates"), "{last}");
    let user = last.lines().find_map(|line| line.strip_prefix("USER "));
    let user = user.unwrap().split(':').next().unwrap();
    assert!(user.parse::<u32>().unwrap() > 0, "{user}");
    assert!(last.contains(&format!("--uid {user}")), "{last}");
}

/// The organization is replaced before the first release.
#[test]
fn organization_is_named_only_in_the_workspace_manifest() {
    for path in [
        "crates/ee-cli/Cargo.toml",
        "crates/ee-cli/pyproject.toml",
        "Dockerfile",
        "README.md",
        "docs/src/install.md",
    ] {
        assert!(!read(path).contains("ORGANIZATION"), "{path}");
    }
}
