//! Tests that cross crates; each folder beside this file is one concern.
