//! Names of assets, paths, projects and workload tags. The server receives the name unchanged, or
//! nothing.
#![no_main]

use ee_init::check_project;
use ee_rest::{AssetName, WorkloadTag, fuzzing};
use fuzz::{check_command, check_error, decoded};
use url::Url;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    check_asset(text);
    check_path(text);
    match check_project(text) {
        Ok(()) => check_command(text),
        Err(error) => {
            check_error(&error, error.remedy());
            assert!(error.to_string().len() < 800 && !error.remedy().text.is_empty());
        }
    }
    match WorkloadTag::new(text) {
        Ok(tag) => assert!(tag.as_str() == text && text.len() <= 63),
        Err(error) => check_error(&error, error.remedy()),
    }
});

fn check_asset(text: &str) {
    let name: AssetName = match text.parse() {
        Ok(name) => name,
        Err(error) => return check_error(&error, error.remedy()),
    };
    let again: AssetName = name.as_str().parse().expect("a name is a name");
    assert_eq!(again, name);
    let slash = if name.is_root() { "" } else { "/" };
    assert_eq!(
        name.as_str(),
        format!("projects/{}/assets{slash}{}", name.project(), name.path())
    );
    let base = Url::parse("https://earthengine.googleapis.com/").expect("a URL");
    let url = fuzzing::url_of(name.as_str(), None, &base).expect("a name is a path");
    assert!(url.path().starts_with("/v1/projects/"), "{url}");
}

fn check_path(text: &str) {
    let base = Url::parse("https://ee.example/base/").expect("a URL");
    let url = match fuzzing::url_of(text, Some("my-project"), &base) {
        Ok(url) => url,
        Err(error) => return check_error(&error, error.remedy()),
    };
    assert_eq!(
        (url.scheme(), url.host_str()),
        ("https", Some("ee.example"))
    );
    assert!(url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
    let segments: Vec<String> = url
        .path_segments()
        .expect("segments")
        .map(decoded)
        .collect();
    assert_eq!(segments[0], "base");
    let text = text.strip_prefix('/').unwrap_or(text);
    let given: Vec<&str> = text.split('/').collect();
    // The only path that stands for another.
    if text != "$batch" {
        let named = &segments[segments.len() - given.len()..];
        assert_eq!(named, given, "{url}");
        assert!(segments.len() - given.len() <= 4);
    }
}
