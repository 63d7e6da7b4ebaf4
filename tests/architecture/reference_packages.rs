//! Packages of other registries that tests install are pinned by hash, independently of the
//! registry.

use serde_json::Value;

/// The lists of Python packages, with the smallest number of packages in each.
const PYTHON: [(&str, usize); 2] = [
    (
        include_str!("../interop/reference_clients/requirements.txt"),
        20,
    ),
    (include_str!("../../packaging/requirements.txt"), 1),
];
/// Each `package.json` with its lock file.
const NODE: [(&str, &str); 2] = [
    (
        include_str!("../interop/reference_clients/package.json"),
        include_str!("../interop/reference_clients/package-lock.json"),
    ),
    (
        include_str!("../interop/browser/package.json"),
        include_str!("../interop/browser/package-lock.json"),
    ),
];
const INSTALLERS: [&str; 2] = [
    include_str!("../../xtask/src/test.rs"),
    include_str!("../../xtask/src/python.rs"),
];

/// The options of pip that choose a registry, and registry URLs.
const PLACES: [&str; 6] = [
    "--index-url",
    "--extra-index-url",
    "--find-links",
    "://registry.",
    "://pypi.",
    "://files.",
];

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[test]
fn python_packages_have_exact_versions_and_hashes() {
    for (list, count) in PYTHON {
        let lines = list.replace("\\\n", " ");
        let packages: Vec<&str> = lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        assert!(packages.len() >= count, "{}", packages.len());
        for package in packages {
            check_package(package);
        }
    }
}

fn check_package(package: &str) {
    let (name, _) = package.split_once(" --hash").unwrap_or((package, ""));
    let (_, version) = name.split_once("==").unwrap_or_else(|| panic!("{name}"));
    // A condition may follow, such as `; python_full_version < '3.12'`.
    let version = version.split(';').next().unwrap_or_default().trim();
    let is_exact = |b: u8| b.is_ascii_alphanumeric() || b == b'.';
    let exact = !version.is_empty() && version.bytes().all(is_exact);
    assert!(exact, "{name}");
    let is_option = |word: &&str| word.starts_with("--");
    let hashes: Vec<&str> = package
        .split_whitespace()
        .skip_while(|word| !is_option(word))
        .collect();
    assert!(!hashes.is_empty(), "{name} has no hash");
    for word in hashes {
        let hash = word.strip_prefix("--hash=sha256:");
        assert!(hash.is_some_and(|hash| is_hex(hash, 64)), "{name}: {word}");
    }
}

#[test]
fn node_packages_have_exact_versions_and_hashes() {
    for (package, lock) in NODE {
        let package: Value = serde_json::from_str(package).unwrap();
        let lock: Value = serde_json::from_str(lock).unwrap();
        assert_eq!(lock["lockfileVersion"], 3);
        let packages = lock["packages"].as_object().unwrap();
        assert_eq!(packages[""]["dependencies"], package["dependencies"]);
        assert!(packages.len() > 1);
        for (path, entry) in packages.iter().filter(|(path, _)| !path.is_empty()) {
            let integrity = entry["integrity"].as_str();
            let is_strong = integrity.is_some_and(|hash| hash.starts_with("sha512-"));
            assert!(is_strong, "{path} has no hash");
            assert!(entry["version"].is_string(), "{path}");
            assert!(entry["resolved"].is_null(), "{path} names a registry");
            assert!(entry["link"].is_null(), "{path}");
        }
    }
}

#[test]
fn reference_packages_are_installed_by_hash_from_any_registry() {
    for place in PLACES {
        let lists = NODE.iter().flat_map(|(package, lock)| [*package, *lock]);
        for list in lists.chain(PYTHON.map(|(list, _)| list)) {
            assert!(!list.contains(place), "{place}");
        }
    }
    for word in ["\"--require-hashes\"", "\"ci\"", "\"--ignore-scripts\""] {
        let is_used = INSTALLERS.iter().any(|installer| installer.contains(word));
        assert!(is_used, "{word}");
    }
}
