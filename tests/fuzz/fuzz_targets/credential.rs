//! A credential file or text of any type. Texts that are no credential are identified.
#![no_main]

use ee_credentials::{Credentials, EarthEngineFile, ServiceAccountKey, fuzzing};
use fuzz::{check_error, check_names, check_secrets, names_another_file, options, with_keys};

const SECRETS: [&str; 7] = [
    "private_key",
    "refresh_token",
    "client_secret",
    "access_token",
    "rapt_token",
    "headers",
    "id_token",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = match fuzzing::file_text(data) {
        Ok(text) => with_keys(&text),
        Err(error) => {
            check_error(&error, error.remedy());
            assert!(
                error.to_string().starts_with("/home/me/key.json: "),
                "{error}"
            );
            return;
        }
    };
    let json = fuzzing::restored_text(&text);
    if names_another_file(&json) {
        return;
    }
    match Credentials::from_json(&text, &options()) {
        Ok(credentials) => {
            check_secrets(&json, &SECRETS, &format!("{credentials:?}"));
            check_names(&credentials);
            // Credentials from a text have no portable configuration.
            assert!(credentials.to_config().is_err());
        }
        Err(error) => {
            check_error(&error, error.remedy());
            check_secrets(&json, &SECRETS, &format!("{error:?} {error}"));
        }
    }
    for error in [
        ServiceAccountKey::from_json(&text).err(),
        EarthEngineFile::from_json(&text).err(),
    ]
    .into_iter()
    .flatten()
    {
        check_error(&error, error.remedy());
        assert!(!error.remedy().text.is_empty(), "{error}");
    }
});
