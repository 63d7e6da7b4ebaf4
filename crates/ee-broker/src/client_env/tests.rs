use super::*;
use ee_credentials::Credentials;
use ee_token::AccessToken;

async fn broker(project: Option<&str>) -> Broker {
    let credentials = Credentials::from_token(AccessToken::new("ya29.canary").unwrap());
    let builder = Broker::builder(credentials).listen("127.0.0.1:0".parse().unwrap());
    let builder = match project {
        Some(project) => builder.project(project),
        None => builder,
    };
    builder.start().await.unwrap()
}

fn get<'a>(environment: &'a ClientEnvironment, name: &str) -> Option<&'a str> {
    let mut variables = environment.variables();
    variables
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_str().unwrap())
}

#[tokio::test]
async fn clients_find_the_broker_and_no_file() {
    let temp = tempfile::tempdir().unwrap();
    let broker = broker(Some("my-project")).await;
    let variables = Environment::empty();
    let environment = ClientEnvironment::new(&broker, temp.path(), &variables).unwrap();
    let host = broker.metadata_host().unwrap();
    for name in ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"] {
        assert_eq!(get(&environment, name), Some(&*host));
    }
    for name in [
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_QUOTA_PROJECT",
        "EARTHENGINE_PROJECT",
    ] {
        assert_eq!(get(&environment, name), Some("my-project"));
    }
    for hidden in ["GOOGLE_APPLICATION_CREDENTIALS", "EARTHENGINE_ACCOUNT"] {
        assert!(environment.removed().any(|name| name == hidden), "{hidden}");
    }
    assert_eq!(get(&environment, "NO_PROXY"), None);
    let headers = get(&environment, "GDAL_HTTP_HEADER_FILE").unwrap();
    let headers = std::fs::read_to_string(headers).unwrap();
    assert_eq!(headers, "x-goog-user-project: my-project\n");
    let gcloud = get(&environment, "CLOUDSDK_CONFIG").unwrap();
    assert_eq!(std::fs::read_dir(gcloud).unwrap().count(), 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let private = Path::new(gcloud).parent().unwrap();
        let mode = std::fs::metadata(private).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    assert!(!format!("{environment:?}").contains(broker.shared_prefix()));
    drop(environment);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn clean_home_is_empty_and_settings_of_the_user_stay() {
    let temp = tempfile::tempdir().unwrap();
    let variables = Environment::empty()
        .with_var("HTTP_PROXY", "http://proxy.example:3128")
        .with_var("NO_PROXY", "intranet.example")
        .with_var("GDAL_HTTP_HEADER_FILE", "/home/jane/headers");
    let broker = broker(Some("my-project")).await;
    let environment = ClientEnvironment::new(&broker, temp.path(), &variables).unwrap();
    let environment = environment.with_clean_home().unwrap();
    let home = get(&environment, "HOME").unwrap();
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 0);
    assert!(environment.removed().any(|name| name == "XDG_CONFIG_HOME"));
    for name in NO_PROXY {
        assert_eq!(
            get(&environment, name),
            Some("intranet.example,127.0.0.1,::1")
        );
    }
    assert_eq!(get(&environment, "GDAL_HTTP_HEADER_FILE"), None);
}

#[tokio::test]
async fn without_a_project_the_users_variables_stay() {
    let temp = tempfile::tempdir().unwrap();
    let broker = broker(None).await;
    let environment = ClientEnvironment::new(&broker, temp.path(), &Environment::empty()).unwrap();
    assert_eq!(get(&environment, "GOOGLE_CLOUD_PROJECT"), None);
    assert!(
        !environment
            .removed()
            .any(|name| name == "GOOGLE_CLOUD_PROJECT")
    );
    let missing = temp.path().join("missing");
    let error = ClientEnvironment::new(&broker, &missing, &Environment::empty()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PrivateDirectory);
}

#[tokio::test]
async fn variables_are_applied_to_a_command() {
    let temp = tempfile::tempdir().unwrap();
    let broker = broker(Some("my-project")).await;
    let environment = ClientEnvironment::new(&broker, temp.path(), &Environment::empty()).unwrap();
    let mut command = Command::new("true");
    command.env("GOOGLE_APPLICATION_CREDENTIALS", "/key.json");
    environment.apply(&mut command);
    let changes: BTreeMap<_, _> = command.get_envs().collect();
    assert_eq!(changes[OsStr::new("GOOGLE_APPLICATION_CREDENTIALS")], None);
    let project = changes[OsStr::new("GOOGLE_CLOUD_PROJECT")];
    assert_eq!(project, Some(OsStr::new("my-project")));
}
