//! Variables of the environment: the emulator's address, a metadata server's address and numbers,
//! the browser, the places of files, and the ways to log in.
#![no_main]

use ee_credentials::fuzzing::browser_command;
use ee_credentials::login::Mode;
use ee_credentials::{Environment, Os, Search};
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
    match text.parse::<Mode>() {
        Ok(mode) => assert_eq!(mode.to_string().parse::<Mode>().expect("a mode"), mode),
        Err(error) => check_error(&error, error.remedy()),
    }
    check_places(text);
});

fn with(name: &str, value: &str) -> Environment {
    Environment::empty()
        .with_os(Os::Linux)
        .with_var(name, value)
}

/// An emulator is on this machine, and stands in for every host.
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

/// A metadata server that is named is found without a request, or what names it is refused.
fn check_metadata_server(text: &str) {
    let named = with("GCE_METADATA_HOST", text);
    let numbers = NUMBERS.map(|name| with(name, text));
    for environment in [named].into_iter().chain(numbers) {
        match block_on(Search::new(environment, options()).run()) {
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
                    .searched()
                    .iter()
                    .for_each(|step| check_shown(&step.to_string()));
            }
        }
    }
}

/// A browser is a program of one of the entries, and gets the page's address in one place at least.
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
    assert!(
        command[0].contains('/'),
        "there are no programs on the path"
    );
    assert!(command.iter().any(|word| word.contains("%s")));
    let text_browsers = ["echo", "elinks", "links", "lynx", "w3m", "www-browser"];
    let name = command[0].rsplit('/').next().unwrap_or_default();
    assert!(!text_browsers.contains(&name), "{command:?}");
}

/// Folders and files are where the variables say; `Debug` shows no value.
fn check_places(text: &str) {
    let names = [
        "EE_CONFIG_FILE",
        "CLOUDSDK_CONFIG",
        "XDG_CACHE_HOME",
        "AppData",
        "LOCALAPPDATA",
    ];
    for os in [Os::Linux, Os::MacOs, Os::Windows] {
        let of = |value: &str| {
            let empty = Environment::empty().with_os(os).with_home("/home/me");
            names
                .into_iter()
                .fold(empty, |all, name| all.with_var(name, value))
        };
        let environment = of(text);
        let path = text.trim();
        if !path.is_empty() {
            assert_eq!(environment.earthengine_file(), Some(path.into()));
            assert_eq!(environment.gcloud_dir(), Some(path.into()));
        }
        assert!(
            environment
                .cache_dir()
                .is_none_or(|folder| folder.has_root() || os == Os::Windows)
        );
        assert_eq!(format!("{environment:?}"), format!("{:?}", of("x")));
    }
}
