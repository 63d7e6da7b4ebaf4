//! One module per way to log in.

pub(crate) mod colab;
pub(crate) mod gcloud;
pub(crate) mod localhost;
pub(crate) mod notebook;
