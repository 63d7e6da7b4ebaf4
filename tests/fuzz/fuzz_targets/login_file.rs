//! The Earth Engine credentials file. Rewriting it changes no meaning, and unknown fields stay
//! unchanged.
#![no_main]

use chrono::DateTime;
use ee_credentials::{EarthEngineFile, Login, fuzzing};
use ee_token::Scopes;
use fuzz::{check_error, check_secrets, is_json};
use serde_json::{Map, Value};

const OF_A_LOGIN: [&str; 8] = [
    "refresh_token",
    "client_id",
    "client_secret",
    "scopes",
    "redirect_uri",
    "rapt_token",
    "rust_login_mode",
    "rust_login_at",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = match EarthEngineFile::from_json(text) {
        Ok(file) => file,
        Err(error) => {
            check_error(&error, error.remedy());
            check_secrets(
                &fuzzing::restored_text(text),
                &["refresh_token", "client_secret"],
                &format!("{error:?}"),
            );
            return;
        }
    };
    // A damaged text that was restored is not rewritten.
    if !is_json(text) {
        return;
    }
    let of = |file: &EarthEngineFile| {
        (
            file.project().map(str::to_owned),
            file.scopes().cloned(),
            file.has_login(),
            file.login_mode().map(str::to_owned),
            file.login_expires_at(),
        )
    };
    let written = fuzzing::rewritten_login_file(text, None).expect("it is an object");
    let again = EarthEngineFile::from_json(&written).expect("the rewritten file is parsed");
    assert_eq!(of(&again), of(&file));
    let twice = fuzzing::rewritten_login_file(&written, None).expect("it is an object");
    assert_eq!(twice, written);

    let made_at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    let login = Login::new("1//new", Scopes::new(["earthengine"]))
        .client("1-new", "new-secret")
        .redirect_uri("http://localhost:8085")
        .login_mode_at("notebook", made_at);
    let written = fuzzing::rewritten_login_file(text, Some(&login)).expect("it is an object");
    let new = EarthEngineFile::from_json(&written).expect("the rewritten file is parsed");
    assert!(new.has_login() && new.login_made_at() == Some(made_at));
    assert_eq!(new.scopes(), Some(&Scopes::new(["earthengine"])));
    assert_eq!(new.project(), file.project());
    let others = |text: &str| {
        let mut fields: Map<String, Value> = match serde_json::from_str(text) {
            Ok(fields) => fields,
            // The file keeps fields that these values cannot hold.
            Err(_) => return Err(is_json(text)),
        };
        fields.retain(|name, _| !OF_A_LOGIN.contains(&name.as_str()));
        Ok(fields)
    };
    assert_ne!(others(&written), Err(false));
    let before = others(text);
    if before.is_ok() {
        assert_eq!(others(&written), before);
    }
});
