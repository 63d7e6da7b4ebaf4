//! Computes an expression that another client has written.
//!
//! Expressions are JSON, so they can be composed in Python or JavaScript and computed in Rust.
//! This Python program writes `squares.json`:
//!
//! ```text
//! import ee, json
//! ee.Initialize()
//! squares = ee.List.sequence(1, 10).map(lambda n: ee.Number(n).multiply(n))
//! expression = ee.serializer.encode(squares, for_cloud_api=True)
//! json.dump(expression, open("squares.json", "w"))
//! ```
//!
//! In JavaScript and in the Code Editor, `squares.serialize()` returns the same JSON as text, and
//! `ee.Serializer.encodeCloudApi(squares)` as an object.
//!
//! ```text
//! cargo run -p earthengine --example expression_from_python [FILE]
//! ```

#![allow(clippy::print_stdout, reason = "prints the result")]

use std::error::Error;
use std::fs;

use earthengine::EarthEngine;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let text = match std::env::args().nth(1) {
        Some(path) => fs::read_to_string(path)?,
        // Expressions that do not change can be part of the program.
        None => include_str!("squares.json").to_owned(),
    };
    let expression: Value = serde_json::from_str(&text)?;

    let ee = EarthEngine::builder().connect().await?;
    // A program that knows the type of the result uses it here instead: Vec<u64>.
    let result: Value = ee.compute(&expression).await?;
    println!("{result}");
    Ok(())
}
