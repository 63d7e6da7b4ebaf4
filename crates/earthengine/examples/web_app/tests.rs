//! Runs the tests of the parts of `web_app`: Cargo runs no tests in examples whose programs other tests
//! need.

#![allow(dead_code, reason = "only parts of the example are compiled")]

mod session;
mod store;
mod visitor;
