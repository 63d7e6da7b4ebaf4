//! Whether a project may use Earth Engine: the requests that verify it, and the patience with
//! what passes by itself.

use std::borrow::Cow;
use std::time::Duration;

use ee_rest::Client;
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::refusal::{Context, explain, not_registered};
use crate::registration::{ProjectConfig, Registration};
use crate::{Error, ErrorKind};

/// How far connecting verifies the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Verify {
    /// Not at all: what is wrong shows in the first call.
    None,
    /// The project's configuration is read, which tells whether the caller may use the project,
    /// whether the API is enabled, and how the project is registered. One request; one more
    /// where the caller may compute and not read the configuration: a constant is computed then.
    #[default]
    Config,
    /// The configuration is read, and a constant computed. Two requests.
    Compute,
}

/// The permission to read the configuration. It is younger than the one to compute, and roles
/// that people made themselves lack it.
const READ_CONFIG: &str = "earthengine.config.get";

/// The first wait before a refusal that passes by itself is looked at again, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What verifying has told.
pub(crate) struct Verified {
    pub(crate) registration: Registration,
    /// What Earth Engine wants to be shown when a program starts.
    pub(crate) init_message: Option<String>,
}

impl Verified {
    fn untold(registration: Registration) -> Self {
        Self {
            registration,
            init_message: None,
        }
    }
}

async fn verify(
    level: Verify,
    client: &Client,
    project: &str,
    context: &Context,
) -> Result<Verified, Error> {
    let verified = match level {
        Verify::None => return Ok(Verified::untold(Registration::Unverified)),
        Verify::Config | Verify::Compute => match read_config(client).await {
            Ok(verified) => verified,
            Err(error) if lacks(&error, READ_CONFIG) => {
                compute_a_constant(client, context).await?;
                return Ok(Verified::untold(Registration::Unspecified));
            }
            Err(error) => return Err(explain(error, context)),
        },
    };
    if verified.registration == Registration::NotRegistered {
        return Err(not_registered(project));
    }
    if level == Verify::Compute {
        compute_a_constant(client, context).await?;
    }
    Ok(verified)
}

async fn read_config(client: &Client) -> Result<Verified, ee_rest::Error> {
    let response = client.request(Method::GET, "config").send().await?;
    let config: ProjectConfig = response.json()?;
    Ok(Verified {
        registration: config
            .registration_state
            .unwrap_or(Registration::Unspecified),
        init_message: response.init_message().map(Cow::into_owned),
    })
}

fn lacks(error: &ee_rest::Error, permission: &str) -> bool {
    error.api().is_some_and(|api| {
        api.status.as_u16() == 403
            && (api.metadata.get("permission").map(String::as_str) == Some(permission)
                || api.message.contains(&format!("'{permission}'")))
    })
}

async fn compute_a_constant(client: &Client, context: &Context) -> Result<(), Error> {
    let one = json!({"result": "0", "values": {"0": {"constantValue": 1}}});
    let answer: Result<Value, _> = client.compute(&one).await;
    answer.map(drop).map_err(|error| explain(error, context))
}

/// Verifies the project, again and again while what is wrong passes by itself and there is patience left.
pub(crate) async fn verify_with_patience(
    level: Verify,
    client: &Client,
    project: &str,
    context: &Context,
    patience: Duration,
) -> Result<Verified, Error> {
    let until = Instant::now() + patience;
    let mut wait = FIRST_WAIT;
    loop {
        let error = match verify(level, client, project, context).await {
            Err(error) if error.kind().may_pass() => error,
            result => return result,
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(error);
        }
        tracing::info!(
            kind = error.kind().code(),
            ?left,
            "waiting for a change to be known"
        );
        sleep(wait.min(left)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

impl ErrorKind {
    /// Whether this is what people see for a few minutes after they put it right: the API was
    /// just enabled, the role just granted, the project just registered.
    /// [`Builder::connect_with_patience`](crate::Builder::connect_with_patience) waits for it.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::ApiDisabled | Self::ProjectDenied | Self::PermissionDenied | Self::NotRegistered
        )
    }
}
