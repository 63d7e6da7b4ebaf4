//! The description as a discovery document, from which some clients learn the API.

use serde_json::{Map, Value, json};

use super::{ApiMethod, Description, Field, FieldType};
use crate::scopes::{CLOUD_PLATFORM, EARTHENGINE, EARTHENGINE_READONLY};

impl Description {
    /// Returns the discovery document of version v1, with this URL.
    pub(crate) fn discovery(&self, root: &str) -> Value {
        let mut document = json!({
            "kind": "discovery#restDescription",
            "discoveryVersion": "v1",
            "id": "earthengine:v1",
            "name": "earthengine",
            "canonicalName": "Earth Engine",
            "version": "v1",
            "revision": "0",
            "title": "Google Earth Engine API",
            "description": "The part of the Earth Engine API that the emulator has.",
            "ownerDomain": "google.com",
            "ownerName": "Google",
            "protocol": "rest",
            "rootUrl": root,
            "baseUrl": root,
            "basePath": "",
            "servicePath": "",
            "batchPath": "batch",
            "fullyEncodeReservedExpansion": true,
            "auth": {"oauth2": {"scopes": {
                EARTHENGINE: {"description": "Earth Engine"},
                EARTHENGINE_READONLY: {"description": "Earth Engine, read-only"},
                CLOUD_PLATFORM: {"description": "Google Cloud"},
            }}},
        });
        document["parameters"] = self.parameters(&self.parameters).into();
        for (id, method) in &self.methods {
            let Some(path) = id.strip_prefix("projects.") else {
                continue;
            };
            let mut resource = &mut document["resources"]["projects"];
            let mut parts = path.split('.').peekable();
            while let Some(part) = parts.next() {
                resource = match parts.peek() {
                    Some(_) => &mut resource["resources"][part],
                    None => &mut resource["methods"][part],
                };
            }
            *resource = self.document(id, method);
        }
        for (name, fields) in &self.schemas {
            document["schemas"][name] = json!({
                "id": name,
                "type": "object",
                "properties": self.parameters(fields),
            });
        }
        document
    }

    fn document(&self, id: &str, method: &ApiMethod) -> Value {
        let mut parameters = self.parameters(&method.query);
        for parameter in parameters.values_mut() {
            parameter["location"] = json!("query");
        }
        let mut path = method.path.clone();
        let mut order = Vec::new();
        for variable in method.path.split('{').skip(1) {
            let Some((variable, _)) = variable.split_once('}') else {
                continue;
            };
            let name = match variable.split_once('=') {
                Some((name, pattern)) => {
                    path = path.replace(variable, &format!("+{name}"));
                    let pattern = pattern.replace("**", ".+").replace('*', "[^/]+");
                    let pattern = format!("^{}$", pattern.replace(".+", ".*"));
                    parameters.insert(
                        name.to_owned(),
                        json!({"type": "string", "location": "path", "required": true, "pattern": pattern}),
                    );
                    name
                }
                None => {
                    parameters.insert(
                        variable.to_owned(),
                        json!({"type": "integer", "format": "int32", "location": "path", "required": true}),
                    );
                    variable
                }
            };
            order.push(name);
        }
        let mut document = json!({
            "id": format!("earthengine.{id}"),
            "httpMethod": method.http,
            "path": path,
            "parameters": parameters,
            "parameterOrder": order,
            "response": {"$ref": method.response},
        });
        if let Some(request) = &method.request {
            document["request"] = json!({"$ref": request});
        }
        document
    }

    fn parameters<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a String, &'a Field)>,
    ) -> Map<String, Value> {
        let fields = fields.into_iter();
        fields
            .map(|(name, field)| {
                let mut kind = self.type_of(&field.kind);
                if field.required {
                    kind["required"] = json!(true);
                }
                (name.clone(), kind)
            })
            .collect()
    }

    fn type_of(&self, kind: &FieldType) -> Value {
        match kind {
            FieldType::Double => json!({"type": "number", "format": "double"}),
            FieldType::Float => json!({"type": "number", "format": "float"}),
            FieldType::Int32 => json!({"type": "integer", "format": "int32"}),
            FieldType::Int64 => json!({"type": "string", "format": "int64"}),
            FieldType::Boolean => json!({"type": "boolean"}),
            FieldType::String => json!({"type": "string"}),
            FieldType::Bytes => json!({"type": "string", "format": "byte"}),
            FieldType::Timestamp => json!({"type": "string", "format": "google-datetime"}),
            FieldType::Duration => json!({"type": "string", "format": "google-duration"}),
            FieldType::FieldMask => json!({"type": "string", "format": "google-fieldmask"}),
            FieldType::Wrapper(scalar) => self.type_of(scalar),
            FieldType::Any => json!({"type": "any"}),
            FieldType::List(item) => json!({"type": "array", "items": self.type_of(item)}),
            FieldType::Map(entry) => {
                json!({"type": "object", "additionalProperties": self.type_of(entry)})
            }
            FieldType::Named(name) => match self.values(name) {
                Some(values) => json!({"type": "string", "enum": values}),
                None => json!({"$ref": name}),
            },
        }
    }
}
