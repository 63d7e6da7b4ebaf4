//! The checks of the credentials, their file and their token.

use chrono::Utc;
use ee_credentials::{
    CredentialKind, Credentials, Environment, SearchOutcome, SearchStep, Warning,
};
use ee_token::HttpClient;
use ee_token::internal::display_path;

use crate::doctor::network::approximate;
use crate::doctor::{Check, CheckStatus, Report, bounded};
use crate::login_status::{TokenScopes, token_scopes};
use crate::scope_check::{Access, access, obtain};
use crate::{EarthEngineBuilder, Error, ErrorKind};

pub(super) async fn find(
    builder: &EarthEngineBuilder,
    http: &HttpClient,
    environment: &Environment,
    report: &mut Report<impl FnMut(&Check)>,
) -> Option<Credentials> {
    let found = match bounded(builder.search(environment, http)).await {
        Ok(found) => found,
        Err(error) => {
            steps(error.search_steps(), report);
            report.add(Check::failed("credentials", &error));
            report.skip(&["file_permissions"], "there are no credentials");
            return None;
        }
    };
    steps(&found.searched, report);
    let credentials = found.credentials;
    report.add(Check::ok("credentials", description(&credentials)));
    permissions(&credentials, report);
    for warning in credentials.warnings() {
        if !warning.is_about_file_access() {
            report.add(Check::warning(
                warning.code,
                &warning.message,
                warning.remedy.clone(),
            ));
        }
    }
    Some(credentials)
}

fn steps(searched: &[SearchStep], report: &mut Report<impl FnMut(&Check)>) {
    for step in searched {
        let name = format!("search.{}", step.source.as_str());
        report.add(match &step.outcome {
            SearchOutcome::Found => Check::ok(name, step.to_string()),
            // The check of the credentials reports the error and its remedy.
            SearchOutcome::Invalid(_) => Check {
                status: CheckStatus::Failed,
                error: Some(ErrorKind::InvalidCredentials),
                ..Check::skipped(name, format!("{}: invalid", step.source))
            },
            _ => Check::skipped(name, step.to_string()),
        });
    }
}

fn description(credentials: &Credentials) -> String {
    let mut text = credentials.kind().description().to_owned();
    if let Some(principal) = credentials.principal() {
        text += &format!(", {principal}");
    }
    text += &format!(" ({})", credentials.source().description());
    text
}

fn permissions(credentials: &Credentials, report: &mut Report<impl FnMut(&Check)>) {
    const NAME: &str = "file_permissions";
    let Some(path) = credentials.path() else {
        return report.skip(&[NAME], "the credentials are not in a file");
    };
    let mut is_safe = true;
    for warning in credentials.warnings() {
        if warning.is_about_file_access() {
            is_safe = false;
            report.add(Check::warning(
                NAME,
                &warning.message,
                warning.remedy.clone(),
            ));
        }
    }
    if is_safe && cfg!(unix) {
        let message = format!("no other user may read or change {}", display_path(path));
        report.add(Check::ok(NAME, message));
    } else if is_safe {
        report.skip(&[NAME], "not checked on this system");
    }
}

/// Fetches a token and checks its scopes. Returns whether requests can be authenticated.
pub(super) async fn token(
    credentials: &Credentials,
    report: &mut Report<impl FnMut(&Check)>,
) -> bool {
    if credentials.kind() == CredentialKind::ApiKey {
        report.skip(&["token", "scopes"], "an API key needs no token");
        return true;
    }
    let token = match bounded(credentials.token()).await {
        Ok(token) => token,
        Err(error) => {
            report.add(Check::failed("token", &error));
            report.skip(&["scopes"], "there is no token");
            return false;
        }
    };
    report.add(Check::ok(
        "token",
        match token.expires_at() {
            Some(end) => format!(
                "valid until {} ({} from now)",
                end.format("%Y-%m-%d %H:%M UTC"),
                approximate(end - Utc::now())
            ),
            None => "valid, with an unknown lifetime".to_owned(),
        },
    ));
    let known = bounded(token_scopes(credentials, &token)).await;
    report.add(scopes(credentials.kind(), known));
    true
}

fn scopes(kind: CredentialKind, known: Result<Option<TokenScopes>, Error>) -> Check {
    const NAME: &str = "scopes";
    let granted = match known {
        Ok(Some(TokenScopes::Granted(granted))) => granted,
        Ok(Some(TokenScopes::Requested(_))) => {
            let why = "not known: no server tells which of the requested scopes were granted";
            return Check::skipped(NAME, why);
        }
        Ok(None) => return Check::skipped(NAME, "not known"),
        Err(error) => return Check::skipped(NAME, format!("not known: {error}")),
    };
    let short = |scope: &str| {
        let prefix = "https://www.googleapis.com/auth/";
        scope.strip_prefix(prefix).unwrap_or(scope).to_owned()
    };
    let all = granted.iter().map(short).collect::<Vec<_>>().join(", ");
    let log_in = obtain(kind);
    match access(&granted) {
        Access::None => {
            return Check {
                status: CheckStatus::Failed,
                error: Some(ErrorKind::InsufficientScopes),
                ..Check::warning(
                    NAME,
                    format!("{all}: neither earthengine nor cloud-platform was granted"),
                    log_in,
                )
            };
        }
        Access::ReadOnly => {
            let message = format!("{all}: these allow reading, but no computation");
            return Check::warning(NAME, message, log_in);
        }
        Access::Full => {}
    }
    if let Some(warning) = Warning::for_broad_scopes(&granted) {
        let message = format!("{all}: {warning}");
        return Check::warning(NAME, message, warning.remedy);
    }
    if !granted.contains("cloud-platform") {
        return Check::warning(
            NAME,
            format!("{all}: without cloud-platform, projects cannot be listed"),
            log_in,
        );
    }
    Check::ok(NAME, all)
}
