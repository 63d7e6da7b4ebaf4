//! The checks of the project: which one, whether it can be used, and a computation.

use std::time::Duration;

use ee_credentials::{Credentials, Environment};
use ee_rest::internal::not_registered;
use ee_rest::{Client, ProjectConfig, Registration, Response};
use ee_token::{HttpClient, Remedy, RetryPolicy};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::doctor::{Check, CheckStatus, Report, bounded};
use crate::project::resolve::{ProjectInputs, resolve};
use crate::verify::may_not_read_config;
use crate::{EarthEngineBuilder, Error, ErrorKind, Project, check_project};

/// The checks of [`examine`].
pub(super) const CHECKS: [&str; 5] = ["permission", "api", "registration", "compute", "tier"];

const TIMEOUT: Duration = Duration::from_secs(15);

pub(super) async fn choose(
    builder: &EarthEngineBuilder,
    credentials: Option<&Credentials>,
    environment: &Environment,
    report: &mut Report<impl FnMut(&Check)>,
) -> Option<Project> {
    let choose = async {
        if let Some(given) = builder.given_project() {
            check_project(given)?;
        }
        resolve(&ProjectInputs {
            given: builder.given_project(),
            environment,
            credentials,
        })
        .await
    };
    match bounded(choose).await {
        Ok(project) => {
            report.add(Check::ok(
                "project",
                format!("{} ({})", project.id, project.source.description()),
            ));
            for warning in &project.warnings {
                report.add(Check::warning(
                    warning.code,
                    &warning.message,
                    warning.remedy.clone(),
                ));
            }
            Some(project)
        }
        // The missing credentials could have contained one.
        Err(error) if credentials.is_none() && error.kind() == ErrorKind::NoProject => {
            report.add(Check::skipped(
                "project",
                "no project is set, and there are no credentials that could contain one",
            ));
            None
        }
        Err(error) => {
            report.add(Check::failed("project", &error));
            None
        }
    }
}

