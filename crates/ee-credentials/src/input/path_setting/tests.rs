use std::path::PathBuf;

use ee_test_support::canaries::Canaries;
use ee_test_support::misplaced;

use super::*;

#[test]
fn credentials_are_named_in_every_encoding() {
    let mut canaries = Canaries::default();
    let all = misplaced::all(&mut canaries);
    assert!(all.len() > 60, "{}", all.len());
    for form in &all {
        for text in [form.text.clone(), format!(" {}\n", form.text)] {
            let found = identify(&text).unwrap_or_else(|| panic!("{}", form.name));
            assert_eq!(found.to_string(), form.noun, "{}", form.name);
        }
    }
}

#[test]
fn paths_are_not_mistaken_for_credentials() {
    let long = format!("/{}", "a directory/".repeat(300));
    for path in [
        "/home/jane/key.json",
        "key.json",
        "~/key.json",
        "C:\\Users\\Jane Doe\\AppData\\Roaming\\gcloud\\key.json",
        "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}\\key.json",
        "{project}/key.json",
        "{{ .Values.path }}",
        "${HOME}/key.json",
        "[id]/page.json",
        "/secrets/client_secret_1-a.apps.googleusercontent.com.json",
        "/run/secrets/refresh_token",
        "client_secret.json",
        "/var/run/secrets/eyJhbGciOiJSUzI1NiJ9/token",
        "eyJ/key.json",
        "eyJhbGciOiJSUzI1NiJ9",
        "1/key.json",
        "1/2/3",
        "4/0/key",
        "AIza",
        "ya29",
        "/home/jane/My Projects 2024/Earth Engine/ÄÖÜ 森/ключ.json",
        "/nix/store/0c5b8vw40dy178xlpddw65q9gf1h2186-earthengine/credentials",
        "/Users/JaneDoe/Documents/EarthEngine/TheKeyFileOfTheProject",
        "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgVE2upms",
        long.as_str(),
    ] {
        assert_eq!(identify(path), None, "{path}");
    }
}

#[test]
fn other_texts_are_named_without_their_contents() {
    for (text, noun) in [
        ("{\"a\": 1}", "JSON"),
        ("{", "JSON"),
        ("[{\"a\": 1}]", "JSON"),
        ("%7B%22a%22%3A1%7D", "JSON"),
        (
            "{\"installed\": {\"client_secret\": \"x\"}}",
            "an OAuth client",
        ),
        ("{\"access_token\": \"x\"}", "a token response"),
        (
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "a certificate",
        ),
        ("a\nb", "text of several lines"),
        (&"a/".repeat(LONGEST_PATH), "text longer than any path"),
        (&"a".repeat(LONGEST_NAME + 1), "text longer than any path"),
        (&format!("AIza{}", "x".repeat(35)), "an API key"),
        (&format!("4/0A{}", "x".repeat(60)), "an authorization code"),
    ] {
        let found = identify(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(found.to_string(), noun, "{text}");
    }
}

#[test]
fn each_setting_is_named_with_where_the_value_belongs() {
    let key = Path::new("{\"type\": \"service_account\", \"private_key\": \"x\"}");
    let location = Location::Variable("EARTHENGINE_TOKEN");
    for (setting, message, hint) in [
        (
            PathSetting::Variable("GOOGLE_APPLICATION_CREDENTIALS"),
            "GOOGLE_APPLICATION_CREDENTIALS contains a service account key, not a path",
            "Set EARTHENGINE_TOKEN to it, or write it to a file and set GOOGLE_APPLICATION_CREDENTIALS to its path.",
        ),
        (
            PathSetting::Variable("HOME"),
            "HOME contains a service account key, not a path",
            "Set EARTHENGINE_TOKEN to it, and set HOME to the path of the directory, as the system does.",
        ),
        (
            PathSetting::Flag("--credentials"),
            "--credentials is a service account key, not a path",
            "Set EARTHENGINE_TOKEN to it, or write it to a file and pass its path with --credentials.",
        ),
        (
            PathSetting::Field(&location, "file"),
            "the variable EARTHENGINE_TOKEN: the field `file` contains a service account key, not a path",
            "Set EARTHENGINE_TOKEN to it, and put a path into the field `file`.",
        ),
        (
            PathSetting::Argument,
            "the path of the file is a service account key, not a path",
            "Set EARTHENGINE_TOKEN to it, or write it to a file and pass its path.",
        ),
    ] {
        let error = setting.check(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.remedy().text, hint);
    }
    let error = check_path_flag("--input", Path::new("{\"a\": 1}")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
}

#[test]
fn every_kind_has_a_hint_for_every_setting() {
    let mut canaries = Canaries::default();
    let all = misplaced::all(&mut canaries);
    let finder = canaries.finder();
    let location = Location::file("/home/jane/key.json");
    for form in &all {
        for setting in [
            PathSetting::Variable("CLOUDSDK_CONFIG"),
            PathSetting::Flag("--dir"),
            PathSetting::Field(&location, "file"),
            PathSetting::Argument,
        ] {
            let error = setting.check(Path::new(&form.text)).unwrap_err();
            let remedy = error.remedy();
            assert!(remedy.text.len() > 20, "{remedy}");
            let shown = format!("{error} {error:?} {error:#?} {remedy} {setting:?}");
            assert_eq!(finder.find(&shown), [], "{}", form.name);
        }
    }
}

#[test]
fn existing_file_with_an_odd_name_is_a_path() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a\nb", "ya29.x", "{\"a\": 1}"] {
        let path: PathBuf = dir.path().join(name);
        std::fs::write(&path, "{}").unwrap();
        PathSetting::Argument.check(&path).unwrap();
    }
    let missing = dir.path().join("c\nd");
    assert!(PathSetting::Argument.check(&missing).is_err());
}
