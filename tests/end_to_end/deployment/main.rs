//! The configuration files of the deployment pages, used as their platforms do, with the emulator in
//! place of Google and of the platforms' token services.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod page;
mod platform;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use earthengine::credentials::{CredentialConfig, CredentialOptions, Search};
use earthengine::token::HttpClient;
use earthengine::{Credentials, Endpoints, Environment};
use ee_emulator::{AwsKey, Fault};
use serde_json::{Value, json};

use crate::page::{Page, container_variables, dir};
use crate::platform::{PROJECT, Platform, ROBOT};

const PAGES: [&str; 11] = [
    "aws",
    "azure",
    "cloud-run",
    "cloud-run-jobs",
    "compute-engine",
    "docker",
    "github-actions",
    "gitlab",
    "gke",
    "systemd",
    "workers",
];

#[test]
fn every_page_says_how_to_check_and_what_goes_wrong() {
    let files = fs::read_dir(dir())
        .unwrap()
        .map(|file| file.unwrap().path());
    let found: BTreeSet<_> = files
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, PAGES.map(str::to_owned).into());
    for name in PAGES {
        let page = Page::read(name);
        for heading in ["What the library does", "Check", "Problems"] {
            assert!(
                page.text.contains(&format!("\n## {heading}\n")),
                "{name}: {heading}"
            );
        }
        assert!(
            page.text.contains("eectl doctor") || page.text.contains("eectl init"),
            "{name}"
        );
        page.json();
        page.yaml();
    }
}

#[test]
fn cloud_run_pages_use_the_metadata_server() {
    let service = &Page::read("cloud-run").yaml()[0];
    let job = &Page::read("cloud-run-jobs").yaml()[0];
    for pod in [
        &service["spec"]["template"]["spec"],
        &job["spec"]["template"]["spec"]["template"]["spec"],
    ] {
        assert_eq!(pod["serviceAccountName"], ROBOT);
        let scopes = ["cloud-platform".to_owned()];
        let mut platform = Platform::on_google_cloud(&scopes, |b| b.metadata_honors_scopes());
        platform.set_all(container_variables(pod));
        platform.set("K_SERVICE", "my-service");
        // A key that was left in the image is not used.
        platform.file(".config/earthengine/credentials", "{}");
        platform.connects();
    }
}

