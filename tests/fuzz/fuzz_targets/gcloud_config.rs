//! gcloud's configuration files. The last project of its section is used, and a configuration name
//! leads to no other directory.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use ee_credentials::{Environment, Platform, fuzzing};
use fuzz::{check_error, dir};

/// The maximal length of a configuration name, because such names are short and files are slow.
const LONGEST_NAME: usize = 100;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if data.len() <= LONGEST_NAME {
        check_active(data);
    }
    let Ok(text) = fuzzing::file_text(data) else {
        return;
    };
    if fuzzing::is_gcloud_configuration(&text) {
        assert!(!text.is_empty() && !text.contains(['/', '\\', '.', '\n', '\0']));
    }
    let project = |text: &str| fuzzing::gcloud_property(text, "core", "project");
    if let Some(found) = project(&text) {
        assert!(!found.is_empty() && found.trim() == found && !found.contains('\n'));
        assert!(text.contains(&found));
        let alone = format!("[core]\nproject = {found}\n");
        assert_eq!(project(&alone), Some(found));
    }
    let appended = format!("{text}\n[core]\nproject: last-one\n[compute]\nproject = another\n");
    assert_eq!(project(&appended).as_deref(), Some("last-one"));
});

/// gcloud's directory with two configurations, beside one that must not be reached.
static DIR: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let gcloud = dir()?.join("gcloud");
    let write = |name: &str, project: &str| {
        let text = format!("[core]\nproject = {project}\n");
        fs::write(gcloud.join(name), text).expect("a file");
    };
    fs::create_dir_all(gcloud.join("configurations/config_x")).expect("a directory");
    write("configurations/config_default", "default-project");
    write("configurations/config_work", "work-project");
    write("outside", "outside-project");
    Some(gcloud)
});

/// Only the configuration in the file `active_config` is read.
fn check_active(name: &[u8]) {
    let Some(dir) = &*DIR else { return };
    fs::write(dir.join("active_config"), name).expect("a file");
    let environment = Environment::empty()
        .with_os(Platform::Linux)
        .with_var_os("CLOUDSDK_CONFIG", dir);
    match environment.gcloud_project() {
        Ok(None) => {}
        Ok(Some(project)) => {
            let text = fuzzing::file_text(name).expect("a name is a text");
            let expected = match text.trim() {
                "" | "default" => "default-project",
                "work" => "work-project",
                other => panic!("{other:?} leads to {project}"),
            };
            assert_eq!(project, expected);
        }
        Err(error) => check_error(&error, error.remedy()),
    }
}
