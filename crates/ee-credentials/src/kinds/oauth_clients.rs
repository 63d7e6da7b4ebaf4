//! The OAuth clients of Google's own tools, and the commands that log in with them.

use std::sync::{Arc, LazyLock};

/// Earth Engine's desktop client, from its Python client (`ee/oauth.py`).
pub(crate) const CLIENT_ID: &str =
    "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
/// The secret of an installed app, which is not confidential (RFC 8252 §8.5).
pub(crate) const CLIENT_SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";
/// The client of `gcloud auth application-default login`.
pub(crate) const GCLOUD_CLIENT_ID: &str =
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com";

/// Logs in with Earth Engine's client. The file is the one that `earthengine authenticate` writes.
pub(crate) const EARTH_ENGINE_LOGIN: &str = "eectl auth login";
/// Logs in with gcloud, for Earth Engine.
pub(crate) const GCLOUD_LOGIN: &str = "gcloud auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform";

/// Returns a client ID without a copy for each login: a server may hold 100,000 logins, nearly all
/// of two clients.
pub(crate) fn shared_client_id(id: &str) -> Arc<str> {
    static SHARED: LazyLock<[Arc<str>; 2]> =
        LazyLock::new(|| [GCLOUD_CLIENT_ID.into(), CLIENT_ID.into()]);
    let shared = SHARED.iter().find(|shared| &***shared == id);
    shared.cloned().unwrap_or_else(|| id.into())
}
