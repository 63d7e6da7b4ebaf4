//! OAuth clients.

/// The OAuth client of Earth Engine's Python client. Its secret is public: an installed application
/// cannot keep one (RFC 8252 section 8.5).
pub(crate) const EARTHENGINE_CLIENT_ID: &str =
    "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
pub(crate) const EARTHENGINE_CLIENT_SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";

/// gcloud's OAuth client for Application Default Credentials.
pub(crate) const GCLOUD_CLIENT_ID: &str =
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com";
/// Not gcloud's real secret: only the emulator and the files it generates use it.
pub(crate) const GCLOUD_CLIENT_SECRET: &str = "emulated-gcloud-client-secret";

/// An OAuth client.
#[derive(Clone)]
pub(crate) struct OAuthClient {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// Redirect URIs other than loopback and out-of-band, which all clients may use.
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

    /// Returns the project number of a client: the part of its id before the first `-`.
    pub(crate) fn project_number(client_id: &str) -> &str {
        client_id.split('-').next().unwrap_or_default()
    }
}

/// Returns the default clients.
pub(crate) fn well_known() -> Vec<OAuthClient> {
    vec![
        OAuthClient::new(EARTHENGINE_CLIENT_ID, EARTHENGINE_CLIENT_SECRET),
        OAuthClient::new(GCLOUD_CLIENT_ID, GCLOUD_CLIENT_SECRET),
    ]
}
