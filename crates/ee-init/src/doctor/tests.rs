use std::fs;

use ee_credentials::Environment;
use ee_emulator::{Emulator, EmulatorBuilder, Fault, GoogleError, Project, User};
use ee_token::Scopes;
use tempfile::TempDir;

use super::*;
use crate::EarthEngine;

const PROJECT: &str = "ee-demo-project";
const API: &str = "earthengine.googleapis.com";

struct Machine {
    emulator: Emulator,
    home: TempDir,
    environment: Environment,
}

impl Machine {
    async fn new(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let builder = Emulator::builder().project(Project::new(PROJECT));
        let emulator = settings(builder).start().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        Self {
            environment: Environment::empty()
                .with_var("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string())
                .with_home(home.path()),
            emulator,
            home,
        }
    }

    /// A machine with a login that has these scopes, and the demo project.
    async fn with_login(
        scopes: &[&str],
        settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder,
    ) -> (Self, User) {
        let machine = Self::new(settings).await;
        let jane = machine
            .emulator
            .create_user_with_scopes("jane@example.com", scopes, scopes);
        machine.login(&jane.earthengine_file_json(Some(PROJECT)));
        (machine, jane)
    }

    fn login(&self, text: &str) {
        let dir = self.home.path().join(".config/earthengine");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("credentials");
        fs::write(&path, text).unwrap();
        self.mode(0o600);
    }

    fn mode(&self, mode: u32) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let path = self.home.path().join(".config/earthengine/credentials");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    async fn diagnose(&self) -> Diagnosis {
        self.diagnose_in(self.environment.clone()).await
    }

    async fn diagnose_in(&self, environment: Environment) -> Diagnosis {
        EarthEngine::builder()
            .environment(environment)
            .diagnose()
            .await
    }
}

const ENOUGH: [&str; 2] = ["earthengine", "cloud-platform"];

pub(super) fn check<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a Check {
    let mut named = diagnosis.checks.iter().filter(|check| check.name == name);
    let found = named
        .next()
        .unwrap_or_else(|| panic!("{name}: {diagnosis:#?}"));
    assert!(named.next().is_none(), "{name} twice");
    found
}

/// Returns the names of the checks with this status.
fn which(diagnosis: &Diagnosis, status: CheckStatus) -> Vec<&str> {
    let ended = diagnosis.checks.iter().filter(|c| c.status == status);
    ended.map(|check| check.name.as_str()).collect()
}

#[tokio::test]
async fn working_setup_passes_every_check() {
    let (machine, _) = Machine::with_login(&ENOUGH, |b| b).await;
    let mut reported = Vec::new();
    let diagnosis = EarthEngine::builder()
        .environment(machine.environment.clone())
        .diagnose_with(|check| reported.push(check.name.clone()))
        .await;
    assert!(diagnosis.is_ok(), "{diagnosis:#?}");
    assert_eq!(
        reported,
        [
            "hosts",
            "proxy",
            "certificates",
            "network",
            "clock",
            "round_trip",
            "search.flag",
            "search.env:EARTHENGINE_TOKEN",
            "search.earthengine_file",
            "search.env:GOOGLE_APPLICATION_CREDENTIALS",
            "search.gcloud_adc",
            "search.metadata_server",
            "credentials",
            "file_permissions",
            "token",
            "scopes",
            "project",
            "permission",
            "api",
            "registration",
            "compute",
            "tier",
        ]
    );
    assert_eq!(which(&diagnosis, CheckStatus::Failed), [""; 0]);
    assert_eq!(which(&diagnosis, CheckStatus::Warning), [""; 0]);
    let skipped = which(&diagnosis, CheckStatus::Skipped);
    assert!(skipped.iter().all(|name| name.starts_with("search.")));
    assert_eq!(check(&diagnosis, "registration").message, "noncommercial");
    assert_eq!(
        check(&diagnosis, "project").message,
        "ee-demo-project (Earth Engine's login file)"
    );
}

#[tokio::test]
async fn missing_credentials_do_not_prevent_other_checks() {
    let machine = Machine::new(|b| b).await;
    let address = machine.emulator.address().to_string();
    let nowhere = Environment::empty().with_var("EARTHENGINE_EMULATOR_HOST", address);
    let diagnosis = machine.diagnose_in(nowhere.clone()).await;
    assert!(!diagnosis.is_ok());
    let failure = diagnosis.first_failure().unwrap();
    assert_eq!(
        (failure.name.as_str(), failure.error),
        ("credentials", Some(ErrorKind::NoCredentials))
    );
    assert!(failure.remedy.is_some());
    assert_eq!(
        check(&diagnosis, "search.earthengine_file").message,
        "Earth Engine's login file: the home directory is unknown"
    );
    assert_eq!(check(&diagnosis, "network").status, CheckStatus::Ok);
    assert_eq!(check(&diagnosis, "project").status, CheckStatus::Skipped);
    let named = nowhere.with_var("EARTHENGINE_PROJECT", PROJECT);
    let diagnosis = machine.diagnose_in(named).await;
    assert_eq!(check(&diagnosis, "project").status, CheckStatus::Ok);
    assert_eq!(check(&diagnosis, "compute").status, CheckStatus::Skipped);
    assert!(!diagnosis.is_ok());
}

#[tokio::test]
async fn invalid_credentials_fail_their_step_and_check() {
    let machine = Machine::new(|b| b).await;
    machine.login("{");
    let diagnosis = machine.diagnose().await;
    assert_eq!(
        which(&diagnosis, CheckStatus::Failed),
        ["search.earthengine_file", "credentials", "project"],
        "the file could name a project too"
    );
    let failed = check(&diagnosis, "credentials");
    assert_eq!(failed.error, Some(ErrorKind::InvalidCredentials));
    assert!(failed.message.contains("earthengine/credentials"));
}

#[cfg(unix)]
#[tokio::test]
async fn readable_credential_file_is_a_warning_with_a_command() {
    let (machine, _) = Machine::with_login(&ENOUGH, |b| b).await;
    machine.mode(0o644);
    let diagnosis = machine.diagnose().await;
    assert!(diagnosis.is_ok());
    assert_eq!(
        which(&diagnosis, CheckStatus::Warning),
        ["file_permissions"]
    );
    let remedy = check(&diagnosis, "file_permissions").remedy.clone();
    assert!(remedy.unwrap().command.unwrap().starts_with("chmod 600 "));
}

#[tokio::test]
async fn search_and_project_warnings_are_separate_checks() {
    let (machine, _) = Machine::with_login(&ENOUGH, |b| b).await;
    let environment = machine
        .environment
        .clone()
        .with_var("GOOGLE_APPLICATION_CREDENTIALS", "/some/key.json")
        .with_var("GOOGLE_CLOUD_PROJECT", "other-project");
    let diagnosis = machine.diagnose_in(environment).await;
    assert!(diagnosis.is_ok());
    assert_eq!(
        which(&diagnosis, CheckStatus::Warning),
        ["env_var_ignored", "project_variable_ignored"]
    );
}

#[tokio::test]
async fn clock_skew_is_reported_with_amount_and_direction() {
    let (machine, _) = Machine::with_login(&ENOUGH, |b| b).await;
    let clock = machine.emulator.clock();
    clock.advance(Duration::from_secs(600));
    let diagnosis = machine.diagnose().await;
    let late = check(&diagnosis, "clock");
    assert_eq!(late.status, CheckStatus::Warning);
    assert!(late.message.contains("behind"), "{}", late.message);
    clock.rewind(Duration::from_secs(600 + 3 * 3600 + 60));
    let diagnosis = machine.diagnose().await;
    let early = &check(&diagnosis, "clock").message;
    assert!(early.contains("3 hours ahead of"), "{early}");
}

#[tokio::test]
async fn offline_checks_run_if_the_network_fails() {
    let machine = Machine::with_login(&ENOUGH, |b| b).await.0;
    // A port that has just been closed.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let environment = machine
        .environment
        .clone()
        .with_var("EARTHENGINE_EMULATOR_HOST", address);
    let diagnosis = machine.diagnose_in(environment).await;
    assert_eq!(which(&diagnosis, CheckStatus::Failed), ["network", "token"]);
    assert_eq!(
        diagnosis.first_failure().unwrap().error,
        Some(ErrorKind::Network)
    );
    for name in ["credentials", "file_permissions", "project"] {
        assert_eq!(check(&diagnosis, name).status, CheckStatus::Ok, "{name}");
    }
}

#[tokio::test]
async fn remote_emulator_is_rejected_before_any_request() {
    let machine = Machine::with_login(&ENOUGH, |b| b).await.0;
    let environment = machine
        .environment
        .clone()
        .with_var("EARTHENGINE_EMULATOR_HOST", "192.0.2.1:80");
    let diagnosis = machine.diagnose_in(environment).await;
    assert_eq!(which(&diagnosis, CheckStatus::Failed), ["hosts"]);
    assert_eq!(check(&diagnosis, "compute").status, CheckStatus::Skipped);
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn unavailable_token_endpoint_fails_the_token_check() {
    let (machine, _) = Machine::with_login(&ENOUGH, |b| b).await;
    machine.emulator.fault(
        "oauth2.googleapis.com",
        Fault::respond(500, "text/html", "<html>").times(usize::MAX),
    );
    let diagnosis = machine.diagnose().await;
    assert_eq!(which(&diagnosis, CheckStatus::Failed), ["token"]);
    assert_eq!(
        check(&diagnosis, "token").error,
        Some(ErrorKind::ServerError)
    );
    assert_eq!(check(&diagnosis, "compute").message, "there is no token");
}

#[tokio::test]
async fn revoked_login_has_a_remedy() {
    let (machine, jane) = Machine::with_login(&ENOUGH, |b| b).await;
    machine.emulator.revoke(jane.earthengine_refresh_token());
    let diagnosis = machine.diagnose().await;
    let token = check(&diagnosis, "token");
    assert_eq!(token.error, Some(ErrorKind::CredentialsRejected));
    assert!(token.remedy.as_ref().unwrap().command.is_some());
    assert!(!format!("{diagnosis:?}").contains(jane.earthengine_refresh_token()));
}

#[tokio::test]
async fn missing_and_broad_scopes_are_distinguished() {
    use CheckStatus::{Failed, Ok, Warning};
    for (scopes, status, mentions) in [
        (
            &["earthengine", "cloud-platform"][..],
            Ok,
            "earthengine, cloud-platform",
        ),
        (
            &["earthengine", "cloud-platform", "drive"],
            Warning,
            "scopes that Earth Engine does not need: https://www.googleapis.com/auth/drive",
        ),
        (&["cloud-platform.read-only"], Warning, "no computation"),
        (&["earthengine"], Warning, "projects cannot be listed"),
        (&["earthengine.readonly"], Warning, "no computation"),
        (&["drive"], Failed, "neither"),
        (
            &[
                "openid",
                "email",
                "cloud-platform",
                "devstorage.full_control",
            ],
            Ok,
            "devstorage.full_control",
        ),
    ] {
        let (machine, _) = Machine::with_login(scopes, |b| b).await;
        let diagnosis = machine.diagnose().await;
        let found = check(&diagnosis, "scopes");
        assert_eq!(found.status, status, "{scopes:?}: {found:?}");
        assert!(found.message.contains(mentions), "{found:?}");
        assert_eq!(found.remedy.is_some(), status != Ok);
        let can_compute = scopes.contains(&"earthengine") || scopes.contains(&"cloud-platform");
        assert_eq!(diagnosis.is_ok(), can_compute, "{scopes:?}");
    }
}

#[tokio::test]
async fn project_error_fails_its_own_check() {
    for (project, failed, kind) in [
        (
            Project::new(PROJECT).denied(true),
            "permission",
            ErrorKind::ProjectDenied,
        ),
        (
            Project::new(PROJECT).suspended(true),
            "permission",
            ErrorKind::ProjectSuspended,
        ),
        (
            Project::new(PROJECT).fail_with(GoogleError::ProjectNotFound),
            "permission",
            ErrorKind::ProjectNotFound,
        ),
        (
            Project::new(PROJECT).fail_with(GoogleError::ForbiddenHtml),
            "permission",
            ErrorKind::NetworkBlocked,
        ),
        (
            Project::new(PROJECT).api_enabled(false),
            "api",
            ErrorKind::ApiDisabled,
        ),
        (
            Project::new(PROJECT).registration("NOT_REGISTERED"),
            "registration",
            ErrorKind::NotRegistered,
        ),
        (
            Project::new(PROJECT)
                .registration("NOT_REGISTERED")
                .config_when_unregistered(true),
            "registration",
            ErrorKind::NotRegistered,
        ),
    ] {
        let (machine, _) = Machine::with_login(&ENOUGH, |b| b.project(project)).await;
        let diagnosis = machine.diagnose().await;
        assert_eq!(which(&diagnosis, CheckStatus::Failed), [failed]);
        let check = check(&diagnosis, failed);
        assert_eq!(check.error, Some(kind));
        assert!(check.remedy.is_some(), "{check:?}");
        assert!(check.message.contains(PROJECT) || kind == ErrorKind::NetworkBlocked);
        assert!(!diagnosis.is_ok());
    }
}

#[tokio::test]
async fn unreadable_configuration_does_not_fail_the_diagnosis() {
    for (missing, is_ok) in [
        (&["earthengine.config.get"][..], true),
        (
            &["earthengine.config.get", "earthengine.computations.create"],
            false,
        ),
    ] {
        let project = missing.iter().fold(Project::new(PROJECT), |p, permission| {
            p.without_permission(*permission)
        });
        let (machine, _) = Machine::with_login(&ENOUGH, |b| b.project(project)).await;
        let diagnosis = machine.diagnose().await;
        assert_eq!(diagnosis.is_ok(), is_ok, "{diagnosis:#?}");
        for name in ["permission", "api"] {
            assert_eq!(check(&diagnosis, name).status, CheckStatus::Ok, "{name}");
        }
        let registration = check(&diagnosis, "registration");
        assert_eq!(registration.status, CheckStatus::Warning);
        assert!(registration.remedy.is_some());
        let failed = if is_ok { &[][..] } else { &["compute"] };
        assert_eq!(which(&diagnosis, CheckStatus::Failed), failed);
    }
}

#[tokio::test]
async fn invalid_base_url_fails_the_network_check() {
    let (machine, _) = Machine::with_login(&ENOUGH, |b| b).await;
    let diagnosis = EarthEngine::builder()
        .environment(machine.environment.clone())
        .base_url("http://elsewhere.example/".parse().unwrap())
        .diagnose()
        .await;
    let failed = check(&diagnosis, "network");
    assert_eq!(failed.error, Some(ErrorKind::InvalidRequest));
    assert!(!diagnosis.is_ok());
}

#[tokio::test]
async fn restricted_mode_and_server_messages_are_warnings() {
    let project = Project::new(PROJECT)
        .quota_status("parallelism_restricted=true")
        .init_message("Maintenance on Sunday.");
    let (machine, _) = Machine::with_login(&ENOUGH, |b| b.project(project)).await;
    let diagnosis = machine.diagnose().await;
    assert!(diagnosis.is_ok());
    assert_eq!(which(&diagnosis, CheckStatus::Warning), ["message", "tier"]);
    assert!(
        check(&diagnosis, "message")
            .message
            .contains("Maintenance on Sunday.")
    );
}

#[tokio::test]
async fn failed_or_wrong_computation_fails_the_diagnosis() {
    for (body, kind) in [
        (r#"{"result": 2}"#, ErrorKind::ServerError),
        ("<html>", ErrorKind::InvalidResponse),
    ] {
        let (machine, _) = Machine::with_login(&ENOUGH, |b| b).await;
        machine.emulator.fault(
            API,
            Fault::respond(200, "application/json", body)
                .on_path(format!("/v1/projects/{PROJECT}/value:compute")),
        );
        let diagnosis = machine.diagnose().await;
        assert_eq!(which(&diagnosis, CheckStatus::Failed), ["compute"]);
        assert_eq!(check(&diagnosis, "compute").error, Some(kind));
        assert!(!diagnosis.is_ok());
    }
}

#[tokio::test]
async fn api_key_needs_no_token() {
    let machine = Machine::new(|b| b.api_key("AIza-demo", PROJECT)).await;
    let diagnosis = EarthEngine::builder()
        .environment(machine.environment.clone())
        .api_key("AIza-demo")
        .project(PROJECT)
        .diagnose()
        .await;
    assert!(diagnosis.is_ok(), "{diagnosis:#?}");
    assert_eq!(check(&diagnosis, "token").status, CheckStatus::Skipped);
}

#[tokio::test]
async fn service_account_scopes_are_requested() {
    let machine = Machine::new(|b| b).await;
    let robot = machine
        .emulator
        .create_service_account("robot@ee-demo-project.iam.gserviceaccount.com", PROJECT);
    let diagnosis = EarthEngine::builder()
        .environment(machine.environment.clone())
        .credentials_json(robot.json_key())
        .scopes(Scopes::new(["earthengine", "cloud-platform", "drive"]))
        .diagnose()
        .await;
    assert!(check(&diagnosis, "scopes").message.contains("drive"));
    assert!(diagnosis.is_ok());
}

#[tokio::test(start_paused = true)]
async fn every_check_has_a_timeout() {
    let error = bounded(std::future::pending::<Result<(), Error>>())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(!error.remedy().text.is_empty());
}
