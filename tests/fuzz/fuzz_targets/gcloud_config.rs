//! gcloud's configuration files: the last project of its section counts, and a configuration's
//! name leads to no other folder.
#![no_main]

use ee_credentials::fuzzing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
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
