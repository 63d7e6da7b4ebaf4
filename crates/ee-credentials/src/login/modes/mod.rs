//! One module per login mode.

pub(crate) mod colab;
pub(crate) mod gcloud;
pub(crate) mod localhost;
pub(crate) mod notebook;
