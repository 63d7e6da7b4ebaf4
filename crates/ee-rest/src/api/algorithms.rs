//! The functions available to expressions.

use serde::Deserialize;
use serde_json::Value;

use crate::{Client, Error};

/// A function that expressions can call.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Algorithm {
    /// The name: `algorithms/Image.add`, for example.
    #[serde(default)]
    pub name: String,
    /// What the function does.
    #[serde(default)]
    pub description: String,
    /// The type of the result.
    #[serde(default)]
    pub return_type: String,
    /// The arguments.
    #[serde(default)]
    pub arguments: Vec<AlgorithmArgument>,
    /// Why the function is deprecated.
    #[serde(default)]
    pub deprecation_reason: Option<String>,
    /// Where the source code of the function is published.
    #[serde(default)]
    pub source_code_uri: Option<String>,
    /// Whether the function is deprecated.
    #[serde(default)]
    pub deprecated: bool,
    /// Whether the function is omitted from the documentation.
    #[serde(default)]
    pub hidden: bool,
    /// Whether the function is a preview, which may change.
    #[serde(default)]
    pub preview: bool,
}

/// An argument of an [`Algorithm`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AlgorithmArgument {
    /// The name of the argument.
    #[serde(default)]
    pub argument_name: String,
    /// The type of the argument.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What the argument means.
    #[serde(default)]
    pub description: String,
    /// Whether the argument is optional.
    #[serde(default)]
    pub optional: bool,
    /// The default value of an optional argument.
    #[serde(default)]
    pub default_value: Option<Value>,
}

impl Algorithm {
    /// Returns the name used in expressions: `Image.add`.
    pub fn function_name(&self) -> &str {
        self.name.strip_prefix("algorithms/").unwrap_or(&self.name)
    }
}

impl Client {
    /// Returns the functions available to expressions: a few thousand, or about 0.7 MB.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// for algorithm in client.algorithms().await? {
    ///     println!("{}", algorithm.function_name());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn algorithms(&self) -> Result<Vec<Algorithm>, Error> {
        #[derive(Deserialize)]
        struct AlgorithmsResponse {
            #[serde(default)]
            algorithms: Vec<Algorithm>,
        }
        let response: AlgorithmsResponse = self.get_json("algorithms").await?;
        Ok(response.algorithms)
    }
}
