use super::*;

impl Machine {
    /// Adds a program to `PATH`.
    fn install(&mut self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = self.home.path().join("bin");
        fs::create_dir_all(&dir).unwrap();
        let text = self.home.path().join("script");
        fs::write(&text, format!("#!/bin/sh\n{script}")).unwrap();
        // A file that is open for writing cannot be executed, and child processes of other tests
        // may inherit the open file. A copy made by another process avoids this.
        let copied = std::process::Command::new("cp")
            .arg(&text)
            .arg(dir.join(name))
            .status();
        assert!(copied.unwrap().success());
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([&*dir, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
        self.environment = self.environment.clone().with_var_os("PATH", path);
    }
}

#[tokio::test]
async fn gcloud_login_is_run_and_copied() {
    let mut machine = Machine::new().await;
    let joe = machine.emulator.create_user_with_scopes(
        "joe@example.com",
        &["openid", "userinfo.email", "earthengine"],
        &["earthengine"],
    );
    let adc = machine.home.path().join("adc.json");
    fs::write(&adc, joe.authorized_user_json()).unwrap();
    machine.install(
        "gcloud",
        &format!("echo \"$@\" > \"$HOME/words\"; mkdir -p \"$HOME/.config/gcloud\"; cp {} \"$HOME/.config/gcloud/application_default_credentials.json\"", adc.display()),
    );
    let flow = machine.flow("gcloud").force(true);
    let saved = machine.saved(&flow).await;
    assert_eq!(saved.missing, Scopes::new(["cloud-platform"]));
    let words = fs::read_to_string(machine.home.path().join("words")).unwrap();
    assert_eq!(
        words.trim(),
        "auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"
    );
    machine.saved(&flow.quiet(true)).await;
    let quiet = fs::read_to_string(machine.home.path().join("words")).unwrap();
    let expected = format!("{} --no-launch-browser", words.trim());
    assert_eq!(quiet.trim(), expected);
    let file = machine.file();
    assert_eq!(file["refresh_token"], joe.refresh_token());
    let client_id = file["client_id"].as_str().unwrap();
    assert!(client_id.starts_with("764086051850-"), "{client_id}");
    assert_eq!(
        file["scopes"],
        json!(["https://www.googleapis.com/auth/earthengine"])
    );
    machine.check_login_works().await;
}

#[tokio::test]
async fn gcloud_legacy_uses_earth_engines_client_temporarily() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    let token = machine.emulator.grant(
        "joe@example.com",
        CLIENT_ID,
        &["earthengine", "cloud-platform"],
    );
    let adc = json!({"type": "authorized_user", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": token});
    fs::write(machine.home.path().join("adc.json"), adc.to_string()).unwrap();
    machine.install(
        "gcloud",
        "for word in \"$@\"; do case \"$word\" in --client-id-file=*) file=\"${word#*=}\";; --no-browser) quiet=yes;; esac; done\n\
         grep -q 517222506229 \"$file\" && [ \"$quiet\" = yes ] || exit 9\n\
         echo \"$file\" > \"$HOME/client\"; mkdir -p \"$HOME/.config/gcloud\"\n\
         cp \"$HOME/adc.json\" \"$HOME/.config/gcloud/application_default_credentials.json\"",
    );
    machine
        .saved(&machine.flow("gcloud-legacy").force(true))
        .await;
    let client = fs::read_to_string(machine.home.path().join("client")).unwrap();
    assert!(!std::path::Path::new(client.trim()).exists());
    let file = machine.file();
    assert_eq!(file["refresh_token"], token);
    assert!(file.get("client_id").is_none());
    machine.check_login_works().await;
}

#[tokio::test]
async fn gcloud_failures_are_distinguished() {
    let mut machine = Machine::new().await;
    let error = machine.fails("gcloud", ErrorKind::LoginUnavailable).await;
    assert!(error.remedy().url.as_ref().unwrap().contains("install"));
    machine.install("gcloud", "exit 3");
    let error = machine.fails("gcloud", ErrorKind::LoginFailed).await;
    assert!(error.to_string().contains('3'), "{error}");
    machine.install("gcloud", "exit 0");
    let error = machine.error(&machine.flow("gcloud")).await;
    assert!(error.to_string().contains("did not write"), "{error}");
    machine.install("gcloud", "exec sleep 600");
    let with_timeout = machine.flow("gcloud").timeout(Duration::from_millis(50));
    assert_eq!(
        machine.error(&with_timeout).await.kind(),
        ErrorKind::LoginTimeout
    );
}
