//! ee-rest
