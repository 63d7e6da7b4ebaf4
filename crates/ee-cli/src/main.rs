//! eectl
fn main() {}
