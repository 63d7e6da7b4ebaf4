//! Environment variables: addresses of the emulator and the metadata server, numbers, the browser,
//! paths, and login modes.
#![no_main]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ee_credentials::fuzzing::{browser_command, not_a_path};
use ee_credentials::login::LoginMode;
use ee_credentials::{Environment, Error, Platform, Search};
use ee_token::internal::{display_path, is_unsafe_for_display};
use fuzz::{block_on, check_error, check_names, check_shown, options};
use url::Url;

const NUMBERS: [&str; 2] = ["GCE_METADATA_TIMEOUT", "GCE_METADATA_DETECT_RETRIES"];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    check_emulator(text);
    check_metadata_server(text);
    check_browser(text);
    match text.parse::<LoginMode>() {
        Ok(mode) => assert_eq!(mode.to_string().parse::<LoginMode>().expect("a mode"), mode),
        Err(error) => check_error(&error, error.remedy()),
    }
    check_places(text);
});

fn with(name: &str, value: &str) -> Environment {
    Environment::empty()
        .with_os(Platform::Linux)
        .with_var(name, value)
}

/// The emulator is on this machine, and replaces every host.
fn check_emulator(text: &str) {
    let environment = with("EARTHENGINE_EMULATOR_HOST", text);
    let address = match environment.emulator() {
        Ok(None) => return assert!(text.trim().is_empty()),
        Ok(Some(address)) => address,
        Err(error) => return check_error(&error, error.remedy()),
    };
    assert!(address.ip().is_loopback(), "{address}");
    let endpoints = environment.endpoints().expect("an address on this machine");
    for host in [
        "https://oauth2.googleapis.com/token",
        "http://metadata.google.internal/x",
    ] {
        let host = Url::parse(host).expect("a URL");
        let url = endpoints.resolve(&host).expect("the emulator's");
        let rest = host.as_str().split_once("//").expect("a scheme").1;
        let whole = Url::parse(&format!("http://{address}/{rest}")).expect("a URL");
        assert_eq!(url, whole);
    }
}

/// A named metadata server is found without a request, or its name is rejected.
fn check_metadata_server(text: &str) {
    let named = with("GCE_METADATA_HOST", text);
    let numbers = NUMBERS.map(|name| with(name, text));
    for environment in [named].into_iter().chain(numbers) {
        match block_on(Search::new(environment, options()).find()) {
            Ok(found) => {
                check_names(&found.credentials);
                found
                    .searched
                    .iter()
                    .for_each(|step| check_shown(&step.to_string()));
            }
            Err(error) => {
                check_error(&error, error.remedy());
                error
                    .search_steps()
                    .iter()
                    .for_each(|step| check_shown(&step.to_string()));
            }
        }
    }
}

/// A browser is a program of one of the entries, and gets the URL at least once.
fn check_browser(text: &str) {
    let environment = with("BROWSER", text).with_var("DISPLAY", ":0");
    let Some(command) = browser_command(&environment) else {
        return;
    };
    let entry = text.split(':').find(|entry| {
        let words: Vec<&str> = entry.split_whitespace().collect();
        !words.is_empty()
            && command.starts_with(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    });
    assert!(entry.is_some(), "{command:?}");
    assert!(command[0].contains('/'), "there are programs in PATH");
    assert!(command.iter().any(|word| word.contains("%s")));
    let text_browsers = ["echo", "elinks", "links", "lynx", "w3m", "www-browser"];
    let name = command[0].rsplit('/').next().unwrap_or_default();
    assert!(!text_browsers.contains(&name), "{command:?}");
}

/// Directories and files are those of the variables, or the value is identified; `Debug` shows no
/// value.
fn check_places(text: &str) {
    let names = [
        "EE_CONFIG_FILE",
        "CLOUDSDK_CONFIG",
        "XDG_CACHE_HOME",
        "AppData",
        "LOCALAPPDATA",
    ];
    for os in [Platform::Linux, Platform::MacOs, Platform::Windows] {
        let of = |value: &str| {
            let empty = Environment::empty().with_os(os).with_home("/home/me");
            names
                .into_iter()
                .fold(empty, |all, name| all.with_var(name, value))
        };
        let environment = of(text);
        check_place(
            environment.earth_engine_credentials_file(),
            "EE_CONFIG_FILE",
            text,
        );
        check_place(environment.gcloud_config_dir(), "CLOUDSDK_CONFIG", text);
        match environment.cache_dir() {
            Ok(dir) => {
                assert!(dir.is_none_or(|dir| dir.has_root() || os == Platform::Windows))
            }
            Err(error) => check_error(&error, error.remedy()),
        }
        assert_eq!(format!("{environment:?}"), format!("{:?}", of("x")));
    }
    check_not_a_path(text);
}

fn check_place(place: Result<Option<PathBuf>, Error>, variable: &str, text: &str) {
    let path = text.trim();
    match place {
        Ok(Some(place)) if !path.is_empty() => assert_eq!(place, Path::new(path)),
        Ok(_) => assert!(path.is_empty(), "{variable}: {path}"),
        Err(error) => {
            check_error(&error, error.remedy());
            let message = error.to_string();
            match not_a_path(path) {
                // The message depends on the kind of value alone, so it cannot contain the value.
                Some(noun) => {
                    assert_eq!(message, format!("{variable} contains {noun}, not a path"));
                }
                // A path in another program's spelling.
                None => assert!(message.contains(variable), "{message}"),
            }
        }
    }
}

/// An identified secret is also identified in base64, and a shown path cannot control a terminal.
fn check_not_a_path(text: &str) {
    let is_text = |noun: &str| noun.starts_with("text") || noun.starts_with("base64");
    if text.len() >= 24 && not_a_path(text).is_some_and(|noun| !is_text(&noun)) {
        let encoded = not_a_path(&STANDARD.encode(text));
        let encoded = encoded.expect("base64 of a text that is not a path");
        assert!(encoded.starts_with("base64 of "), "{encoded}");
    }
    let shown = display_path(Path::new(text));
    assert!(
        !shown.contains(is_unsafe_for_display),
        "controls the terminal: {shown:?}"
    );
}