#[test]
fn gke_page_uses_the_metadata_server_of_the_cluster() {
    let documents = Page::read("gke").yaml();
    let [account, deployment] = &documents[..] else {
        panic!("{documents:?}");
    };
    let annotations = &account["metadata"]["annotations"];
    assert_eq!(annotations["iam.gke.io/gcp-service-account"], ROBOT);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    let scopes = ["cloud-platform".to_owned()];
    let mut platform = Platform::on_google_cloud(&scopes, |b| b.metadata_without_recursive());
    platform.set_all(container_variables(pod));
    platform.set("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    platform.connects();
}

#[test]
fn compute_engine_page_names_the_necessary_scopes() {
    let page = Page::read("compute-engine");
    let (_, rest) = page.text.split_once("--scopes=").unwrap();
    let scopes = rest.lines().next().unwrap().split(',');
    let scopes: Vec<_> = scopes.map(str::to_owned).collect();
    let environment = page.settings("ini");
    let variables = environment.iter().filter(|(key, _)| key == "Environment");
    let variables: Vec<_> = variables
        .map(|(_, value)| value.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(variables.len(), 2);
    let mut platform = Platform::on_google_cloud(&scopes, |b| b);
    platform.set_all(variables.clone());
    platform.connects();

    let default = ["devstorage.read_only", "logging.write"].map(str::to_owned);
    let mut platform = Platform::on_google_cloud(&default, |b| b);
    platform.set_all(variables);
    platform.fails("insufficient_scopes", "scope");
}

/// Writes the credential file of a page, with another token file, and names it in the environment.
fn use_file(platform: &mut Platform, credential: &Value) {
    let path = platform.file("earthengine.json", &credential.to_string());
    platform.set("GOOGLE_APPLICATION_CREDENTIALS", &path);
    platform.set("EARTHENGINE_PROJECT", PROJECT);
}

#[test]
fn github_actions_page_connects_with_the_file_of_the_action() {
    let page = Page::read("github-actions");
    let workflow = &page.yaml()[0];
    assert_eq!(workflow["permissions"]["id-token"], "write");
    assert_eq!(workflow["env"]["EARTHENGINE_PROJECT"], PROJECT);
    let steps = &workflow["jobs"]["maps"]["steps"];
    let action = &steps[1]["with"];
    assert_eq!(action["service_account"], ROBOT);

    let credential = page.json().remove(0);
    let provider = action["workload_identity_provider"].as_str().unwrap();
    let audience = format!("//iam.googleapis.com/{provider}");
    assert_eq!(credential["audience"], audience.as_str());
    let mut platform = Platform::new();
    let token = platform.trust(&credential, "github");
    let source = &credential["credential_source"];
    let header = source["headers"]["Authorization"].as_str().unwrap();
    let host = "pipelines.actions.githubusercontent.com";
    let service = Fault::status(200).json(&json!({"value": token}));
    let service = service.require_header("Authorization", header);
    platform.emulator.fault(host, service.times(usize::MAX));
    use_file(&mut platform, &credential);
    platform.connects();

    // The file of another job.
    platform.emulator.clear_faults();
    platform
        .emulator
        .fault(host, Fault::status(401).times(usize::MAX));
    platform.fails("credentials_rejected", host);
}

#[cfg(unix)]
#[test]
fn gitlab_page_connects_with_its_script() {
    let page = Page::read("gitlab");
    let job = page.yaml().remove(0)["maps"].clone();
    let credential = page.json().remove(0);
    let mut platform = Platform::new();
    let token = platform.trust(&credential, "gitlab");
    let audience = credential["audience"].as_str().unwrap();
    let requested = &job["id_tokens"]["EARTHENGINE_ID_TOKEN"]["aud"];
    assert_eq!(requested.as_str(), Some(&*format!("https:{audience}")));

    let checkout = platform.home.path().display().to_string();
    platform.file("earthengine.json", &credential.to_string());
    for (name, value) in job["variables"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        platform.set(name, &value.replace("$CI_PROJECT_DIR", &checkout));
    }
    platform.set("EARTHENGINE_ID_TOKEN", &token);
    let eectl = Path::new(env!("CARGO_BIN_EXE_eectl"));
    let path = format!("{}:/usr/bin:/bin", eectl.parent().unwrap().display());
    platform.set("PATH", &path);
    let lines = job["script"].as_array().unwrap().iter();
    let script: Vec<_> = lines.map(|line| line.as_str().unwrap()).collect();
    let script = script.join("\n");
    let output = platform
        .command(Path::new("/bin/sh"))
        .args(["-e", "-c", &script])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(printed.contains(ROBOT), "{printed}");
    platform.connects();

    platform.file(".earthengine-id-token", "");
    platform.fails("invalid_credentials", ".earthengine-id-token");
    fs::remove_file(platform.path(".earthengine-id-token")).unwrap();
    platform.fails("invalid_credentials", ".earthengine-id-token");
}

#[test]
fn aws_page_connects_on_ec2_and_in_lambda() {
    let credential = Page::read("aws").json().remove(0);
    let audience = credential["audience"].as_str().unwrap().to_owned();
    let pool = audience.split("/providers/").next().unwrap();
    let platform = || {
        let mut platform = Platform::new();
        platform.emulator.create_service_account(ROBOT, PROJECT);
        platform.emulator.create_aws_provider(&audience);
        use_file(&mut platform, &credential);
        platform
    };
    let allow = |platform: &Platform, key: &AwsKey| {
        let principal = format!("principal:{pool}/subject/{}", key.arn());
        platform.emulator.allow_impersonation(&principal, ROBOT);
    };

    let machine = platform();
    let key = machine.emulator.run_on_ec2("my-role", "us-east-2b");
    machine.fails("credentials_rejected", "iam.serviceAccounts.getAccessToken");
    let machine = platform();
    let key_of_machine = machine.emulator.run_on_ec2("my-role", "us-east-2b");
    assert_eq!(key.arn(), key_of_machine.arn());
    allow(&machine, &key_of_machine);
    machine.connects();

    let mut lambda = platform();
    let key = AwsKey::for_role("my-role");
    lambda.emulator.add_aws_key(key.clone());
    allow(&lambda, &key);
    lambda.set("AWS_ACCESS_KEY_ID", key.id());
    lambda.set("AWS_SECRET_ACCESS_KEY", key.secret());
    lambda.set("AWS_SESSION_TOKEN", key.session_token().unwrap());
    lambda.fails("network", "AWS_REGION");
    lambda.set("AWS_REGION", "us-east-2");
    lambda.connects();
}

#[test]
fn azure_page_connects_on_a_machine_and_in_a_pod() {
    let page = Page::read("azure");
    let credentials = page.json();
    let [machine, pod] = &credentials[..] else {
        panic!("{credentials:?}");
    };
    let mut platform = Platform::new();
    let token = platform.trust(machine, "azure");
    let service = Fault::status(200).json(&json!({"access_token": token, "token_type": "Bearer"}));
    let service = service.require_header("Metadata", "True");
    let service = service.on_path("/metadata/identity/oauth2/token");
    platform
        .emulator
        .fault("169.254.169.254", service.times(usize::MAX));
    use_file(&mut platform, machine);
    platform.connects();

    let manifest = &page.yaml()[0]["spec"];
    let token_file = Path::new(pod["credential_source"]["file"].as_str().unwrap());
    let container = &manifest["containers"][0];
    let directory = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let projected = &manifest["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    let projected_file = Path::new(directory).join(projected["path"].as_str().unwrap());
    assert_eq!(token_file, projected_file);
    let audience = pod["audience"].as_str().unwrap();
    assert_eq!(
        projected["audience"].as_str(),
        Some(&*format!("https:{audience}"))
    );
    let variables = container_variables(manifest);
    let configuration = Path::new(&variables["GOOGLE_APPLICATION_CREDENTIALS"]);
    let mounted = container["volumeMounts"][1]["mountPath"].as_str().unwrap();
    assert_eq!(configuration.parent(), Some(Path::new(mounted)));

    let mut platform = Platform::new();
    let token = platform.trust(pod, "aks");
    let mut credential = pod.clone();
    credential["credential_source"]["file"] = platform.file("token", &token).into();
    platform.set_all(variables);
    use_file(&mut platform, &credential);
    platform.connects();
}

#[test]
fn systemd_page_connects_with_its_unit_and_its_crontab() {
    let page = Page::read("systemd");
    let mut platform = Platform::new();
    let key = platform.emulator.create_service_account(ROBOT, PROJECT);
    let key = platform.file("run/key.json", &key.json_key());
    let settings = page.settings("ini");
    let load = settings.iter().find(|(name, _)| name == "LoadCredential");
    assert_eq!(load.unwrap().1, "key.json:/etc/earthengine/key.json");
    let directory = platform.path("run").display().to_string();
    for (_, variable) in settings.iter().filter(|(name, _)| name == "Environment") {
        let (name, value) = variable.split_once('=').unwrap();
        platform.set(name, &value.replace("%d", &directory));
    }
    platform.connects();

    let mut platform = Platform::new();
    let account = platform.emulator.create_service_account(ROBOT, PROJECT);
    platform.file("key.json", &account.json_key());
    let home = platform.home.path().display().to_string();
    let mut variables = page.settings("text");
    variables.retain(|(name, _)| !name.contains(' '));
    assert_eq!(variables.len(), 2);
    for (name, value) in variables {
        platform.set(&name, &value.replace("/home/robot", &home));
    }
    platform.connects();
    // The variables of a login shell are not set.
    let platform = Platform::new();
    platform.fails("no_credentials", "GOOGLE_APPLICATION_CREDENTIALS");
    drop(key);
}

#[test]
fn docker_page_connects_with_its_mounts() {
    let page = Page::read("docker");
    let compose = &page.yaml()[0];
    let service = &compose["services"]["maps"];
    let secret = service["secrets"][0].as_str().unwrap();
    assert!(compose["secrets"][secret]["file"].is_string());
    let variables = service["environment"].as_object().unwrap();
    let path = variables["GOOGLE_APPLICATION_CREDENTIALS"].as_str();
    assert_eq!(path, Some(&*format!("/run/secrets/{secret}")));
    let mut platform = Platform::new();
    let key = platform.emulator.create_service_account(ROBOT, PROJECT);
    let mounted = platform.file("secrets/key", &key.json_key());
    for (name, value) in variables {
        platform.set(
            name,
            &value.as_str().unwrap().replace(path.unwrap(), &mounted),
        );
    }
    platform.connects();

    // The mounted login.
    let mut platform = Platform::new();
    let jane = platform.emulator.create_user("jane@example.com");
    let login = platform.file("login/credentials", &jane.earthengine_file_json(None));
    platform.set("EE_CONFIG_FILE", &login);
    platform.set("EARTHENGINE_PROJECT", PROJECT);
    platform.connects_as(None);
    // Docker creates a directory where nothing exists.
    fs::remove_file(&login).unwrap();
    fs::create_dir(&login).unwrap();
    let (status, json) = platform.run(&["init"]);
    assert_ne!(status, 0, "{json}");
    assert!(json.to_string().contains("directory"), "{json}");
}

#[test]
fn workers_find_the_account_of_the_driver() {
    let environ = Page::read("workers").yaml()[0]["distributed"]["nanny"]["environ"].clone();
    let path = environ["GOOGLE_APPLICATION_CREDENTIALS"].as_str().unwrap();
    let platform = Platform::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        send_to_workers(&platform, path).await;
    });
}

async fn send_to_workers(platform: &Platform, path: &str) {
    let http = HttpClient::new(Endpoints::emulator(platform.emulator.address()).unwrap());
    let environment = |dir: &str| {
        let path = platform.path(&format!("{dir}{path}"));
        Environment::empty()
            .with_home(platform.path(dir))
            .with_var("GOOGLE_APPLICATION_CREDENTIALS", path.to_string_lossy())
    };
    let robot = platform.emulator.create_service_account(ROBOT, PROJECT);
    let key = robot.json_key();
    platform.file(&format!("driver{path}"), &key);
    let options = CredentialOptions::new(http.clone());
    let found = Search::new(environment("driver"), options)
        .find()
        .await
        .unwrap();
    let config = serde_json::to_string(&found.credentials.to_config().unwrap()).unwrap();
    let secret = robot.pkcs8_pem().lines().nth(3).unwrap();
    assert!(!config.contains(secret), "the configuration has the key");

    let config: CredentialConfig = serde_json::from_str(&config).unwrap();
    let connect = |dir: &'static str| {
        let (config, http, environment) = (&config, &http, environment(dir));
        async move { Credentials::from_config(config, &environment, http).await }
    };
    platform.file(&format!("worker{path}"), &key);
    let worker = connect("worker").await.unwrap();
    assert_eq!(worker.principal(), Some(ROBOT));
    worker.token().await.unwrap();

    let other = "other@my-project.iam.gserviceaccount.com";
    let other = platform.emulator.create_service_account(other, PROJECT);
    platform.file(&format!("stranger{path}"), &other.json_key());
    let error = connect("stranger").await.unwrap_err();
    assert!(error.to_string().contains("other@"), "{error}");
    assert!(connect("empty").await.is_err());
}
