//! ee-init