pub(super) async fn examine(
    builder: &EarthEngineBuilder,
    http: &HttpClient,
    credentials: &Credentials,
    project: &Project,
    report: &mut Report<impl FnMut(&Check)>,
) {
    let who = credentials.principal().unwrap_or("this login");
    let client = match builder.client(http, credentials, project) {
        Ok(client) => client,
        Err(error) => {
            report.add(Check::failed("permission", &error.into()));
            return report.skip(&CHECKS[1..], "no request can be sent for this project");
        }
    };
    let config = send(&client, Method::GET, "config", None).await;
    let is_usable = config_checks(&config, project, who, report);
    if !is_usable {
        return report.skip(&["compute", "tier"], "the project cannot be used");
    }
    let one = json!({"expression": {"result": "0", "values": {"0": {"constantValue": 1}}}});
    let computed = send(&client, Method::POST, "value:compute", Some(&one)).await;
    report.add(match &computed {
        Ok(response) => computation(response),
        Err(error) => Check::failed("compute", error),
    });
    let responses = [config.as_ref(), computed.as_ref()];
    for response in responses.into_iter().flatten() {
        if let Some(message) = response.init_message() {
            report.add(Check::warning(
                "message",
                format!("Earth Engine says: {message}"),
                Remedy::new("Read the message. It is for all users of this project."),
            ));
            break;
        }
    }
    report.add(tier(&responses));
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Response, Error> {
    // A check shows the current state: one retry, without long waits.
    let retry = RetryPolicy {
        max_retries: 1,
        max_backoff: Duration::from_secs(1),
        max_elapsed: TIMEOUT,
        ..RetryPolicy::default()
    };
    let mut request = client
        .request(method, path)
        .retry_policy(retry)
        .timeout(TIMEOUT);
    if let Some(body) = body {
        request = request.json(body);
    }
    bounded(request.send()).await
}

/// Adds the three checks that the response answers. Returns whether the project can be used.
fn config_checks(
    config: &Result<Response, Error>,
    project: &Project,
    who: &str,
    report: &mut Report<impl FnMut(&Check)>,
) -> bool {
    let read = config
        .as_ref()
        .map_err(Error::clone)
        .and_then(|response| Ok(response.json::<ProjectConfig>()?));
    let permitted = || Check::ok("permission", format!("{who} may use {}", project.id));
    let enabled = || Check::ok("api", format!("enabled in {}", project.id));
    let error = match read {
        Ok(config) => {
            let tier = config.tier();
            let check = registration(config.registration_state, tier.as_deref(), project);
            let is_usable = check.status != CheckStatus::Failed;
            report.add(permitted());
            report.add(enabled());
            report.add(check);
            return is_usable;
        }
        // The computation decides, as for programs.
        Err(error) if may_not_read_config(error.api()) => {
            report.add(permitted());
            report.add(enabled());
            report.add(unreadable(who, project));
            return true;
        }
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::ApiDisabled => {
            report.add(permitted());
            report.add(Check::failed("api", &error));
            report.skip(&["registration"], "the API is not enabled");
        }
        ErrorKind::NotRegistered => {
            report.add(permitted());
            report.add(enabled());
            report.add(Check::failed("registration", &error));
        }
        _ => {
            report.add(Check::failed("permission", &error));
            report.skip(&["api", "registration"], "the configuration cannot be read");
        }
    }
    false
}

fn unreadable(who: &str, project: &Project) -> Check {
    Check::warning(
        "registration",
        format!("{who} may not read the registration of {}", project.id),
        Remedy::new(
            "Programs run without it. To see it, ask the project's owner for a role with the permission earthengine.config.get, such as Earth Engine Resource Viewer (roles/earthengine.viewer).",
        ),
    )
}

fn registration(state: Registration, tier: Option<&str>, project: &Project) -> Check {
    const NAME: &str = "registration";
    match state {
        Registration::Commercial | Registration::NotCommercial => {
            let tier = tier.map(|tier| format!(", {tier} tier"));
            let state = state.description();
            Check::ok(NAME, format!("{state}{}", tier.unwrap_or_default()))
        }
        Registration::NotRegistered => {
            let origin = Some(project.source.into());
            Check::failed(NAME, &not_registered(&project.id, origin).into())
        }
        other => Check::warning(
            NAME,
            format!("Earth Engine does not report the registration ({other})"),
            Remedy::new("Check the registration in the Cloud console.").url(format!(
                "https://console.cloud.google.com/earth-engine/configuration?project={}",
                project.id
            )),
        ),
    }
}

fn computation(response: &Response) -> Check {
    #[derive(Deserialize)]
    struct ComputeResponse {
        result: Value,
    }
    const NAME: &str = "compute";
    match response.json::<ComputeResponse>() {
        Ok(value) if value.result.as_f64() == Some(1.0) => Check::ok(NAME, "1 is 1"),
        Ok(_) => Check::failed(
            NAME,
            &Error::new(
                ErrorKind::ServerError,
                "Earth Engine computed a wrong value for the constant 1",
            )
            .with_remedy(
                Remedy::new("Try again in a moment.").url("https://status.cloud.google.com/"),
            ),
        ),
        Err(error) => Check::failed(NAME, &error.into()),
    }
}

/// Checks whether the project exceeded its noncommercial quota, which limits concurrency.
fn tier(responses: &[Result<&Response, &Error>]) -> Check {
    const NAME: &str = "tier";
    let restricted = responses.iter().flatten().any(|response| {
        header(response.headers(), "x-earth-engine-quota-status")
            .is_some_and(|status| status.contains("parallelism_restricted=true"))
    });
    if !restricted {
        return Check::ok(NAME, "the project is not in restricted mode");
    }
    Check::warning(
        NAME,
        "the project exceeded its noncommercial quota of this month and is in restricted mode, with few concurrent computations",
        Remedy::new("Wait until next month, or change to a higher tier.")
            .url("https://developers.google.com/earth-engine/guides/noncommercial_tiers"),
    )
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
