//! The name of a request.

use std::fmt;

use http::Method;

use crate::request::path::Route;

/// The method and path of a request, as shown in messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestName {
    pub(crate) method: Method,
    pub(crate) route: Route,
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.route)
    }
}
