//! The functions that expressions may call.

use serde::Deserialize;
use serde_json::Value;

use crate::{Client, Error};

/// A function of Earth Engine's.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Algorithm {
    /// `algorithms/Image.add`, for example.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// The type of its result.
    #[serde(default)]
    pub return_type: String,
    /// What it takes.
    #[serde(default)]
    pub arguments: Vec<AlgorithmArgument>,
    /// Why it should not be used any more; none if it may be.
    #[serde(default)]
    pub deprecation_reason: Option<String>,
    /// Whether it should not be used any more.
    #[serde(default)]
    pub deprecated: bool,
    /// Whether documentation leaves it out.
    #[serde(default)]
    pub hidden: bool,
    /// Whether it may still change.
    #[serde(default)]
    pub preview: bool,
}

/// What an [`Algorithm`] takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AlgorithmArgument {
    /// Its name in expressions.
    pub argument_name: String,
    /// Its type.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
    /// What it is if it is left out.
    #[serde(default)]
    pub default_value: Option<Value>,
}

impl Algorithm {
    /// Its name in expressions: `Image.add`.
    pub fn function_name(&self) -> &str {
        self.name.strip_prefix("algorithms/").unwrap_or(&self.name)
    }
}

impl Client {
    /// The functions that expressions may call: a few thousand, or about 0.7 MB.
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
    /// As [`Client::get_json`].
    pub async fn algorithms(&self) -> Result<Vec<Algorithm>, Error> {
        #[derive(Deserialize)]
        struct Reply {
            #[serde(default)]
            algorithms: Vec<Algorithm>,
        }
        let reply: Reply = self.get_json("algorithms").await?;
        Ok(reply.algorithms)
    }
}
