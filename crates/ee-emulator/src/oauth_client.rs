//! OAuth clients: the programs that users grant access to.

/// The public OAuth client in every copy of Earth Engine's Python client. Neither half is secret:
/// an installed application cannot keep one (RFC 8252 section 8.5).
pub(crate) const EARTHENGINE_CLIENT_ID: &str =
    "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
pub(crate) const EARTHENGINE_CLIENT_SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";

/// gcloud's client for application-default credentials.
pub(crate) const GCLOUD_CLIENT_ID: &str =
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com";
/// Made up: the emulator and the files it writes agree on it, and that is all it is for.
pub(crate) const GCLOUD_CLIENT_SECRET: &str = "emulated-gcloud-client-secret";

/// A program that may ask users for access.
#[derive(Clone)]
pub(crate) struct OAuthClient {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// Redirect addresses beside loopback and out-of-band, which every client may use here.
    pub(crate) redirect_uris: Vec<String>,
}

impl OAuthClient {
    pub(crate) fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            redirect_uris: Vec::new(),
        }
    }

    /// The number of the project that owns a client: what stands before the first `-` of its id.
    pub(crate) fn project_number(client_id: &str) -> &str {
        client_id.split('-').next().unwrap_or_default()
    }
}

/// The clients that exist without being asked for.
pub(crate) fn well_known() -> Vec<OAuthClient> {
    vec![
        OAuthClient::new(EARTHENGINE_CLIENT_ID, EARTHENGINE_CLIENT_SECRET),
        OAuthClient::new(GCLOUD_CLIENT_ID, GCLOUD_CLIENT_SECRET),
    ]
}
