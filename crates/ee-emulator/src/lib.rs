//! The Google hosts that Earth Engine clients talk to, on loopback: for tests, for
//! demonstrations, and for the tests of programs that use Earth Engine.
//!
//! An [`Emulator`] is a real HTTP server. It knows service accounts and users, issues tokens to
//! those who prove who they are, and answers Earth Engine calls of those who hold a token, name a
//! project and may use it. It is strict where Google is: signatures, audiences, times, scopes,
//! PKCE challenges and redirect addresses are verified, and what is refused is refused in
//! Google's own words ([`Refusal`]). It shares no code with any client.
//!
//! `https://HOST/PATH` is at `http://127.0.0.1:PORT/HOST/PATH`. Clients of this workspace go
//! there when `EARTHENGINE_EMULATOR_HOST` says `127.0.0.1:PORT`; others are given the URL of each
//! host, which [`Emulator::url`] makes.
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
//! // Something to log in with …
//! let account = emulator.create_service_account("me@my-project.iam.gserviceaccount.com", "my-project");
//! let key_file = account.json_key();
//! assert!(key_file.contains("BEGIN PRIVATE KEY"));
//!
//! // … somewhere to go …
//! let api = emulator.url("earthengine.googleapis.com");
//! assert!(api.starts_with("http://127.0.0.1:"));
//!
//! // … something that goes wrong there, once …
//! emulator.fault("earthengine.googleapis.com", Fault::status(503).header("Retry-After", "1"));
//!
//! // … and what was asked.
//! assert!(emulator.requests().is_empty());
//! emulator.shutdown().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Hosts
//!
//! | host | answers |
//! |---|---|
//! | `oauth2.googleapis.com` | `/token` (JWT, refresh token, authorization code), `/tokeninfo`, `/revoke` |
//! | `www.googleapis.com` | `/oauth2/v4/token`, the token endpoint under its older name |
//! | `accounts.google.com` | `/o/oauth2/auth`, `/o/oauth2/v2/auth`: the consent page |
//! | `code.earthengine.google.com` | `/client-auth`, `/client-auth/fetch`: the page for logins from notebooks |
//! | `earthengine.googleapis.com`, `earthengine-highvolume.googleapis.com` | `/$discovery/rest`, `/v1/projects/P/config`, `…/algorithms`, `…/value:compute`, assets, operations, exports, pixels, maps, thumbnails, features, `/batch` |
//! | `iamcredentials.googleapis.com` | `/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken` |
//! | `cloudresourcemanager.googleapis.com` | `/v3/projects:search`, `/v1/projects/P` |
//! | `sts.googleapis.com` | `/v1/oauthtoken`: the refresh tokens of workforce users; `/v1/introspect`: whose a token is |
//! | `service-identity.gdch.test` | `/authenticate`: a token server of Google Distributed Cloud, under a made-up name |
//! | `serviceusage.googleapis.com` | `/v1/projects/P/services/earthengine.googleapis.com` |
//! | `sts.googleapis.com`, `sts.mtls.googleapis.com` | `/v1/token`: federation with [OpenID Connect](Emulator::create_oidc_provider), [AWS](Emulator::create_aws_provider) and [X.509](Emulator::create_x509_provider) |
//! | `169.254.169.254/latest` | Amazon's instance metadata service, if the machine [is one of theirs](Emulator::run_on_ec2) |
//! | `metadata.google.internal`, `169.254.169.254` | the metadata server, if [turned on](EmulatorBuilder::metadata_server) |

mod body;
mod builder;
mod clock;
mod concurrency;
mod content;
mod emulator;
mod fault;
mod federation;
mod hosts;
mod jwt;
mod keys;
mod oauth_client;
mod project;
mod random;
mod recorded;
mod redact;
mod refusal;
mod refusals;
mod reply;
mod request;
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
pub use emulator::Emulator;
pub use fault::Fault;
pub use federation::{AwsKey, ClientCertificate, OidcProvider, X509Provider};
pub use keys::{EcKey, RsaKey};
pub use project::Project;
pub use recorded::RecordedRequest;
pub use refusal::Refusal;
pub use service_account::ServiceAccount;
pub use service_identity::ServiceIdentity;
pub use user::User;
pub use workforce_user::WorkforceUser;
