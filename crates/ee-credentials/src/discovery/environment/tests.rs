use super::*;

fn at(os: Platform, home: &str) -> Environment {
    Environment::empty().with_os(os).with_home(home)
}

#[test]
fn files_are_where_other_clients_keep_them() {
    for (environment, earthengine, adc) in [
        (
            at(Platform::Linux, "/home/j"),
            Some("/home/j/.config/earthengine/credentials"),
            Some("/home/j/.config/gcloud/application_default_credentials.json"),
        ),
        (
            at(Platform::MacOs, "/Users/j"),
            Some("/Users/j/.config/earthengine/credentials"),
            Some("/Users/j/.config/gcloud/application_default_credentials.json"),
        ),
        (
            at(Platform::Windows, "C:/Users/j").with_var("AppData", "C:/Users/j/AppData/Roaming"),
            Some("C:/Users/j/.config/earthengine/credentials"),
            Some("C:/Users/j/AppData/Roaming/gcloud/application_default_credentials.json"),
        ),
        (
            at(Platform::Linux, "/home/j")
                .with_var("EE_CONFIG_FILE", "/etc/ee")
                .with_var("CLOUDSDK_CONFIG", "/content/.config"),
            Some("/etc/ee"),
            Some("/content/.config/application_default_credentials.json"),
        ),
        (
            at(Platform::Linux, "/home/j")
                .with_var("EE_CONFIG_FILE", " ")
                .with_var("CLOUDSDK_CONFIG", ""),
            Some("/home/j/.config/earthengine/credentials"),
            Some("/home/j/.config/gcloud/application_default_credentials.json"),
        ),
        (Environment::empty().with_os(Platform::Linux), None, None),
        (Environment::empty().with_os(Platform::Windows), None, None),
    ] {
        let login_file = environment.earth_engine_credentials_file().unwrap();
        assert_eq!(login_file, earthengine.map(PathBuf::from));
        let adc_file = environment.gcloud_adc_file().unwrap();
        assert_eq!(adc_file, adc.map(PathBuf::from));
    }
}

#[test]
fn cache_dir_follows_each_platforms_convention() {
    let linux = || at(Platform::Linux, "/home/j");
    for (environment, dir) in [
        (linux(), Some("/home/j/.cache/earthengine")),
        (
            linux().with_var("XDG_CACHE_HOME", "/scratch/j"),
            Some("/scratch/j/earthengine"),
        ),
        (
            linux().with_var("XDG_CACHE_HOME", "scratch"),
            Some("/home/j/.cache/earthengine"),
        ),
        (
            at(Platform::MacOs, "/Users/j").with_var("XDG_CACHE_HOME", "/scratch/j"),
            Some("/Users/j/Library/Caches/earthengine"),
        ),
        (
            at(Platform::Windows, "C:/Users/j")
                .with_var("LocalAppData", "C:/Users/j/AppData/Local"),
            Some("C:/Users/j/AppData/Local/earthengine/cache"),
        ),
        (at(Platform::Windows, "C:/Users/j"), None),
        (Environment::empty().with_os(Platform::Linux), None),
    ] {
        assert_eq!(environment.cache_dir().unwrap(), dir.map(PathBuf::from));
    }
}

#[test]
fn blank_variables_are_unset_and_values_are_never_shown() {
    let environment = Environment::empty()
        .with_var("A", "  ")
        .with_var("B", " canary ");
    assert_eq!(environment.var("A"), None);
    assert_eq!(environment.var("B"), Some("canary"));
    assert_eq!(environment.clone().with_os(Platform::Linux).var("b"), None);
    assert_eq!(
        environment.clone().with_os(Platform::Windows).var("b"),
        Some("canary")
    );
    assert!(!format!("{environment:?}").contains("canary"));
}

#[cfg(unix)]
#[test]
fn value_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStringExt as _;
    let odd = OsString::from_vec(vec![b'/', 0xff]);
    let environment = Environment::empty()
        .with_var_os(EMULATOR_HOST, odd.clone())
        .with_var_os("EE_CONFIG_FILE", odd.clone());
    let error = environment.emulator().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
    assert!(error.to_string().contains(EMULATOR_HOST));
    assert_eq!(environment.var(EMULATOR_HOST), None);
    // A path may be any bytes.
    assert_eq!(
        environment.earth_engine_credentials_file().unwrap(),
        Some(PathBuf::from(odd))
    );
}

#[test]
fn emulator_address_must_be_loopback() {
    let emulator = |text: &str| {
        let environment = Environment::empty().with_var(EMULATOR_HOST, text);
        environment
            .emulator()
            .map(|address| address.map(|a| a.to_string()))
    };
    for (text, address) in [
        ("", None),
        ("127.0.0.1:8090", Some("127.0.0.1:8090")),
        ("localhost:1", Some("127.0.0.1:1")),
        ("[::1]:1", Some("[::1]:1")),
        ("http://127.0.0.1:1/", Some("127.0.0.1:1")),
    ] {
        assert_eq!(emulator(text).unwrap().as_deref(), address, "{text}");
    }
    for text in [
        "8090",
        "127.0.0.1",
        "192.0.2.1:80",
        "example.com:80",
        "localhost:x",
        "https://127.0.0.1:1",
    ] {
        let error = emulator(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
        assert!(error.to_string().contains(text) && error.to_string().contains(EMULATOR_HOST));
    }
}

proptest::proptest! {
    #[test]
    fn any_loopback_address_can_be_an_emulators(
        ip: std::net::Ipv4Addr, is_here: bool, port: u16,
    ) {
        let mut octets = ip.octets();
        if is_here {
            octets[0] = 127;
        }
        for address in [SocketAddr::from((octets, port)), ([0, 0, 0, 0, 0, 0, 0, 1], port).into()] {
            let text = address.to_string();
            let environment = Environment::empty().with_var(EMULATOR_HOST, &text);
            let found = environment.emulator();
            if address.ip().is_loopback() {
                assert_eq!(found.unwrap(), Some(address));
            } else {
                assert_eq!(found.unwrap_err().kind(), ErrorKind::InvalidEnvironment);
            }
        }
    }
}
