//! A description of the Earth Engine API: its methods, and the messages that they accept and
//! return.
//!
//! The description is in `v1.json`. Its facts are public: methods, paths, fields and enums are
//! those of the API client in the npm package `@google/earthengine`; the types of scalars, query
//! parameters, required and exclusive fields are from Google's reference of the REST API. It has
//! the 51 methods of the reference, `image:importExternal`, which only the clients know, and five
//! methods of version v1alpha: two that Google's command-line tool calls, and three of GDAL's drivers.
//!
//! In the file, a type is the name of a scalar, an enum or a message. `[T]` is a list of `T`, `{T}`
//! a map from strings to `T`, and `T!` a required field. `T?` is a scalar in a wrapper message, which
//! is also accepted as `{"value": T}`: the Python client sends this form.

mod check;
mod discovery;
mod path;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

pub use check::Violation;
pub(crate) use path::Matched;

/// The methods, messages and enums of the Earth Engine API.
#[derive(Debug, Default, Deserialize)]
pub struct Description {
    /// The query parameters of all methods.
    parameters: BTreeMap<String, Field>,
    methods: BTreeMap<String, ApiMethod>,
    enums: BTreeMap<String, Vec<String>>,
    schemas: BTreeMap<String, BTreeMap<String, Field>>,
    /// Groups of fields of which only one can be set, by schema.
    exclusive: BTreeMap<String, Vec<Vec<String>>>,
}

/// A method of the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ApiMethod {
    /// The HTTP method.
    pub http: String,
    /// The path, as in `v1/{name=projects/*/assets/**}:copy`.
    pub path: String,
    /// The query parameters, without those that all methods have.
    #[serde(default)]
    pub query: BTreeMap<String, Field>,
    /// The schema of the request body.
    pub request: Option<String>,
    /// The schema of the response. `HttpBody` stands for bytes.
    pub response: String,
    /// Whether Google's reference lacks the method.
    #[serde(default)]
    pub undocumented: bool,
}

/// A field of a message, or a query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[non_exhaustive]
pub struct Field {
    /// The type.
    pub kind: FieldType,
    /// Whether the field must be set.
    pub required: bool,
}

/// The type of a [`Field`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldType {
    /// A number.
    Double,
    /// A number of 32 bits.
    Float,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits: a string in JSON.
    Int64,
    /// A truth value.
    Boolean,
    /// Text.
    String,
    /// Bytes as base64.
    Bytes,
    /// A time in the format of RFC 3339.
    Timestamp,
    /// A number of seconds, as in `1.5s`.
    Duration,
    /// The names of fields, separated by commas.
    FieldMask,
    /// Any JSON value.
    Any,
    /// A scalar that is also accepted as `{"value": …}`.
    Wrapper(Box<Self>),
    /// A list.
    List(Box<Self>),
    /// A map from strings.
    Map(Box<Self>),
    /// An [enum](Description::values) or a [message](Description::fields).
    Named(String),
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        let kind = text.strip_suffix('!');
        Self {
            kind: FieldType::parse(kind.unwrap_or(&text)),
            required: kind.is_some(),
        }
    }
}

impl FieldType {
    fn parse(text: &str) -> Self {
        let within = |start, end| text.strip_prefix(start)?.strip_suffix(end);
        if let Some(item) = within('[', ']') {
            return Self::List(Box::new(Self::parse(item)));
        }
        if let Some(item) = within('{', '}') {
            return Self::Map(Box::new(Self::parse(item)));
        }
        if let Some(scalar) = text.strip_suffix('?') {
            return Self::Wrapper(Box::new(Self::parse(scalar)));
        }
        match text {
            "double" => Self::Double,
            "float" => Self::Float,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "boolean" => Self::Boolean,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "timestamp" => Self::Timestamp,
            "duration" => Self::Duration,
            "fieldMask" => Self::FieldMask,
            "any" => Self::Any,
            name => Self::Named(name.to_owned()),
        }
    }
}

impl Description {
    /// Returns the description.
    pub fn get() -> &'static Self {
        static DESCRIPTION: LazyLock<Description> =
            LazyLock::new(|| serde_json::from_str(include_str!("v1.json")).unwrap_or_default());
        &DESCRIPTION
    }

    /// Returns the methods with their IDs, such as `projects.assets.get`. The IDs of version
    /// v1alpha start with `v1alpha.`.
    pub fn methods(&self) -> impl Iterator<Item = (&str, &ApiMethod)> {
        self.methods
            .iter()
            .map(|(id, method)| (id.as_str(), method))
    }

    /// Returns the fields of a message.
    pub fn fields(&self, schema: &str) -> Option<&BTreeMap<String, Field>> {
        self.schemas.get(schema)
    }

    /// Returns the values of an enum.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.enums.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: &FieldType) -> Option<&str> {
        match kind {
            FieldType::List(item) | FieldType::Map(item) => names(item),
            FieldType::Named(name) => Some(name),
            _ => None,
        }
    }

    #[test]
    fn description_is_complete() {
        let description = Description::get();
        let documented = description
            .methods()
            .filter(|(id, method)| id.starts_with("projects.") && !method.undocumented);
        assert_eq!(documented.count(), 51);
        assert_eq!(description.methods().count(), 57);
        let fields = description.schemas.values().flatten();
        let queries = description
            .methods
            .values()
            .flat_map(|method| &method.query);
        let parameters = description.parameters.iter();
        for (field, found) in fields.chain(queries).chain(parameters) {
            if let Some(name) = names(&found.kind) {
                let known =
                    description.values(name).is_some() || description.fields(name).is_some();
                assert!(known, "{field}: {name}");
            }
        }
        for (id, method) in description.methods() {
            for schema in method.request.iter().chain([&method.response]) {
                assert!(description.fields(schema).is_some(), "{id}: {schema}");
            }
        }
        for (schema, groups) in &description.exclusive {
            for field in groups.iter().flatten() {
                assert!(description.schemas[schema].contains_key(field), "{field}");
            }
        }
    }
}
