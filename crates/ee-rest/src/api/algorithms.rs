//! The functions available to expressions.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::api::lenient::{Fields, or_default};
use crate::{Client, Error};

/// A function that expressions can call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Algorithm {
    /// The name: `algorithms/Image.add`, for example.
    pub name: String,
    /// What the function does.
    pub description: String,
    /// The type of the result.
    pub return_type: String,
    /// The arguments.
    pub arguments: Vec<AlgorithmArgument>,
    /// Why the function is deprecated.
    pub deprecation_reason: Option<String>,
    /// Where the source code of the function is published.
    pub source_code_uri: Option<String>,
    /// Whether the function is deprecated.
    pub deprecated: bool,
    /// Whether the function is omitted from the documentation.
    pub hidden: bool,
    /// Whether the function is a preview, which may change.
    pub preview: bool,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

/// An argument of an [`Algorithm`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AlgorithmArgument {
    /// The name of the argument.
    pub argument_name: String,
    /// The type of the argument.
    pub kind: String,
    /// What the argument means.
    pub description: String,
    /// Whether the argument is optional.
    pub optional: bool,
    /// The default value of an optional argument.
    pub default_value: Option<Value>,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            name: fields.take("name"),
            description: fields.take("description"),
            return_type: fields.take("returnType"),
            arguments: fields.take_list("arguments"),
            deprecation_reason: fields.take("deprecationReason"),
            source_code_uri: fields.take("sourceCodeUri"),
            deprecated: fields.take("deprecated"),
            hidden: fields.take("hidden"),
            preview: fields.take("preview"),
            rest: fields.rest(),
        })
    }
}

impl<'de> Deserialize<'de> for AlgorithmArgument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            argument_name: fields.take("argumentName"),
            kind: fields.take("type"),
            description: fields.take("description"),
            optional: fields.take("optional"),
            default_value: fields.take("defaultValue"),
            rest: fields.rest(),
        })
    }
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
            #[serde(default, deserialize_with = "or_default")]
            algorithms: Vec<Algorithm>,
        }
        let response: AlgorithmsResponse = self.get_json("algorithms").await?;
        Ok(response.algorithms)
    }
}
