//! An emulator of the Google hosts that Earth Engine clients use, for tests and demonstrations.
//!
//! An [`Emulator`] is an HTTP server on loopback with service accounts, users and projects. It
//! issues access tokens and handles Earth Engine calls. Like Google, it validates signatures,
//! audiences, times, scopes, PKCE challenges and redirect URIs, and responds with Google's own
//! error messages ([`GoogleError`]). It shares no code with any client.
//!
//! `https://HOST/PATH` is served at `http://127.0.0.1:PORT/HOST/PATH`. To use it, set
//! `EARTHENGINE_EMULATOR_HOST` to `127.0.0.1:PORT` for the clients of this workspace; configure
//! other clients with the URL of each host from [`Emulator::url`].
//!
//! ```
//! use ee_emulator::{Emulator, Fault, Project};
//!
//! # fn main() -> std::io::Result<()> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let emulator = Emulator::builder()
//!     .project(Project::new("my-project"))
//!     .project(Project::new("unregistered").registration("NOT_REGISTERED"))
//!     .start()
//!     .await?;
//!
//! // Create a credential.
//! let account = emulator.create_service_account("me@my-project.iam.gserviceaccount.com", "my-project");
//! let key_file = account.json_key();
//! assert!(key_file.contains("BEGIN PRIVATE KEY"));
//!
//! // Get the URL of a host.
//! let api = emulator.url("earthengine.googleapis.com");
//! assert!(api.starts_with("http://127.0.0.1:"));
//!
//! // Inject a fault into the next response.
//! emulator.fault("earthengine.googleapis.com", Fault::status(503).header("Retry-After", "1"));
//!
//! // Inspect the requests received so far.
//! assert!(emulator.requests().is_empty());
//! emulator.shutdown().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Hosts
//!
//! | host | paths |
//! |---|---|
//! | `oauth2.googleapis.com` | `/token` (JWT, refresh token, authorization code), `/tokeninfo`, `/revoke` |
//! | `www.googleapis.com` | `/oauth2/v4/token`, the legacy URL of the token endpoint; `/oauth2/v1/certs`, `/oauth2/v3/certs`: the keys of ID tokens |
//! | `accounts.google.com` | `/o/oauth2/auth`, `/o/oauth2/v2/auth`: the consent page |
//! | `code.earthengine.google.com` | `/client-auth`, `/client-auth/fetch`: the login page for notebooks |
//! | `earthengine.googleapis.com`, `earthengine-highvolume.googleapis.com` | `/$discovery/rest`, `/v1/projects/P/config`, `…/algorithms`, `…/value:compute`, assets, operations, exports, pixels, maps, thumbnails, features, `/batch`; `/v1alpha/…/assets/…` as GDAL reads images |
//! | `iamcredentials.googleapis.com` | `/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken`, `:generateIdToken`, `:signBlob` |
//! | `cloudresourcemanager.googleapis.com` | `/v3/projects:search`, `/v1/projects/P` |
//! | `sts.googleapis.com` | `/v1/oauthtoken`: token refresh for workforce users; `/v1/introspect`: token introspection |
//! | `service-identity.gdch.test` | `/authenticate`: a token server of Google Distributed Cloud, with a fictitious name |
//! | `serviceusage.googleapis.com` | `/v1/projects/P/services/earthengine.googleapis.com` |
//! | `sts.googleapis.com`, `sts.mtls.googleapis.com` | `/v1/token`: federation with [OpenID Connect](Emulator::create_oidc_provider), [AWS](Emulator::create_aws_provider) and [X.509](Emulator::create_x509_provider) |
//! | `169.254.169.254/latest` | Amazon's instance metadata service, if [enabled](Emulator::run_on_ec2) |
//! | `metadata.google.internal`, `169.254.169.254` | the metadata server, if [enabled](EmulatorBuilder::metadata_server) |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod builder;
mod catalog;
mod clock;
mod concurrency;
mod content;
mod description;
mod emulator;
mod error_responses;
mod fault;
mod federation;
mod google_error;
mod hosts;
mod jwt;
mod keys;
mod oauth_client;
mod project;
mod random;
mod recorded;
mod redact;
mod request;
mod response;
mod scopes;
mod server;
mod service_account;
mod service_identity;
mod state;
mod user;
mod workforce_user;
mod x509;

pub use builder::EmulatorBuilder;
pub use clock::EmulatorClock;
pub use concurrency::Concurrency;
pub use content::EmulatedOperation;
pub use description::{ApiMethod, Description, Field, FieldType, Violation};
pub use emulator::Emulator;
pub use fault::Fault;
pub use federation::{AwsKey, ClientCertificate, OidcProvider, X509Provider};
pub use google_error::GoogleError;
pub use keys::{EcKey, RsaKey};
pub use project::Project;
pub use recorded::RecordedRequest;
pub use service_account::ServiceAccount;
pub use service_identity::ServiceIdentity;
pub use user::User;
pub use workforce_user::WorkforceUser;
