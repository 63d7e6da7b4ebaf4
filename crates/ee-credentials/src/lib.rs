//! ee-credentials
